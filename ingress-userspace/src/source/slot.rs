//! Updates on their way from the thread to the task: a later one is merged into an earlier one that
//! nobody has fetched yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Update;

#[derive(Debug, Default)]
pub(super) struct Slot {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    update: Option<Update>,
    /// The last rereading whose outcome is in `update`.
    answered: u64,
    /// The thread has ended.
    closed: bool,
}

struct CloseOnDrop(Arc<Slot>);

// === impl Slot ===

impl Slot {
    pub(super) fn take(&self) -> Option<Update> {
        self.waiting().update.take()
    }

    /// `None` when there will be none.
    pub(super) fn take_answer(&self, number: u64) -> Option<Option<Update>> {
        let mut waiting = self.waiting();
        if waiting.answered >= number {
            return Some(waiting.update.take());
        }
        (!waiting.closed).then_some(None)
    }

    /// `answered`: the number of the rereading that this is the outcome of.
    pub(super) fn put(&self, update: Update, answered: Option<u64>) {
        let mut waiting = self.waiting();
        match &mut waiting.update {
            Some(earlier) => earlier.merge(update),
            None => waiting.update = Some(update),
        }
        waiting.answered = answered.unwrap_or(waiting.answered);
        drop(waiting);
        self.filled.notify_one();
    }

    /// Waits for something new. Cancel-safe.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Tells the task, when it is dropped, that nothing comes any more.
    pub(super) fn closing(self: Arc<Self>) -> impl Drop {
        CloseOnDrop(self)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.waiting().closed = true;
        self.0.filled.notify_one();
    }
}
