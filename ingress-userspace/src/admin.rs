//! Administration: what the process tells about itself, and the few things it can be asked to do.
//!
//! HTTP/1.1 on a Unix socket, for reading also on loopback TCP. In: a [`Node`], which `app`
//! implements, and the answers of the control side to [`Ask`]s. Out: the documents of [`status`],
//! metrics, readiness; drain and log level as wishes to others. Has a thread of its own: a scrape of
//! 10,000 hosts takes milliseconds of work on immutable values, which must delay neither the control
//! side nor a worker, and a control side that is busy is itself something to tell. Never on a VIP.

mod answer;
pub mod client;
mod control;
mod dump;
pub mod explain;
pub mod log;
mod metrics;
mod page;
mod query;
mod ready;
mod server;
mod socket;
pub mod source;
pub mod status;
mod view;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use control::{Ask, Asks, Configured, View};

use crate::config::admin::AdminConfig;
use crate::metrics::{Exposition, Sum};
use crate::routing::Snapshot;
use control::Control;
use server::Server;

/// What the process shows without asking its control side. Called on the thread of the
/// administration; must not wait for anything.
pub trait Node: Send + Sync {
    /// Published last.
    fn snapshot(&self) -> Arc<Snapshot>;

    fn workers(&self) -> Vec<status::Worker>;

    fn traffic(&self) -> status::Traffic;

    /// By the name of each VIP that is served.
    fn vips(&self) -> BTreeMap<Arc<str>, status::VipTraffic>;

    /// Requests that no route has won.
    fn unrouted(&self) -> Sum;

    /// The families of the workers.
    fn metrics(&self, out: &mut Exposition);
}

/// The running administration. Ends, and takes its socket away, when it is dropped.
#[derive(Debug)]
pub struct Admin {
    shared: Arc<Shared>,
    stop: CancellationToken,
    /// The address is another process's from now on.
    leave: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What the connections of the administration see.
struct Shared {
    /// Absent while the process starts.
    node: OnceLock<Box<dyn Node>>,
    /// What a start waits for.
    waits: OnceLock<Box<dyn Fn() -> String + Send + Sync>>,
    control: Control,
    log: log::Log,
}

/// Questions that wait for the control side; more than connections can ask at a time.
const QUEUE: usize = 64;
/// How long the control side may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

// === impl Admin ===

impl Admin {
    /// Opens the socket and answers from now on; until [`Self::show`] that the process starts.
    ///
    /// # Errors
    ///
    /// When the socket cannot be made. A TCP address that is in use is no error: it is taken as
    /// soon as it is free, because a predecessor on the same host may still have it.
    pub fn start(config: &AdminConfig) -> io::Result<(Self, Asks)> {
        Self::start_with(config, PATIENCE)
    }

    /// `patience`: how long the control side may take for an answer.
    fn start_with(config: &AdminConfig, patience: Duration) -> io::Result<(Self, Asks)> {
        let (sender, asks) = mpsc::channel(QUEUE);
        let control = Control::new(sender, patience);
        let shared = Arc::new(Shared {
            node: OnceLock::new(),
            waits: OnceLock::new(),
            control,
            log: log::Log::default(),
        });
        let stop = CancellationToken::new();
        let leave = CancellationToken::new();
        let server = Server::open(config, shared.clone(), stop.clone(), leave.clone())?;
        let thread = match server {
            None => None,
            Some(server) => {
                let named = std::thread::Builder::new().name("genkan-admin".to_owned());
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                Some(named.spawn(move || server.run(&runtime))?)
            }
        };
        Ok((Self { shared, stop, leave, thread }, Asks::new(asks)))
    }

    /// Closes the TCP address, for a successor; what is under way there is answered, and the socket
    /// answers on.
    pub fn leave_address(&self) {
        self.leave.cancel();
    }

    /// What the start waits for, asked whenever somebody wants to know. Must not wait itself.
    pub fn waits(&self, what: impl Fn() -> String + Send + Sync + 'static) {
        // A start waits once.
        let _ = self.shared.waits.set(Box::new(what));
    }

    /// The process serves: from now on everything is answered.
    pub fn show(&self, node: impl Node + 'static) {
        // A second node is not meant.
        let _ = self.shared.node.set(Box::new(node));
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It ends within one turn of its loop.
            let _ = thread.join();
        }
    }
}

// === impl Shared ===

impl Shared {
    /// What is answered while there is no node.
    fn starting(&self) -> status::Readiness {
        ready::starting(self.waits.get().map(|what| what()))
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
