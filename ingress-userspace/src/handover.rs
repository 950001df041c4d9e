//! How one process takes the place of another without a lost connection: the words between them.
//!
//! The process that serves listens on a Unix socket in the runtime directory ([`Holder`]). One that
//! starts takes the directory's lock and asks it for its listening sockets ([`Claim`],
//! [`Predecessor`]): the very sockets, so that handshakes in flight, accept queues and SYN cookies
//! stay what they are. The predecessor serves on until it hears that its successor is ready, then
//! it drains. Nothing here knows workers or kernel programs; `app` does what is agreed here.
//!
//! ```text
//! successor                          predecessor
//!   Hello            ───────────►      changes nothing in the kernel from here on
//!           ◄───────────  Offer, Listeners …   (or Refused, or Leaving)
//!   Begun            ───────────►      successor changes maps, links, routes
//!   Ready            ───────────►      workers accept no more and drain
//!           ◄───────────  Yielded      successor owns the place
//!   Serves           ───────────►      may end well; a successor that ends before is lost
//!   (end of the connection before Ready: the predecessor goes on as if nothing had been)
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod channel;
mod claim;
mod holder;
mod launcher;
mod predecessor;

pub use channel::Cut;
pub use claim::{Claim, Staged, replace};
pub use holder::{Holder, Offer, Request};
pub use launcher::{Launch, Launcher, launch};
pub use predecessor::{Leaving, Left, Predecessor};

/// The socket of the process that serves, in its runtime directory.
const SOCKET: &str = "handover.sock";
/// Held by a process that starts, until it serves.
const LOCK: &str = "handover.lock";
/// Of these messages. Both sides must speak the same.
const VERSION: u32 = 2;
/// For an answer of the other side, whose control thread may be busy compiling.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who wants to take over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The network namespace: listening sockets are of no use in another one.
    pub network: u64,
    /// Whether kernel programs steer connections to the listeners.
    pub steered: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Message {
    Hello {
        version: u32,
        hello: Hello,
    },
    Begun,
    Ready,
    /// The successor accepts, and its service manager knows.
    Serves,
    Offer {
        listeners: usize,
        drain: Duration,
    },
    /// The workers of the listeners that come along, in their order.
    Listeners {
        workers: Vec<usize>,
    },
    Yielded,
    /// The process drains already: it serves nobody that comes now.
    Leaving,
    /// An operator asks the process to start its successor.
    Replace,
    Replaced {
        pid: i32,
    },
    Refused {
        reason: String,
    },
}

/// A listening socket of the process before, and the worker that had it.
#[derive(Debug)]
pub struct Lent {
    pub worker: usize,
    pub listener: std::net::TcpListener,
}

#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    #[error("cannot {attempt} {}: {source}", path.display())]
    Directory { attempt: &'static str, path: PathBuf, source: io::Error },
    #[error("another process is starting already{}", by(*.pid))]
    Starting { pid: Option<i32> },
    #[error("the process that serves ({pid}) refuses: {reason}")]
    Refused { pid: i32, reason: String },
    #[error("the process that serves ({pid}) does not answer: {source}")]
    Silent { pid: i32, source: io::Error },
    #[error("no process serves with {} as its runtime directory", .0.display())]
    Nobody(PathBuf),
}

// === impl Hello ===

impl Hello {
    /// From the network namespace of the calling thread.
    pub fn new(steered: bool) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let network = std::fs::metadata("/proc/thread-self/ns/net")?.ino();
        Ok(Self { network, steered })
    }
}

fn by(pid: Option<i32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

fn socket_path(directory: &Path) -> PathBuf {
    directory.join(SOCKET)
}

#[cfg(test)]
mod tests;
