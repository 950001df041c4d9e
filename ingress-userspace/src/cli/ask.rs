//! What the commands that ask a running process have in common.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::admin::client::Client;
use crate::config::admin::DEFAULT_SOCKET;

/// Which process, and how long it may take.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// Socket of the process, as in its `admin.socket`.
    #[arg(long, env = "GENKAN_ADMIN__SOCKET", default_value = DEFAULT_SOCKET, value_name = "PATH")]
    socket: PathBuf,

    /// Seconds for an answer.
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = seconds)]
    timeout: Duration,
}

// === impl Target ===

impl Target {
    pub(super) fn client(&self) -> Client {
        Client::new(&self.socket, self.timeout)
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is expected".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
