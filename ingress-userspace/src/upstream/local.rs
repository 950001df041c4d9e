//! hyper's HTTP/2 tasks on the worker's own runtime.

use std::future::Future;

/// Spawns on the current thread. The tasks belong to the worker's local runtime and end with their
/// connection, or with the runtime.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalExecutor;

// === impl LocalExecutor ===

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
