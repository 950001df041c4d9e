//! Where the process can be asked about itself: a Unix socket, and loopback TCP for reading.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where the socket is when nothing else is said.
pub const DEFAULT_SOCKET: &str = "/run/genkan/admin.sock";

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Path of the Unix socket, or `off`.
    pub socket: AdminSocket,
    /// Group, by name or number, that may use the socket beside its owner.
    pub group: Option<String>,
    /// Loopback address and port that answer reading requests over TCP; absent = none.
    pub listen: Option<SocketAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum AdminSocket {
    Off,
    At(PathBuf),
}

// === impl AdminSocket ===

impl AdminSocket {
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Off => None,
            Self::At(path) => Some(path),
        }
    }
}

impl Default for AdminSocket {
    fn default() -> Self {
        Self::At(DEFAULT_SOCKET.into())
    }
}

impl From<String> for AdminSocket {
    fn from(text: String) -> Self {
        if text == "off" { Self::Off } else { Self::At(text.into()) }
    }
}

impl From<AdminSocket> for String {
    fn from(socket: AdminSocket) -> Self {
        match socket {
            AdminSocket::Off => "off".to_owned(),
            AdminSocket::At(path) => path.to_string_lossy().into_owned(),
        }
    }
}
