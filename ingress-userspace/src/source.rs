//! Sources: where objects come from.
//!
//! A source reads API objects, has them decoded by the model and hands on [`Update`]s: what changed
//! and everything that is wrong now. [`manifests`] is a directory of YAML and JSON; [`file`]
//! watches a single file, such as the configuration.

use crate::model::{Change, Problem};

pub mod file;
pub mod manifests;
mod settle;

/// One step of a source. Two may be merged into one: the latest state of each object counts.
#[derive(Debug, Clone, Default)]
pub struct Update {
    pub change: Change,
    /// All problems of this source as they stand now, not only the new ones; sorted.
    pub problems: Vec<Problem>,
}

// === impl Update ===

impl Update {
    /// This update and then `later`, as one.
    pub fn merge(&mut self, later: Self) {
        self.change.merge(later.change);
        self.problems = later.problems;
    }
}
