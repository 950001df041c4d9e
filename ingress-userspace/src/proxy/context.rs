//! What the requests of one worker share.
//!
//! One [`ProxyContext`] for each worker thread, behind an `Rc`. Snapshot and settings are published
//! by the control side to all workers; the context keeps a thread-local handle to the newest of
//! each, so that a request takes no lock and touches no counter that another core writes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use tokio_util::sync::CancellationToken;

use super::settings::Settings;
use crate::routing::Snapshot;
use crate::snapshot::Subscriber;

#[derive(Debug)]
pub struct ProxyContext {
    /// Index of the worker, from 0.
    pub worker: usize,
    /// Cancelled when the worker drains: no new request on a kept-alive connection, GOAWAY on
    /// HTTP/2; what runs is finished.
    pub drain: CancellationToken,
    settings: RefCell<Newest<Settings>>,
    snapshots: RefCell<Subscriber>,
    snapshot: RefCell<Rc<Arc<Snapshot>>>,
}

/// The last published value and its thread-local handle.
#[derive(Debug)]
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
    ) -> Self {
        let snapshot = Rc::new(snapshots.load().clone());
        Self {
            worker,
            drain,
            settings: RefCell::new(Newest::new(settings)),
            snapshots: RefCell::new(snapshots),
            snapshot: RefCell::new(snapshot),
        }
    }

    /// The settings of now. Hold them for one request, not for a connection.
    pub fn settings(&self) -> Rc<Arc<Settings>> {
        self.settings.borrow_mut().load()
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

    fn load(&mut self) -> Rc<Arc<T>> {
        let head = self.cache.load();
        if !Arc::ptr_eq(head, &self.local) {
            self.local = Rc::new(head.clone());
        }
        self.local.clone()
    }
}
