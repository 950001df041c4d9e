//! What is known of the Ingresses, and which of their lists of addresses are to be written.
//!
//! In: what the control side has applied, what the workers serve, what other nodes say. Out: writes.
//! An Ingress gets its address when every worker of this node and every other living node serve the
//! version of it that we know, with all Services and EndpointSlices that we know (U3); it loses it
//! without delay. Whoever is not the holder of the lease keeps the book as well and writes nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::{Address, Kind, ObjectRef, Sight, Versions};

use super::address::{self, Own};
use super::batch::Batch;
use super::nodes::Nodes;

#[derive(Debug, Default)]
pub(crate) struct Book {
    own: Own,
    ingresses: BTreeMap<ObjectRef, Known>,
    /// Those of them whose list is to be written.
    open: BTreeMap<ObjectRef, Open>,
    /// The snapshots that are published and not served by all workers yet, and how far the watches
    /// had come with each.
    ahead: VecDeque<(u64, Versions)>,
    /// How far they had come with what all workers serve.
    serves: Versions,
    objects: Arc<Versions>,
    /// Of the newest snapshot.
    version: u64,
}

#[derive(Debug)]
struct Known {
    sight: Sight,
    is_ours: bool,
    pace: Pace,
}

#[derive(Debug, Clone)]
struct Open {
    /// The snapshot with what is to be published.
    version: u64,
    /// What other nodes have to know.
    needed: Arc<Versions>,
    adds: bool,
    /// After a write that failed.
    not_before: Option<Instant>,
}

/// One list to be written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Write {
    pub(crate) ingress: ObjectRef,
    /// `metadata.resourceVersion` of the object that it is for.
    pub(crate) version: Arc<str>,
    pub(crate) entries: Vec<Address>,
    /// An Ingress that is not ours is touched only if we wrote its list last.
    pub(crate) is_ours: bool,
    /// An address comes that was not there.
    pub(crate) adds: bool,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With the version of the object since.
    Written(Arc<str>),
    /// There is nothing to write: the object is gone, or its list is somebody else's.
    Left,
    /// The object is another one now, which the watch will show.
    Conflict,
    Failed,
}

/// Slows down where somebody else writes the same list.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    /// Of the last write.
    last: Option<Instant>,
    /// Writes that followed one another.
    writes: u32,
}

/// Two writes of one list within this time are a quarrel.
const QUARREL: Duration = Duration::from_secs(600);
/// That many are none: an Ingress may change its class and change it back.
const FREE: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// After a write that failed.
const AGAIN: Duration = Duration::from_secs(5);
/// After a conflict: the watch shows the new version first.
const SOON: Duration = Duration::from_millis(200);

// === impl Book ===

impl Book {
    /// Takes what the control side has applied.
    pub(crate) fn take(&mut self, batch: &Batch) {
        self.version = batch.version;
        if let Some(marks) = &batch.marks {
            self.objects = Arc::new(marks.objects.clone());
            self.ahead.push_back((batch.version, marks.heard.clone()));
        }
        for (object, sight) in &batch.sights {
            if object.kind == Kind::Ingress {
                self.see(object, sight.as_ref());
            }
        }
        for (object, is_ours) in &batch.claims {
            if let Some(known) = self.ingresses.get_mut(object) {
                known.is_ours = *is_ours;
            }
        }
        let seen = batch.sights.keys().filter(|object| object.kind == Kind::Ingress);
        let touched: Vec<ObjectRef> = seen.chain(batch.claims.keys()).cloned().collect();
        for object in touched {
            self.judge(&object);
        }
    }

    /// Other addresses are ours now.
    pub(crate) fn set_own(&mut self, own: Own) {
        if own == self.own {
            return;
        }
        self.own = own;
        let all: Vec<ObjectRef> = self.ingresses.keys().cloned().collect();
        for object in all {
            self.judge(&object);
        }
    }

    /// All workers serve this snapshot.
    pub(crate) fn pass(&mut self, served: u64) {
        while self.ahead.front().is_some_and(|(version, _)| *version <= served) {
            if let Some((_, versions)) = self.ahead.pop_front() {
                self.serves = versions;
            }
        }
    }

    /// How far the watches had come with what all workers serve.
    pub(crate) fn serves(&self) -> &Versions {
        &self.serves
    }

    /// The newest snapshot that is known of.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Ingresses that wait for their address.
    pub(crate) fn awaited(&self) -> usize {
        self.open.values().filter(|open| open.adds).count()
    }

    /// What may be written now, in the order of names; not more than `limit`.
    pub(crate) fn due(&self, served: u64, nodes: &Nodes, now: Instant, limit: usize) -> Vec<Write> {
        // Few batches, many Ingresses: what one batch needs is asked once.
        let mut covered: Vec<(Arc<Versions>, bool)> = Vec::new();
        let mut is_covered = |needed: &Arc<Versions>| {
            if let Some((_, is)) = covered.iter().find(|(known, _)| Arc::ptr_eq(known, needed)) {
                return *is;
            }
            let is = nodes.lagging(needed, now).is_empty();
            covered.push((needed.clone(), is));
            is
        };
        let ready = self.open.iter().filter(|(_, open)| {
            open.version <= served && open.not_before.is_none_or(|moment| moment <= now)
        });
        let writes = ready.filter_map(|(object, open)| {
            if open.adds && !is_covered(&open.needed) {
                return None;
            }
            let known = self.ingresses.get(object)?;
            if known.pace.next().is_some_and(|moment| moment > now) {
                return None;
            }
            let edit = address::edit(&known.sight.addresses, known.is_ours, &self.own)?;
            Some(Write {
                ingress: object.clone(),
                version: known.sight.version.clone(),
                entries: edit.entries,
                is_ours: known.is_ours,
                adds: edit.adds,
            })
        });
        writes.take(limit).collect()
    }

    /// Nodes that keep an Ingress from its address, by the names of their Leases.
    pub(crate) fn awaited_nodes<'n>(&self, nodes: &'n Nodes, now: Instant) -> Vec<&'n str> {
        let first = self.open.values().find(|open| open.adds);
        first.map(|open| nodes.lagging(&open.needed, now)).unwrap_or_default()
    }

    /// When the next write is due that only time keeps from being made.
    pub(crate) fn next_moment(&self, now: Instant) -> Option<Instant> {
        let moments = self.open.iter().filter_map(|(object, open)| {
            let pace = self.ingresses.get(object).and_then(|known| known.pace.next());
            open.not_before.max(pace)
        });
        moments.filter(|moment| *moment > now).min()
    }

    /// Whether some Ingress still has an address that was ours once.
    pub(crate) fn has_outdated(&self) -> bool {
        let mut all = self.ingresses.values();
        all.any(|known| address::has_outdated(&known.sight.addresses, &self.own))
    }

    /// What became of a write.
    pub(crate) fn settle(&mut self, write: Write, outcome: Outcome, now: Instant) {
        let Write { ingress, version, entries, .. } = write;
        let Some(known) = self.ingresses.get_mut(&ingress) else { return };
        match outcome {
            Outcome::Written(since) => {
                known.pace.count(now);
                // Unless a newer one was seen meanwhile.
                if known.sight.version == version {
                    (known.sight.version, known.sight.addresses) = (since, entries);
                    self.open.remove(&ingress);
                }
            }
            Outcome::Left => drop(self.open.remove(&ingress)),
            Outcome::Conflict | Outcome::Failed => {
                if let Some(open) = self.open.get_mut(&ingress) {
                    let pause = if outcome == Outcome::Conflict { SOON } else { AGAIN };
                    open.not_before = Some(now + pause);
                }
            }
        }
    }

    fn see(&mut self, object: &ObjectRef, sight: Option<&Sight>) {
        let Some(sight) = sight else {
            self.ingresses.remove(object);
            return;
        };
        match self.ingresses.get_mut(object) {
            Some(known) => known.sight = sight.clone(),
            None => {
                let known = Known { sight: sight.clone(), is_ours: false, pace: Pace::default() };
                self.ingresses.insert(object.clone(), known);
            }
        }
    }

    fn judge(&mut self, object: &ObjectRef) {
        let edit = self
            .ingresses
            .get(object)
            .and_then(|known| address::edit(&known.sight.addresses, known.is_ours, &self.own));
        let Some(edit) = edit else {
            self.open.remove(object);
            return;
        };
        let open = Open {
            version: self.version,
            needed: self.objects.clone(),
            adds: edit.adds,
            not_before: None,
        };
        self.open.insert(object.clone(), open);
    }
}

// === impl Pace ===

impl Pace {
    fn count(&mut self, now: Instant) {
        let is_quarrel =
            self.last.is_some_and(|last| now.saturating_duration_since(last) < QUARREL);
        self.writes = if is_quarrel { self.writes + 1 } else { 1 };
        self.last = Some(now);
    }

    /// Before which nothing is written.
    fn next(&self) -> Option<Instant> {
        let beyond = self.writes.checked_sub(FREE)?;
        let pause = FIRST_PAUSE.saturating_mul(1 << beyond.min(16)).min(LONGEST_PAUSE);
        Some(self.last? + pause)
    }
}

#[cfg(test)]
mod tests;
