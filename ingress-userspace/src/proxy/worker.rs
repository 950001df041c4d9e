//! A worker: one thread, one single-threaded runtime, its own listeners and connections.
//!
//! Workers share nothing on the request path but the published settings and snapshot. A connection
//! that panics ends alone and is counted; a thread that ends for another reason than draining is
//! reported by [`WorkerHandle::exited`], so that the app can put a new worker in its place.

use std::io;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use super::accept::Acceptor;
use super::access_log::AccessLog;
use super::context::ProxyContext;
use super::counters::Counters;
use super::settings::Settings;
use crate::filter;
use crate::net::cpu;
use crate::net::load::LoadSlot;
use crate::snapshot::Subscriber;
use crate::tls;
use crate::upstream::ClientTls;

mod buffers;
mod clock;
#[cfg(test)]
pub(super) mod fixture;
mod open;
mod state;

pub use buffers::Buffers;
pub use clock::Clock;
pub use open::{Open, OpenConnections};
pub use state::WorkerState;

/// What a worker is made of.
#[derive(Debug)]
pub struct WorkerParts {
    /// From 0; stays the same for a replacement.
    pub index: usize,
    /// The CPU it stays on; absent = any.
    pub cpu: Option<u32>,
    /// One per family when steered, one per VIP and port when not.
    pub listeners: Vec<TcpListener>,
    /// Cancelled when the worker may accept; until then connections wait in the listeners.
    pub opened: CancellationToken,
    pub settings: Arc<ArcSwap<Settings>>,
    pub snapshots: Subscriber,
    pub load: LoadSlot,
    /// Of the worker's place; a replacement goes on with them.
    pub counters: Arc<Counters>,
    /// Towards clients.
    pub tls: tls::Acceptor,
    /// Towards endpoints.
    pub upstream_tls: Arc<ClientTls>,
    /// Absent: the access log is off.
    pub access_log: Option<AccessLog>,
    /// Shared with the other workers.
    pub filters: filter::Shared,
}

/// The app's side of a running worker.
#[derive(Debug)]
pub struct WorkerHandle {
    index: usize,
    counters: Arc<Counters>,
    drain: CancellationToken,
    handed_over: Arc<AtomicBool>,
    end: CancellationToken,
    unhurried: Arc<AtomicBool>,
    #[cfg(any(test, feature = "testing"))]
    panic: CancellationToken,
    exit: oneshot::Receiver<Exit>,
    thread: Option<JoinHandle<()>>,
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// After [`WorkerHandle::drain`]: its connections are done, or their time was over; or after
    /// [`WorkerHandle::end`].
    Drained,
    Panicked,
}

/// What the thread needs beside the parts.
struct Controls {
    drain: CancellationToken,
    /// The listeners belong to another process now.
    handed_over: Arc<AtomicBool>,
    /// Nothing is waited for any more.
    end: CancellationToken,
    /// Another process serves: idle connections have time.
    unhurried: Arc<AtomicBool>,
    #[cfg(any(test, feature = "testing"))]
    panic: CancellationToken,
    counters: Arc<Counters>,
}

/// How long idle connections stay when another process has taken over.
const FAREWELL: Duration = Duration::from_secs(10);

/// Starts a worker. Returns when nothing but [`WorkerParts::opened`] keeps it from accepting, or the
/// reason why it cannot.
pub fn spawn(parts: WorkerParts) -> io::Result<WorkerHandle> {
    let index = parts.index;
    let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
    let controls = Controls {
        drain: CancellationToken::new(),
        handed_over: Arc::default(),
        end: CancellationToken::new(),
        unhurried: Arc::default(),
        #[cfg(any(test, feature = "testing"))]
        panic: CancellationToken::new(),
        counters: parts.counters.clone(),
    };
    let drain = controls.drain.clone();
    let handed_over = controls.handed_over.clone();
    let end = controls.end.clone();
    let unhurried = controls.unhurried.clone();
    #[cfg(any(test, feature = "testing"))]
    let panic = controls.panic.clone();
    let counters = controls.counters.clone();
    let (exited, exit) = oneshot::channel();
    let (started, start) = sync_channel(1);
    let thread = std::thread::Builder::new().name(format!("genkan-{index}")).spawn(move || {
        let run = AssertUnwindSafe(|| run(&runtime, parts, controls, &started));
        let end = catch_unwind(run).map_or(Exit::Panicked, |()| Exit::Drained);
        // Nobody waits when the app itself is going down.
        let _ = exited.send(end);
    })?;
    start.recv().map_err(|_| io::Error::other("the worker ended at its start"))??;
    Ok(WorkerHandle {
        index,
        counters,
        drain,
        handed_over,
        end,
        unhurried,
        #[cfg(any(test, feature = "testing"))]
        panic,
        exit,
        thread: Some(thread),
    })
}

// === impl WorkerHandle ===

impl WorkerHandle {
    pub fn index(&self) -> usize {
        self.index
    }

    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Accepts what waits in the listeners and the handshakes in flight, then closes them; ends idle
    /// connections, finishes running requests within `timeouts.drain`.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Drains, but leaves what waits in the listeners to the process that has them now.
    pub fn hand_over(&self) {
        self.handed_over.store(true, Ordering::Release);
        self.give_way();
    }

    /// Drains, and takes its time with idle connections: new ones go to another process.
    pub fn give_way(&self) {
        self.unhurried.store(true, Ordering::Release);
        self.drain.cancel();
    }

    /// Cuts what runs, at once.
    pub fn end(&self) {
        self.end.cancel();
    }

    /// The end of the worker. To be called once; cancel safe until it returns.
    pub async fn exited(&mut self) -> Exit {
        let exit = (&mut self.exit).await.unwrap_or(Exit::Panicked);
        if let Some(thread) = self.thread.take() {
            // The thread has nothing left to do but to return.
            let _ = thread.join();
        }
        exit
    }

    /// Makes the worker's thread panic, for the tests of what follows.
    #[cfg(any(test, feature = "testing"))]
    pub fn inject_panic(&self) {
        self.panic.cancel();
    }
}

// === impl Controls ===

impl Controls {
    #[cfg(any(test, feature = "testing"))]
    async fn panicked(&self) {
        self.panic.cancelled().await;
    }

    #[cfg(not(any(test, feature = "testing")))]
    async fn panicked(&self) {
        std::future::pending().await
    }
}

fn run(
    runtime: &Runtime,
    parts: WorkerParts,
    controls: Controls,
    started: &SyncSender<io::Result<()>>,
) {
    // The app hears of the failure from `spawn`; a full channel means it has gone.
    let report = |result| drop(started.try_send(result));
    let prepared = {
        let _context = runtime.enter();
        prepare(parts, &controls)
    };
    let acceptor = match prepared {
        Ok(acceptor) => acceptor,
        Err(error) => return report(Err(error)),
    };
    report(Ok(()));
    let state = acceptor.state().clone();
    let tasks = LocalSet::new();
    tasks.block_on(runtime, async {
        let serving = async {
            acceptor.run(&controls.handed_over).await;
            state.open.none().await;
        };
        let farewell = async {
            controls.drain.cancelled().await;
            if controls.unhurried.load(Ordering::Acquire) {
                // There is time: a client that is about to ask is answered, with the word that it is
                // the last time. It would lose a request that meets the end on its way.
                tokio::time::sleep(FAREWELL).await;
            }
            state.context.farewell.cancel();
            std::future::pending().await
        };
        let out_of_time = async {
            controls.drain.cancelled().await;
            tokio::time::sleep(state.context.settings().timeouts.drain).await;
            // What is left is dropped with the task set.
            state.counters.cut.add(state.open.number() as u64);
        };
        let logging = async {
            match &state.access_log {
                Some(recorder) => recorder.run().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = serving => {}
            () = out_of_time => {}
            () = controls.end.cancelled() => {}
            () = farewell => {}
            () = state.context.maintain(|| state.tick()) => {}
            () = logging => {}
            () = controls.panicked() => panic!("asked to panic by a test"),
        }
    });
}

fn prepare(parts: WorkerParts, controls: &Controls) -> io::Result<Acceptor> {
    if let Some(cpu) = parts.cpu {
        cpu::stay_on(cpu)?;
    }
    let WorkerParts {
        index, listeners, opened, settings, snapshots, load, tls, access_log, ..
    } = parts;
    let (upstream_tls, filters) = (parts.upstream_tls, parts.filters);
    let line = settings.load().access_log.clone();
    let counters = controls.counters.clone();
    let context = ProxyContext::new(
        index,
        settings,
        snapshots,
        controls.drain.clone(),
        upstream_tls,
        counters.upstream.clone(),
        filters,
    );
    let state = Rc::new(WorkerState {
        context,
        access_log: access_log.map(|log| log.recorder(line, counters.clone())),
        open: OpenConnections::new(load, counters.clone()),
        counters,
        clock: Clock::new(),
        buffers: Rc::default(),
    });
    Acceptor::new(listeners, opened, tls, state)
}

#[cfg(test)]
mod tests;
