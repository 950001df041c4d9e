//! hyper's tasks for the streams of a connection. One that panics ends its stream, which the client
//! sees as a reset, and is counted.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::proxy::counters::Counters;

#[derive(Debug, Clone)]
pub(super) struct Tasks {
    counters: Arc<Counters>,
}

// === impl Tasks ===

impl Tasks {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self { counters }
    }
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        let counters = self.counters.clone();
        tokio::task::spawn_local(async move {
            if AssertUnwindSafe(future).catch_unwind().await.is_err() {
                counters.panics.add(1);
            }
        });
    }
}
