//! What is logged, as the administration reads and sets it.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::spawn_local;
use tokio_util::sync::CancellationToken;

use crate::telemetry::level;

/// PUT /log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// A level, or levels by target.
    pub filter: String,
    /// After which the filter of the start is in force again; absent = until the next wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// GET /log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub filter: String,
    /// Filter of the start.
    pub first: String,
}

/// Takes a wish back when its time is over.
#[derive(Debug, Default)]
pub(super) struct Log {
    running_out: Mutex<CancellationToken>,
}

// === impl Log ===

impl Log {
    pub(super) fn told(&self) -> Told {
        let or_nothing = Option::unwrap_or_default;
        Told { filter: or_nothing(level::filter()), first: or_nothing(level::first_filter()) }
    }

    /// To be called on the runtime of the administration.
    pub(super) fn set(&self, wish: &Wish) -> Result<(), String> {
        level::set_filter(&wish.filter)?;
        tracing::info!(filter = wish.filter, seconds = wish.seconds, "what is logged has changed");
        let cancel = CancellationToken::new();
        let mut running_out = self.running_out.lock().unwrap_or_else(PoisonError::into_inner);
        // The wish before this one does not run out any more.
        std::mem::replace(&mut *running_out, cancel.clone()).cancel();
        if let Some(seconds) = wish.seconds {
            spawn_local(async move {
                tokio::select! {
                    () = cancel.cancelled() => {}
                    () = tokio::time::sleep(Duration::from_secs(seconds)) => fall_back(),
                }
            });
        }
        Ok(())
    }
}

fn fall_back() {
    let Some(first) = level::first_filter() else { return };
    match level::set_filter(&first) {
        Ok(()) => tracing::info!(filter = first, "what is logged is as at the start again"),
        Err(error) => tracing::error!(error, "what is logged stays changed"),
    }
}
