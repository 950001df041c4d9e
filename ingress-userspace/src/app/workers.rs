//! The workers of this process: where each runs, and a new one in the place of one that ended.

mod vacancy;

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use anyhow::Context;
use arc_swap::ArcSwap;
use ingress_common::worker::MAX_WORKERS;
use tokio_util::sync::CancellationToken;

use super::entrance::{Entrance, Opened};
use crate::config::Config;
use crate::filter;
use crate::handover::Lent;
use crate::metrics::process;
use crate::net::cpu;
use crate::proxy::access_log::AccessLog;
use crate::proxy::counters::Counters;
use crate::proxy::worker::{Exit, WorkerHandle, WorkerParts};
use crate::proxy::{self, worker};
use crate::snapshot::Publisher;
use crate::tls;
use crate::upstream::ClientTls;
use vacancy::Vacancy;

/// What every worker gets.
pub(super) struct Shared {
    pub(super) settings: Arc<ArcSwap<proxy::Settings>>,
    pub(super) publisher: Publisher,
    pub(super) tls: tls::Acceptor,
    pub(super) upstream_tls: Arc<ClientTls>,
    pub(super) access_log: Option<AccessLog>,
    pub(super) filters: filter::Shared,
    pub(super) places: Vec<Place>,
    /// One for each place.
    pub(super) counters: Arc<[Arc<Counters>]>,
}

/// Where a worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) cpu: u32,
    /// The only worker of its CPU: it stays there, where `dispatch` sends that CPU's connections.
    pub(super) pinned: bool,
}

pub(super) struct Workers {
    shared: Shared,
    /// Cancelled when they may accept.
    opened: CancellationToken,
    /// `None` while a place has no worker: it could not be started again.
    running: Vec<Option<Running>>,
    /// One for each place.
    vacancies: Vec<Vacancy>,
}

struct Running {
    since: Instant,
    handle: WorkerHandle,
    /// Copies, for a successor. They go with the worker: one that outlived it would take connections
    /// that nobody accepts.
    listeners: Vec<Opened>,
}

/// A worker that has not moved for so long is stuck.
const STUCK: Duration = Duration::from_secs(10);

/// One place for each worker on the CPUs of this process.
pub(super) fn places(config: &Config) -> anyhow::Result<Vec<Place>> {
    places_of(config.workers.count)
}

/// `count`: absent = as many as CPUs.
pub(super) fn places_of(count: Option<usize>) -> anyhow::Result<Vec<Place>> {
    let cpus = cpu::allowed().context("CPUs of this process")?;
    anyhow::ensure!(!cpus.is_empty(), "no CPU is allowed for this process");
    let count = count.unwrap_or_else(|| cpus.len().min(MAX_WORKERS as usize));
    let pinned = count <= cpus.len();
    Ok(cpus.iter().cycle().take(count).map(|&cpu| Place { cpu, pinned }).collect())
}

// === impl Workers ===

impl Workers {
    /// Starts them all. They accept nothing before [`Self::open`].
    pub(super) fn start(shared: Shared, entrance: &mut Entrance) -> anyhow::Result<Self> {
        let opened = CancellationToken::new();
        let running = (0..shared.places.len())
            .map(|index| spawn(&shared, &opened, index, entrance).map(Some))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let vacancies = running.iter().map(|_| Vacancy::default()).collect();
        Ok(Self { shared, opened, running, vacancies })
    }

    /// Lets connections come.
    ///
    /// # Errors
    ///
    /// The first of those workers to which none come; to the others they do.
    pub(super) fn open(&mut self, entrance: &mut Entrance) -> anyhow::Result<()> {
        self.opened.cancel();
        let mut outcome = Ok(());
        for (index, running) in self.running.iter_mut().enumerate() {
            let Some(running) = running else { continue };
            // Each is tried, whatever became of the others.
            let admitted = running.admit(index, entrance);
            outcome = outcome.and(admitted);
        }
        outcome
    }

    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    /// The next worker that ends, and how. Cancel-safe.
    pub(super) async fn exited(&mut self) -> (usize, Exit) {
        poll_fn(|cx| {
            for (index, place) in self.running.iter_mut().enumerate() {
                let Some(running) = place else { continue };
                let exit = pin!(running.handle.exited()).poll(cx);
                if let Poll::Ready(exit) = exit {
                    self.vacancies[index].begin(running.since.elapsed(), Instant::now());
                    *place = None;
                    return Poll::Ready((index, exit));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// A place whose worker has just ended, and how, or one that it is time to fill. Cancel-safe.
    pub(super) async fn lack(&mut self) -> (usize, Option<Exit>) {
        let due = self.vacancies.iter().enumerate();
        let due = due.filter_map(|(index, vacancy)| Some((vacancy.due()?, index))).min();
        let vacant = async {
            let Some((due, index)) = due else { return std::future::pending().await };
            tokio::time::sleep_until(due.into()).await;
            index
        };
        tokio::select! {
            (index, exit) = self.exited() => (index, Some(exit)),
            index = vacant => (index, None),
        }
    }

    /// A new worker in the place of one that ended, now or after a pause; the others serve
    /// meanwhile.
    pub(super) fn replace(
        &mut self,
        (index, exit): (usize, Option<Exit>),
        entrance: &mut Entrance,
    ) {
        if let Some(exit) = exit {
            tracing::error!(worker = index, ?exit, "worker ended; a new one takes its place");
        }
        if self.vacancies[index].is_due(Instant::now()) {
            self.fill(index, entrance);
        }
    }

    /// What does not succeed is tried again, after longer and longer pauses.
    fn fill(&mut self, index: usize, entrance: &mut Entrance) {
        let mut running = match spawn(&self.shared, &self.opened, index, entrance) {
            Ok(running) => running,
            Err(error) => {
                tracing::error!(worker = index, "no new worker: {error:#}");
                return self.vacancies[index].go_on(Instant::now());
            }
        };
        self.vacancies[index].end();
        if let Err(error) = running.admit(index, entrance) {
            tracing::error!(worker = index, "a new worker without connections: {error:#}");
            // Its end is that of a worker that did not last.
            running.drain();
        }
        self.running[index] = Some(running);
    }

    /// Whether each place has a worker.
    pub(super) fn running(&self) -> Vec<bool> {
        self.running.iter().map(Option::is_some).collect()
    }

    pub(super) fn drain(&mut self) {
        self.running.iter_mut().flatten().for_each(Running::drain);
    }

    /// Drains; new connections go to another process, what waits in the listeners is accepted.
    pub(super) fn give_way(&mut self) {
        for running in self.running.iter_mut().flatten() {
            running.listeners.clear();
            running.handle.give_way();
        }
    }

    /// Cuts what runs.
    pub(super) fn end(&self) {
        self.running.iter().flatten().for_each(|running| running.handle.end());
    }

    /// Drains; the listeners belong to another process.
    pub(super) fn hand_over(&mut self) {
        for running in self.running.iter_mut().flatten() {
            running.listeners.clear();
            running.handle.hand_over();
        }
    }

    /// The listeners of all workers, for a successor.
    pub(super) fn lend(&self) -> io::Result<Vec<Lent>> {
        let running = self.running.iter().enumerate();
        let running = running.filter_map(|(worker, running)| Some((worker, running.as_ref()?)));
        running
            .flat_map(|(worker, running)| running.listeners.iter().map(move |of| (worker, of)))
            .map(|(worker, opened)| Ok(Lent { worker, listener: opened.listener.try_clone()? }))
            .collect()
    }

    /// Whether there are workers and the loop of each turns. One that has ended is not stuck: it is
    /// replaced.
    pub(super) fn are_well(&self) -> bool {
        let now = process::uptime();
        if self.running.iter().all(Option::is_none) {
            return false;
        }
        let running = self.running.iter().flatten().map(|running| running.handle.counters());
        running.map(|counters| counters.last_beat()).all(|beat| now.saturating_sub(beat) < STUCK)
    }

    /// Connections that were cut at the end of `timeouts.drain`.
    pub(super) fn cut(&self) -> u64 {
        self.shared.counters.iter().map(|counters| counters.cut.value()).sum()
    }

    /// Cancel-safe.
    pub(super) async fn all_exited(&mut self) {
        while self.running.iter().any(Option::is_some) {
            self.exited().await;
        }
    }

    #[cfg(feature = "testing")]
    pub(super) fn inject_panic(&self) {
        if let Some(running) = self.running.iter().flatten().next() {
            running.handle.inject_panic();
        }
    }
}

// === impl Running ===

impl Running {
    fn drain(&mut self) {
        self.listeners.clear();
        self.handle.drain();
    }

    /// Lets connections come to the listeners that have no place yet.
    fn admit(&mut self, index: usize, entrance: &mut Entrance) -> anyhow::Result<()> {
        let admitted = entrance.admit(index, &self.listeners);
        // From others, connections may still be taken, but none comes: no successor needs them.
        self.listeners.retain(|opened| opened.lasts);
        admitted.with_context(|| format!("listeners of worker {index}"))
    }
}

fn spawn(
    shared: &Shared,
    may_accept: &CancellationToken,
    index: usize,
    entrance: &mut Entrance,
) -> anyhow::Result<Running> {
    let opened = entrance.listeners(index, shared.places.len())?;
    let copy = |opened: &Opened| opened.listener.try_clone();
    let copies = opened.iter().map(copy).collect::<Result<Vec<_>, _>>()?;
    let Place { cpu, pinned } = shared.places[index];
    let parts = WorkerParts {
        index,
        cpu: pinned.then_some(cpu),
        listeners: copies,
        opened: may_accept.clone(),
        settings: shared.settings.clone(),
        snapshots: shared.publisher.subscribe(index),
        load: entrance.load(index),
        counters: shared.counters[index].clone(),
        tls: shared.tls.clone(),
        upstream_tls: shared.upstream_tls.clone(),
        access_log: shared.access_log.clone(),
        filters: shared.filters.clone(),
    };
    let handle = worker::spawn(parts).with_context(|| format!("worker {index}"))?;
    shared.counters[index].starts.add(1);
    Ok(Running { since: Instant::now(), handle, listeners: opened })
}
