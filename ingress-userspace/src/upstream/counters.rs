//! What a worker counts of its connections to endpoints. Written by one thread, read by the scrape.

use std::sync::Arc;
use std::time::Duration;

use super::Error;
use crate::metrics::{Counter, Distribution, Exposition, Histogram};

#[derive(Debug, Default)]
pub struct UpstreamCounters {
    /// Connections made, TLS included.
    opened: Counter,
    open: Counter,
    /// Kept without a request, as of the last sweep.
    idle: Counter,
    /// Requests on a connection that had served others before.
    reused: Counter,
    fresh: Counter,
    /// Requests sent a second time, on another connection or to another endpoint.
    retries: Counter,
    refused: Counter,
    late: Counter,
    tls: Counter,
    other: Counter,
    /// How long making a connection took.
    connect: Histogram,
}

/// One open connection; dropped with it.
#[derive(Debug)]
pub(super) struct Opened {
    counters: Arc<UpstreamCounters>,
}

// === impl UpstreamCounters ===

impl UpstreamCounters {
    /// A connection was made, or not.
    pub(super) fn connected<T>(&self, made: &Result<T, Error>, took: Duration) {
        match made {
            Ok(_) => self.connect.observe(took),
            Err(Error::Connect) => self.refused.add(1),
            Err(Error::ConnectTimeout) => self.late.add(1),
            Err(Error::Tls) => self.tls.add(1),
            Err(_) => self.other.add(1),
        }
    }

    pub(super) fn open(self: &Arc<Self>) -> Opened {
        self.opened.add(1);
        self.open.set(self.open.value() + 1);
        Opened { counters: self.clone() }
    }

    pub(super) fn requested(&self, reused: bool) {
        if reused { self.reused.add(1) } else { self.fresh.add(1) }
    }

    pub(super) fn tried_again(&self) {
        self.retries.add(1);
    }

    pub(super) fn kept(&self, idle: usize) {
        self.idle.set(idle as u64);
    }

    /// A thread that had the worker's place before may have left some open.
    pub(super) fn begin(&self) {
        self.open.set(0);
        self.idle.set(0);
    }

    /// The families of all workers together.
    pub fn export<'a>(all: impl Iterator<Item = &'a Self> + Clone, out: &mut Exposition) {
        let sum = |of: fn(&Self) -> &Counter| all.clone().map(|c| of(c).value()).sum::<u64>();
        let opened = sum(|c| &c.opened);
        out.counter("genkan_upstream_connections_opened", "Connections made to endpoints.")
            .number(&[], opened);
        let (open, idle) = (sum(|c| &c.open), sum(|c| &c.idle));
        out.gauge("genkan_upstream_connections", "Open connections to endpoints.")
            .number(&[("state", "idle")], idle)
            .number(&[("state", "busy")], open.saturating_sub(idle));
        out.counter("genkan_upstream_connect_failures", "Connections to endpoints not made.")
            .number(&[("reason", "connect")], sum(|c| &c.refused))
            .number(&[("reason", "connect_timeout")], sum(|c| &c.late))
            .number(&[("reason", "upstream_tls")], sum(|c| &c.tls))
            .number(&[("reason", "other")], sum(|c| &c.other));
        out.counter("genkan_upstream_requests", "Requests sent to endpoints, by connection.")
            .number(&[("connection", "new")], sum(|c| &c.fresh))
            .number(&[("connection", "reused")], sum(|c| &c.reused));
        out.counter("genkan_upstream_retries", "Requests sent again.")
            .number(&[], sum(|c| &c.retries));
        let mut connect = Distribution::default();
        all.for_each(|counters| connect.add(&counters.connect.read()));
        out.histogram("genkan_upstream_connect_seconds", "Time to make a connection.")
            .distribution(&[], &connect);
    }
}

// === impl Opened ===

impl Drop for Opened {
    fn drop(&mut self) {
        // One that a thread before this one left does not count any more.
        self.counters.open.set(self.counters.open.value().saturating_sub(1));
    }
}
