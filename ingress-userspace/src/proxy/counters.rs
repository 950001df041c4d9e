//! What a worker counts. Written by one thread, read by the scrape.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::Failure;

/// A counter that one thread writes: a load and a store, no locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted and served.
    pub connections: Counter,
    /// Connections open now.
    pub connections_open: Counter,
    /// Connections closed at once: their local address is not a VIP and port of ours.
    pub unknown_destination: Counter,
    /// Connections closed at once: the VIP's source rules refuse the client, and no kernel program
    /// had said so before.
    pub denied: Counter,
    /// Accepts that failed for want of file descriptors or memory.
    pub accept_failures: Counter,
    pub handshake_failures: Counter,
    /// Connections that ended in a panic of ours.
    pub panics: Counter,
    /// Answers by status class, 1xx to 5xx.
    pub answers: [Counter; 5],
    /// By [`Failure::index`].
    pub failures: [Counter; Failure::COUNT],
    /// Body bytes from clients.
    pub received: Counter,
    /// Body bytes to clients.
    pub sent: Counter,
    /// Access log lines that the writer could not take.
    pub log_dropped: Counter,
}

// === impl Counter ===

impl Counter {
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Counters ===

impl Counters {
    /// One answered request, or one that could not be read.
    pub fn answered(&self, status: u16) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.answers[class].add(1);
    }

    pub fn failed(&self, failure: Failure) {
        self.failures[failure.index()].add(1);
    }
}
