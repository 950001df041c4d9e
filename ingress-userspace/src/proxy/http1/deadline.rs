//! One timer for all deadlines of a connection, registered only when something has to wait.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// Deadlines of a connection mostly move away (each request pushes the next one out), so the timer
/// may ring too early and is then set again; it is moved only for an earlier deadline.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    timer: Option<Pin<Box<Sleep>>>,
}

// === impl Deadline ===

impl Deadline {
    /// Ready when `at` has passed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
    }
}
