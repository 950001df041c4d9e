//! What the connections of one worker share. Lives on the worker's thread only.

use std::rc::Rc;
use std::sync::Arc;

use super::{Buffers, Clock, OpenConnections};
use crate::proxy::access_log::{Entry, Recorder, Wants};
use crate::proxy::context::ProxyContext;
use crate::proxy::counters::Counters;

const SWITCHING: u16 = 101;

#[derive(Debug)]
pub struct WorkerState {
    pub context: ProxyContext,
    pub counters: Arc<Counters>,
    /// Absent: the log is off.
    pub access_log: Option<Recorder>,
    pub open: OpenConnections,
    pub clock: Clock,
    pub buffers: Rc<Buffers>,
}

// === impl WorkerState ===

impl WorkerState {
    /// Looks after the worker, about once a second.
    pub fn tick(&self) {
        self.counters.beat();
        if let Some(log) = &self.access_log {
            log.follow(self.context.settings().access_log.clone());
        }
    }

    /// What of a request's head the access log wants.
    pub fn wants(&self) -> Wants {
        self.access_log.as_ref().map(Recorder::wants).unwrap_or_default()
    }

    /// Counts and logs one request, whatever its end. Each request comes here once, from the
    /// protocol that it came by.
    pub fn finished(&self, entry: &Entry<'_>) {
        self.counters.answered(entry.status);
        self.counters.received.add(entry.received);
        self.counters.sent.add(entry.sent);
        if let Some(failure) = entry.failure {
            self.counters.failed(failure);
        }
        if let Some(vip) = &entry.connection.vip {
            vip.answered(entry.status, entry.received, entry.sent);
        }
        let block = match &entry.outcome.route {
            Some(route) => route.tally.of(self.context.worker, self.context.workers),
            None => &self.counters.unrouted,
        };
        block.answered(entry.status);
        block.received.add(entry.received);
        block.sent.add(entry.sent);
        // An upgraded connection lasts as long as its client likes.
        if entry.status != SWITCHING {
            block.duration.observe(entry.duration);
        }
        if let Some(upstream) = entry.outcome.upstream {
            block.upstream.observe(upstream);
        }
        if let Some(log) = &self.access_log {
            log.record(entry, &self.context, &self.clock);
        }
    }
}
