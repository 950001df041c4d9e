//! Which endpoint gets the next request. Pure: indices in, an index out.

mod least_request;
pub(super) mod rendezvous;
mod round_robin;

use std::cell::Cell;

use crate::routing::Balance;

/// What a worker remembers of a cluster for balancing.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    next: Cell<usize>,
}

// === impl Turn ===

impl Turn {
    /// Workers begin at different endpoints: few requests spread over many workers would otherwise
    /// all meet the first ones.
    pub(super) fn new(worker: usize) -> Self {
        Self { next: Cell::new(worker) }
    }

    /// One of `count` endpoints for which `skip` is false, or `None` when all are skipped.
    pub(super) fn pick(
        &self,
        balance: Balance,
        count: usize,
        in_flight: impl Fn(usize) -> u32,
        skip: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        match balance {
            Balance::RoundRobin => round_robin::pick(&self.next, count, skip),
            Balance::LeastRequest => least_request::pick(&self.next, count, in_flight, skip),
        }
    }
}
