//! Between control and data: the published snapshot and what each worker has acknowledged.
//!
//! The agent publishes a whole immutable [`Snapshot`]; workers load it per request without a lock
//! and acknowledge the version that they serve. Where both are two processes, the agent's
//! [`Publisher`] feeds a [`door`], at which the proxy's [`link`] learns what to publish by its own:
//! the agent and the workers see no difference.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::routing::Snapshot;

mod bell;
pub mod door;
mod frame;
pub mod link;
pub mod wire;

#[cfg(test)]
mod tests;

use bell::Bell;

/// Agent side.
#[derive(Debug, Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

/// Worker side; one for each worker. Not shared between threads: it caches the head.
#[derive(Debug)]
pub struct Subscriber {
    cache: arc_swap::Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    shared: Arc<Shared>,
    worker: usize,
}

#[derive(Debug)]
struct Shared {
    head: Arc<ArcSwap<Snapshot>>,
    acknowledged: Box<[AtomicU64]>,
    /// Rings with each publication.
    bell: Bell,
}

// === impl Publisher ===

impl Publisher {
    pub fn new(workers: usize) -> Self {
        let head = Arc::new(ArcSwap::from_pointee(Snapshot::default()));
        let acknowledged = (0..workers).map(|_| AtomicU64::new(0)).collect();
        Self { shared: Arc::new(Shared { head, acknowledged, bell: Bell::default() }) }
    }

    pub fn publish(&self, snapshot: Snapshot) {
        self.shared.head.store(Arc::new(snapshot));
        self.shared.bell.ring();
    }

    fn bell(&self) -> &Bell {
        &self.shared.bell
    }

    pub fn current(&self) -> Arc<Snapshot> {
        self.shared.head.load_full()
    }

    /// For readers that are not workers, such as the certificate resolver.
    pub fn head(&self) -> Arc<ArcSwap<Snapshot>> {
        self.shared.head.clone()
    }

    pub fn subscribe(&self, worker: usize) -> Subscriber {
        let cache = arc_swap::Cache::new(self.shared.head.clone());
        Subscriber { cache, shared: self.shared.clone(), worker }
    }

    /// Of workers in another process: they serve this version. 0: there are none.
    pub fn acknowledge(&self, version: u64) {
        for acknowledged in &self.shared.acknowledged {
            acknowledged.store(version, Ordering::Release);
        }
    }

    /// The version that a worker serves; 0 before its first.
    pub fn served_by(&self, worker: usize) -> u64 {
        self.shared.acknowledged[worker].load(Ordering::Acquire)
    }

    /// The lowest version that any worker serves.
    pub fn served_by_all(&self) -> u64 {
        self.shared.acknowledged.iter().map(|v| v.load(Ordering::Acquire)).min().unwrap_or(0)
    }
}

// === impl Subscriber ===

impl Subscriber {
    /// Workers that subscribe, this one included.
    pub fn workers(&self) -> usize {
        self.shared.acknowledged.len()
    }

    /// The newest snapshot; a load and a compare when nothing changed.
    pub fn load(&mut self) -> &Arc<Snapshot> {
        let snapshot = self.cache.load();
        let served = &self.shared.acknowledged[self.worker];
        if served.load(Ordering::Relaxed) != snapshot.version {
            served.store(snapshot.version, Ordering::Release);
        }
        snapshot
    }
}
