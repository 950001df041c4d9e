//! How the source stands: what it shows to readiness, status and metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::model::Kind;

/// Read by the administration, written by the source's thread.
#[derive(Debug, Clone, Default)]
pub struct Standing(Arc<Mutex<Facts>>);

#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub served: Served,
    pub kinds: BTreeMap<Kind, KindFacts>,
    /// Why watches fail now, each reason once.
    pub failures: Vec<String>,
    /// Since when a watch of objects that all routes need has failed, if one does.
    pub failing_since: Option<Instant>,
    /// Bytes of the cache file; `None` without one.
    pub cache_bytes: Option<u64>,
}

/// Where the objects that are served come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Served {
    /// There are none yet.
    #[default]
    Nothing,
    /// The file of an earlier process.
    Cache {
        written: SystemTime,
    },
    Server,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct KindFacts {
    pub objects: usize,
    pub watches: usize,
    /// When the watch that was silent longest was heard from; bookmarks count.
    pub heard: Option<Instant>,
    /// Full lists; after the first of a watch the server had forgotten its version.
    pub lists: u64,
    /// Requests that failed, and watches that broke off.
    pub errors: u64,
}

// === impl Standing ===

impl Standing {
    pub fn facts(&self) -> Facts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, facts: Facts) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = facts;
    }
}

// === impl Facts ===

impl Facts {
    /// How long the server has not kept us informed.
    pub fn failing_for(&self) -> Option<Duration> {
        self.failing_since.map(|since| since.elapsed())
    }
}
