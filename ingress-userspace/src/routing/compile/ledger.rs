//! The current problems, by what raised them, and what one change made of them.

use std::collections::BTreeMap;
use std::mem;

use crate::model::{HostPattern, ObjectRef, Problem};

/// What is looked at as a whole, so that its problems are replaced as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// Conflicts, paths and certificate of a host.
    Host(HostPattern),
    /// Rivals for an alias.
    Alias(HostPattern),
    /// The annotations and backends of one Ingress.
    Ingress(ObjectRef),
    /// The addresses of one slice or Endpoints object.
    Endpoints(ObjectRef),
    /// Rivals for the catch-all of the listener.
    Fallback,
    DefaultCertificate,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    current: BTreeMap<Source, Vec<Problem>>,
    raised: Vec<Problem>,
    resolved: Vec<Problem>,
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn set(&mut self, source: Source, problems: Vec<Problem>) {
        let old = self.current.get(&source).map_or(&[][..], Vec::as_slice);
        self.raised.extend(problems.iter().filter(|p| !old.contains(p)).cloned());
        self.resolved.extend(old.iter().filter(|p| !problems.contains(p)).cloned());
        if problems.is_empty() {
            self.current.remove(&source);
        } else {
            self.current.insert(source, problems);
        }
    }

    /// What was raised and what was resolved since the last call.
    pub(super) fn take_changes(&mut self) -> (Vec<Problem>, Vec<Problem>) {
        let (mut raised, mut resolved) =
            (mem::take(&mut self.raised), mem::take(&mut self.resolved));
        raised.sort_unstable();
        resolved.sort_unstable();
        let back: Vec<Problem> = raised.iter().filter(|p| resolved.contains(p)).cloned().collect();
        raised.retain(|problem| !back.contains(problem));
        resolved.retain(|problem| !back.contains(problem));
        (raised, resolved)
    }

    pub(super) fn all(&self) -> Vec<Problem> {
        let mut all: Vec<Problem> = self.current.values().flatten().cloned().collect();
        all.sort_unstable();
        all
    }
}
