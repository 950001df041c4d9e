//! The other nodes: what each says that it serves, and for how long its word holds.
//!
//! A node that does not renew its Lease is dead after the time that it names, by our own clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::model::Versions;

/// The Lease of a node, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// Of the Lease.
    pub(crate) name: String,
    /// `metadata.resourceVersion`.
    pub(crate) version: String,
    pub(crate) duration: Duration,
    pub(crate) serves: Versions,
}

/// All nodes but our own.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    known: BTreeMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    said: Said,
    /// When this version was seen first.
    since: Instant,
}

// === impl Nodes ===

impl Nodes {
    /// All Leases as they are now.
    pub(crate) fn observe(&mut self, all: Vec<Said>, now: Instant) {
        let mut before = std::mem::take(&mut self.known);
        for said in all {
            let same = before.remove(&said.name).filter(|known| known.said == said);
            let since = same.map_or(now, |known| known.since);
            self.known.insert(said.name.clone(), Known { said, since });
        }
    }

    /// Those that live and do not serve all of it; each by the name of its Lease.
    pub(crate) fn lagging(&self, needed: &Versions, now: Instant) -> Vec<&str> {
        let living = self.known.values().filter(|known| known.age(now) < known.said.duration);
        let lagging = living.filter(|known| !known.said.serves.cover(needed));
        lagging.map(|known| known.said.name.as_str()).collect()
    }

    /// Those that have been dead for `time`.
    pub(crate) fn dead_for(&self, time: Duration, now: Instant) -> Vec<&str> {
        let dead = self.known.values().filter(|known| known.age(now) >= known.said.duration + time);
        dead.map(|known| known.said.name.as_str()).collect()
    }

    pub(crate) fn living(&self, now: Instant) -> usize {
        self.known.values().filter(|known| known.age(now) < known.said.duration).count()
    }
}

// === impl Known ===

impl Known {
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(40);

    fn said(name: &str, version: &str, serves: &str) -> Said {
        Said {
            name: name.to_owned(),
            version: version.to_owned(),
            duration: LONG,
            serves: Versions::read(serves),
        }
    }

    #[test]
    fn u3_every_living_node_has_to_serve_it() {
        let (now, needed) = (Instant::now(), Versions::read("ingresses=7"));
        let mut nodes = Nodes::default();
        assert!(nodes.lagging(&needed, now).is_empty(), "there is no other node");
        nodes.observe(vec![said("a", "1", "ingresses=7"), said("b", "1", "ingresses=6")], now);
        assert_eq!(nodes.lagging(&needed, now), ["b"]);
        nodes.observe(vec![said("a", "1", "ingresses=7"), said("b", "2", "ingresses=9")], now);
        assert!(nodes.lagging(&needed, now).is_empty());
        // A node that does not say what it serves.
        nodes.observe(vec![said("c", "1", "")], now);
        assert_eq!(nodes.lagging(&needed, now), ["c"]);
    }

    #[test]
    fn u3_a_dead_node_is_not_waited_for() {
        let (now, needed) = (Instant::now(), Versions::read("ingresses=7"));
        let mut nodes = Nodes::default();
        nodes.observe(vec![said("a", "1", "ingresses=6")], now);
        let later = now + LONG / 2;
        nodes.observe(vec![said("a", "2", "ingresses=6")], later);
        assert_eq!(nodes.lagging(&needed, now + LONG), ["a"], "it was renewed");
        let end = later + LONG;
        nodes.observe(vec![said("a", "2", "ingresses=6")], end);
        assert!(nodes.lagging(&needed, end).is_empty());
        assert_eq!((nodes.living(later), nodes.living(end)), (1, 0));
        assert!(nodes.dead_for(LONG, end).is_empty());
        assert_eq!(nodes.dead_for(LONG, end + LONG), ["a"]);
    }
}
