//! What the control side has applied, for whoever tells the cluster.

use std::collections::BTreeMap;

use crate::model::{Marks, ObjectRef, Problem, Sight};

/// One change, or several as one.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Of the snapshot that has all of this.
    pub version: u64,
    /// Objects that came; `None` for one that is gone.
    pub sights: BTreeMap<ObjectRef, Option<Sight>>,
    /// Whether an Ingress is ours now.
    pub claims: BTreeMap<ObjectRef, bool>,
    /// Whether a problem is there now.
    pub problems: BTreeMap<Problem, bool>,
    /// How far the watches have come, when that is new.
    pub marks: Option<Marks>,
}

// === impl Batch ===

impl Batch {
    /// This and then `later`, as one.
    pub(crate) fn merge(&mut self, later: Self) {
        self.version = later.version;
        self.sights.extend(later.sights);
        self.claims.extend(later.claims);
        self.problems.extend(later.problems);
        self.marks = later.marks.or_else(|| self.marks.take());
    }
}
