//! Who writes: the holder of one Lease.
//!
//! As client-go does it: a candidate does not compare clocks, it takes the lease when the record has
//! not changed for as long as it says, by the candidate's own clock. Two that take it at once are
//! told apart by the version of the object.

use std::time::{Duration, Instant};

/// The Lease as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Record {
    /// Empty when it was given up.
    pub(crate) holder: String,
    pub(crate) duration: Duration,
    pub(crate) transitions: i64,
    /// `metadata.resourceVersion`.
    pub(crate) version: String,
}

#[derive(Debug)]
pub(crate) struct Candidate {
    identity: String,
    /// The version that was seen last, and when for the first time.
    observed: Option<(String, Instant)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write the record with us as its holder.
    Take { transitions: i64 },
    /// It is ours: write it again.
    Renew { transitions: i64 },
    /// Another one has it, at least until then.
    Wait(Instant),
}

// === impl Candidate ===

impl Candidate {
    pub(crate) fn new(identity: String) -> Self {
        Self { identity, observed: None }
    }

    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    /// What to do about a lease; `None` when there is no such object.
    pub(crate) fn step(&mut self, record: Option<&Record>, now: Instant) -> Step {
        let Some(record) = record else { return Step::Take { transitions: 0 } };
        let transitions = record.transitions;
        if record.holder == self.identity {
            return Step::Renew { transitions };
        }
        if record.holder.is_empty() {
            return Step::Take { transitions: transitions + 1 };
        }
        let since = match &self.observed {
            Some((version, since)) if *version == record.version => *since,
            _ => {
                self.observed = Some((record.version.clone(), now));
                now
            }
        };
        let until = since + record.duration;
        if now >= until { Step::Take { transitions: transitions + 1 } } else { Step::Wait(until) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(15);

    fn record(holder: &str, version: &str) -> Record {
        Record {
            holder: holder.to_owned(),
            duration: LONG,
            transitions: 4,
            version: version.to_owned(),
        }
    }

    #[test]
    fn u2_a_lease_is_taken_when_nobody_has_it() {
        let now = Instant::now();
        let mut me = Candidate::new("me".to_owned());
        assert_eq!(me.step(None, now), Step::Take { transitions: 0 });
        assert_eq!(me.step(Some(&record("", "1")), now), Step::Take { transitions: 5 });
        assert_eq!(me.step(Some(&record("me", "2")), now), Step::Renew { transitions: 4 });
    }

    #[test]
    fn u2_a_lease_of_another_is_taken_when_it_is_not_renewed_by_our_clock() {
        let now = Instant::now();
        let mut me = Candidate::new("me".to_owned());
        assert_eq!(me.step(Some(&record("other", "1")), now), Step::Wait(now + LONG));
        let later = now + LONG / 2;
        assert_eq!(me.step(Some(&record("other", "1")), later), Step::Wait(now + LONG));
        // Renewed: another version, whatever times stand in it.
        assert_eq!(me.step(Some(&record("other", "2")), later), Step::Wait(later + LONG));
        let end = later + LONG;
        assert_eq!(me.step(Some(&record("other", "2")), end), Step::Take { transitions: 5 });
    }
}
