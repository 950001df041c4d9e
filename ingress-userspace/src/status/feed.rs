//! What the control side has applied, on its way to the thread that writes: a later batch is merged
//! into an earlier one that nobody has taken yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::plan::batch::Batch;

/// The way between both threads.
#[derive(Debug, Clone, Default)]
pub struct Feed {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Option<Batch>>,
    filled: Notify,
}

// === impl Feed ===

impl Feed {
    pub fn put(&self, batch: Batch) {
        let mut waiting = self.waiting();
        match &mut *waiting {
            Some(earlier) => earlier.merge(batch),
            None => *waiting = Some(batch),
        }
        drop(waiting);
        self.shared.filled.notify_one();
    }

    pub(super) fn take(&self) -> Option<Batch> {
        self.waiting().take()
    }

    /// Waits for a batch. Cancel-safe.
    pub(super) async fn filled(&self) {
        self.shared.filled.notified().await;
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Batch>> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
