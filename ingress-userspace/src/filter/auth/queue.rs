//! The threads that hash passwords, and the line before them.
//!
//! The same password of several requests is checked once for all of them. No client takes more than
//! its share of the line, so that who guesses does not keep the others waiting.

use std::net::{IpAddr, Ipv6Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use hashbrown::HashMap;
use tokio::sync::oneshot;

use super::verdicts::Digest;
use crate::htpasswd::Entry;

/// Checks that wait; at the usual cost of bcrypt the last one waits some seconds.
const WAITING: usize = 64;
/// Checks of one client that wait or run.
const SHARE: usize = WAITING / 4;
/// Hashing must not take the CPUs from the workers.
const MOST_THREADS: usize = 4;

/// Starts its threads with the first password; they end with it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    line: Arc<Mutex<Line>>,
    jobs: OnceLock<SyncSender<Job>>,
}

/// What waits or runs.
#[derive(Debug, Default)]
struct Line {
    checks: HashMap<Digest, Check>,
    of_clients: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Check {
    /// Who asked first.
    client: IpAddr,
    asked: Vec<oneshot::Sender<bool>>,
}

#[derive(Debug)]
struct Job {
    digest: Digest,
    entry: Entry,
    password: Box<[u8]>,
}

// === impl Queue ===

impl Queue {
    /// Whether the password is right; `None` when too many wait. `digest` tells checks apart.
    pub(super) async fn check(
        &self,
        digest: &Digest,
        client: IpAddr,
        entry: &Entry,
        password: &[u8],
    ) -> Option<bool> {
        let (asking, verdict) = oneshot::channel();
        {
            let mut line = lock(&self.line);
            let client = share_of(client);
            if let Some(check) = line.checks.get_mut(digest) {
                // Who has left makes room, so that asking and leaving does not add up.
                check.asked.retain(|asking| !asking.is_closed());
                check.asked.push(asking);
            } else {
                let of_client = line.of_clients.get(&client).copied().unwrap_or(0);
                if of_client >= SHARE {
                    return None;
                }
                let jobs = self.jobs.get_or_init(|| start(&self.line));
                let job = Job { digest: *digest, entry: entry.clone(), password: password.into() };
                // Whoever takes it waits for the lock before it asks for the check.
                jobs.try_send(job).ok()?;
                line.checks.insert(*digest, Check { client, asked: vec![asking] });
                line.of_clients.insert(client, of_client + 1);
            }
        }
        verdict.await.ok()
    }
}

// === impl Line ===

impl Line {
    /// Whether somebody still waits for it.
    fn is_wanted(&self, digest: &Digest) -> bool {
        let check = self.checks.get(digest);
        check.is_some_and(|check| check.asked.iter().any(|asking| !asking.is_closed()))
    }

    /// Takes a check out; `None`: it was not done.
    fn end(&mut self, digest: &Digest, verdict: Option<bool>) {
        let Some(check) = self.checks.remove(digest) else { return };
        if let Some(number) = self.of_clients.get_mut(&check.client) {
            *number -= 1;
            if *number == 0 {
                self.of_clients.remove(&check.client);
            }
        }
        for asking in check.asked {
            if let Some(verdict) = verdict {
                // Some have left meanwhile.
                let _ = asking.send(verdict);
            }
        }
    }
}

/// Whose share an address takes: a host, or the IPv6 network of one.
fn share_of(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

fn start(line: &Arc<Mutex<Line>>) -> SyncSender<Job> {
    let (sender, receiver) = sync_channel(WAITING);
    let receiver = Arc::new(Mutex::new(receiver));
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    for number in 0..(cpus / 2).clamp(1, MOST_THREADS) {
        let (receiver, line) = (receiver.clone(), line.clone());
        let name = format!("genkan-password-{number}");
        let started = thread::Builder::new().name(name).spawn(move || work(&receiver, &line));
        if let Err(error) = started {
            // Without any thread the channel is closed: each password is answered with "busy".
            tracing::error!(%error, "a thread for passwords cannot be started");
        }
    }
    sender
}

fn work(jobs: &Mutex<Receiver<Job>>, line: &Mutex<Line>) {
    loop {
        let next = lock(jobs).recv();
        let Ok(Job { digest, entry, password }) = next else { return };
        // Clients that have left are not worth the time.
        let wanted = lock(line).is_wanted(&digest);
        let verdict = wanted.then(|| {
            // What is not expected is a refusal.
            catch_unwind(AssertUnwindSafe(|| entry.admits(&password))).unwrap_or(false)
        });
        lock(line).end(&digest, verdict);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whole after each statement under the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
