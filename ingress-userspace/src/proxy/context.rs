//! What the requests of one worker share.
//!
//! One [`ProxyContext`] for each worker thread, behind an `Rc`. Snapshot and settings are published
//! by the control side to all workers; the context keeps a thread-local handle to the newest of
//! each, so that a request takes no lock and touches no counter that another core writes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use tokio_util::sync::CancellationToken;

use super::body::RequestBody;
use super::settings::Settings;
use crate::filter;
use crate::filter::auth::Passwords;
use crate::filter::limit::Limiting;
use crate::routing::Snapshot;
use crate::snapshot::Subscriber;
use crate::upstream::{ClientTls, Policy, UpstreamCounters, Upstreams};

/// How exactly idle timeouts and lifetimes of upstream connections are kept.
const SWEEP: Duration = Duration::from_secs(1);

#[derive(Debug)]
#[expect(clippy::redundant_allocation, reason = "all cores share the counter of the Arc")]
pub struct ProxyContext {
    /// Index of the worker, from 0.
    pub worker: usize,
    /// Workers of the process.
    pub workers: usize,
    /// Cancelled when the worker drains: the next answer of a kept-alive connection is its last,
    /// GOAWAY on HTTP/2; what runs is finished.
    pub drain: CancellationToken,
    /// Cancelled when idle connections of HTTP/1 end, at once or some time after the drain began.
    pub farewell: CancellationToken,
    pub upstreams: Upstreams<RequestBody>,
    /// Counts the requests of routes with limits.
    pub limiting: Limiting,
    pub passwords: Arc<Passwords>,
    settings: RefCell<Newest<Settings>>,
    snapshots: RefCell<Subscriber>,
    snapshot: RefCell<Rc<Arc<Snapshot>>>,
}

/// The last published value and its thread-local handle.
#[derive(Debug)]
#[expect(clippy::redundant_allocation, reason = "all cores share the counter of the Arc")]
struct Newest<T> {
    cache: Cache<Arc<ArcSwap<T>>, Arc<T>>,
    local: Rc<Arc<T>>,
}

// === impl ProxyContext ===

impl ProxyContext {
    pub fn new(
        worker: usize,
        settings: Arc<ArcSwap<Settings>>,
        mut snapshots: Subscriber,
        drain: CancellationToken,
        tls: Arc<ClientTls>,
        counters: Arc<UpstreamCounters>,
        filters: filter::Shared,
    ) -> Self {
        let workers = snapshots.workers();
        let snapshot = Rc::new(snapshots.load().clone());
        let settings = Newest::new(settings);
        let upstreams = Upstreams::new(worker, tls, policy(&settings.local), counters);
        Self {
            worker,
            workers,
            drain,
            farewell: CancellationToken::new(),
            upstreams,
            limiting: Limiting::new(filters.limiter),
            passwords: filters.passwords,
            settings: RefCell::new(settings),
            snapshots: RefCell::new(snapshots),
            snapshot: RefCell::new(snapshot),
        }
    }

    /// The settings of now. Hold them for one request, not for a connection.
    pub fn settings(&self) -> Rc<Arc<Settings>> {
        let mut settings = self.settings.borrow_mut();
        if settings.refresh() {
            self.upstreams.set_policy(policy(&settings.local));
        }
        settings.local.clone()
    }

    /// Keeps pools and tables in order. Runs as long as the worker, also while it drains; `beat` is
    /// called each time.
    pub async fn maintain(&self, beat: impl Fn()) {
        let mut ticks = tokio::time::interval(SWEEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            beat();
            self.settings();
            self.upstreams.sweep(&self.snapshot());
            self.limiting.sweep();
        }
    }

    /// The snapshot of now; a request uses one from its route to its endpoint.
    pub fn snapshot(&self) -> Rc<Arc<Snapshot>> {
        let mut subscriber = self.snapshots.borrow_mut();
        let head = subscriber.load();
        let mut local = self.snapshot.borrow_mut();
        if !Arc::ptr_eq(head, &local) {
            *local = Rc::new(head.clone());
        }
        local.clone()
    }
}

// === impl Newest ===

impl<T> Newest<T> {
    fn new(head: Arc<ArcSwap<T>>) -> Self {
        let mut cache = Cache::new(head);
        let local = Rc::new(cache.load().clone());
        Self { cache, local }
    }

    /// Whether there is a newer value now.
    fn refresh(&mut self) -> bool {
        let head = self.cache.load();
        let newer = !Arc::ptr_eq(head, &self.local);
        if newer {
            self.local = Rc::new(head.clone());
        }
        newer
    }
}

fn policy(settings: &Settings) -> Policy {
    Policy { timeouts: settings.timeouts, limits: settings.limits }
}
