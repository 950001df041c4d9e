//! `genkan agent`: arguments only; the work is `app`'s.

use std::path::PathBuf;

use clap::Args;

use super::run::{self, RunOptions};
use crate::config::ConfigError;

/// The user and group of the proxy's container: `nobody` everywhere.
const NOBODY: u32 = 65534;

#[derive(Debug, Args)]
// The one of `run` has this name already.
#[group(skip)]
pub struct Arguments {
    #[command(flatten)]
    run: run::Arguments,

    /// Where the proxy comes in; `proxy.sock` in the runtime directory when absent.
    #[arg(long, env = "GENKAN_PROXY_SOCKET", value_name = "PATH")]
    proxy_socket: Option<PathBuf>,

    /// User of the proxy; nobody else is let in.
    #[arg(long, env = "GENKAN_PROXY_USER", value_name = "UID", default_value_t = NOBODY)]
    proxy_user: u32,

    /// Group that may open the socket.
    #[arg(long, env = "GENKAN_PROXY_GROUP", value_name = "GID", default_value_t = NOBODY)]
    proxy_group: u32,
}

/// Everything that `genkan agent` was asked for.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    pub run: RunOptions,
    pub proxy_socket: PathBuf,
    pub proxy_user: u32,
    pub proxy_group: u32,
}

// === impl Arguments ===

impl Arguments {
    /// # Errors
    ///
    /// All that is wrong with the configuration.
    pub fn into_options(
        self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<AgentOptions, Vec<ConfigError>> {
        let Self { run, proxy_socket, proxy_user, proxy_group } = self;
        let run = run.into_options(environment)?;
        let proxy_socket = proxy_socket.unwrap_or_else(|| run.runtime_dir.join("proxy.sock"));
        Ok(AgentOptions { run, proxy_socket, proxy_user, proxy_group })
    }
}
