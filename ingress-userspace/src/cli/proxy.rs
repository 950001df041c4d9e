//! `genkan proxy`: arguments only; the work is `app`'s.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::config::AdminConfig;
use crate::config::admin::AdminSocket;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The socket of the agent: `--proxy-socket` there.
    #[arg(long, env = "GENKAN_AGENT_SOCKET", value_name = "PATH")]
    #[arg(default_value = "/run/genkan/proxy.sock")]
    agent_socket: PathBuf,

    /// User of the agent; nobody else is listened to.
    #[arg(long, env = "GENKAN_AGENT_USER", value_name = "UID", default_value_t = 0)]
    agent_user: u32,

    /// Proxy workers; wins over `workers.count` of the agent's configuration.
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST)))]
    workers: Option<u32>,

    /// Where this process tells about itself: path of a Unix socket, or `off`.
    #[arg(long, env = "GENKAN_PROXY_ADMIN_SOCKET", value_name = "PATH", default_value = "off")]
    admin_socket: String,

    /// The same on a loopback address, for reading.
    #[arg(long, env = "GENKAN_PROXY_ADMIN_LISTEN", value_name = "ADDRESS", value_parser = loopback)]
    admin_listen: Option<SocketAddr>,

    /// Run as root all the same. What reads the bytes of strangers should not.
    #[arg(long, env = "GENKAN_ALLOW_ROOT")]
    allow_root: bool,
}

/// Everything that `genkan proxy` was asked for.
#[derive(Debug, Clone)]
pub struct ProxyOptions {
    pub agent_socket: PathBuf,
    pub agent_user: u32,
    pub workers: Option<usize>,
    pub admin: AdminConfig,
    pub allow_root: bool,
}

const MOST: u32 = ingress_common::worker::MAX_WORKERS;

// === impl Arguments ===

impl Arguments {
    pub fn into_options(self) -> ProxyOptions {
        ProxyOptions {
            agent_socket: self.agent_socket,
            agent_user: self.agent_user,
            workers: self.workers.map(|workers| workers as usize),
            admin: AdminConfig {
                socket: AdminSocket::from(self.admin_socket),
                group: None,
                listen: self.admin_listen,
            },
            allow_root: self.allow_root,
        }
    }
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "ADDRESS:PORT is expected".to_owned())?;
    if address.ip().is_loopback() { Ok(address) } else { Err("not a loopback address".to_owned()) }
}
