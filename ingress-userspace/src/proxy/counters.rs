//! What a worker counts. Written by one thread, read by the scrape.

use std::sync::Arc;
use std::time::Duration;

use super::error::Failure;
use crate::metrics::{Block, Counter, process};
use crate::tls::Handshake;
use crate::upstream::UpstreamCounters;

mod export;
mod vips;

pub use export::export;
pub use vips::{VipCounters, Vips};

/// Of one worker's place: they go on when another thread takes it.
#[derive(Debug, Default)]
pub struct Counters {
    /// Threads that have had the place. Written by whoever starts them.
    pub starts: Counter,
    /// Milliseconds of the process's life when the worker last moved.
    beat: Counter,
    /// Connections accepted and served.
    pub connections: Counter,
    /// Connections open now.
    pub connections_open: Counter,
    /// Connections closed at once: their local address is not a VIP and port of ours.
    pub unknown_destination: Counter,
    /// Connections closed at once: the VIP's source rules refuse the client, and no kernel program
    /// had said so before.
    pub denied: Counter,
    /// Accepts that failed for want of file descriptors or memory, and pauses before they would.
    pub accept_failures: Counter,
    pub handshake_failures: Counter,
    /// Connections and streams that ended in a panic of ours.
    pub panics: Counter,
    /// Connections that were still open at the end of `timeouts.drain`.
    pub cut: Counter,
    /// Answers by status class, 1xx to 5xx.
    pub answers: [Counter; 5],
    /// By [`Failure::index`].
    pub failures: [Counter; Failure::COUNT],
    /// Body bytes from clients.
    pub received: Counter,
    /// Body bytes to clients.
    pub sent: Counter,
    /// By the address that clients connected to.
    pub vips: Vips,
    /// Requests that no route has won, and what could not be read as one.
    pub unrouted: Block,
    /// TLS handshakes, by [`Handshake::index`].
    handshakes: [Counter; Handshake::COUNT],
    /// Access log lines that were written, and that could not be. Counted by the log's writer.
    pub log_lines: Counter,
    pub log_lost: Counter,
    /// Access log lines that the writer could not take.
    pub log_dropped: Counter,
    pub upstream: Arc<UpstreamCounters>,
}

// === impl Counters ===

impl Counters {
    /// The worker moves: to be called about once a second.
    pub fn beat(&self) {
        self.beat.set(u64::try_from(process::uptime().as_millis()).unwrap_or(u64::MAX));
    }

    /// When it last moved, as [`process::uptime`] was then.
    pub fn last_beat(&self) -> Duration {
        Duration::from_millis(self.beat.value())
    }

    /// One answered request, or one that could not be read.
    pub fn answered(&self, status: u16) {
        self.answers[class_of(status)].add(1);
    }

    pub fn shaken_hands(&self, handshake: Handshake) {
        self.handshakes[handshake.index()].add(1);
    }

    pub fn failed(&self, failure: Failure) {
        self.failures[failure.index()].add(1);
    }
}

/// Index of `1xx` to `5xx`.
fn class_of(status: u16) -> usize {
    usize::from(status / 100).clamp(1, 5) - 1
}
