//! The threads that hash passwords, and the line before them.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use crate::htpasswd::Entry;

/// Passwords that wait; at the usual cost of bcrypt the last one waits some seconds.
const WAITING: usize = 64;
/// Hashing must not take the CPUs from the workers.
const MOST_THREADS: usize = 4;

/// Starts its threads with the first password; they end with it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    jobs: OnceLock<SyncSender<Job>>,
}

#[derive(Debug)]
struct Job {
    entry: Entry,
    password: Box<[u8]>,
    done: oneshot::Sender<bool>,
}

// === impl Queue ===

impl Queue {
    /// Whether the password is right; `None` when too many wait.
    pub(super) async fn check(&self, entry: Entry, password: Box<[u8]>) -> Option<bool> {
        let (done, verdict) = oneshot::channel();
        self.jobs.get_or_init(start).try_send(Job { entry, password, done }).ok()?;
        verdict.await.ok()
    }
}

fn start() -> SyncSender<Job> {
    let (sender, receiver) = sync_channel(WAITING);
    let receiver = Arc::new(Mutex::new(receiver));
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    for number in 0..(cpus / 2).clamp(1, MOST_THREADS) {
        let receiver = receiver.clone();
        let name = format!("genkan-password-{number}");
        let started = thread::Builder::new().name(name).spawn(move || work(&receiver));
        if let Err(error) = started {
            // Without any thread the channel is closed: each password is answered with "busy".
            tracing::error!(%error, "a thread for passwords cannot be started");
        }
    }
    sender
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { entry, password, done }) = next else { return };
        // A client that has left is not worth the time.
        if !done.is_closed() {
            // It may leave meanwhile.
            let _ = done.send(entry.admits(&password));
        }
    }
}
