//! Events: what is wrong with an object, once when it becomes so; and that an Ingress has its address.
//!
//! In: problems that come and go, and whether this process writes. Out: Events, not more than a
//! bucket gives for each object and for all. One text about one object is one Event, whoever writes
//! it and however often: its name is made of what it says, and the second time counts up.
//!
//! Objects of other controllers get none (see `standing`).

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use hashbrown::HashMap;

use crate::model::{ObjectRef, Problem};

use super::bucket::Bucket;
use super::standing::{News, Standing};

/// One Event (events.k8s.io/v1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    /// Of the Event: the same for the same text.
    pub(crate) name: String,
    pub(crate) object: ObjectRef,
    /// Empty when it is not known.
    pub(crate) uid: Arc<str>,
    pub(crate) is_warning: bool,
    /// Stable (U7).
    pub(crate) reason: &'static str,
    pub(crate) text: String,
    /// How often this process has told it, this time included.
    pub(crate) count: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Recorder {
    /// This process writes.
    is_writing: bool,
    queue: VecDeque<Note>,
    /// How often each was told.
    told: HashMap<String, u32>,
    all: Bucket<200, 100>,
    each: HashMap<ObjectRef, Bucket<25, 300_000>>,
    /// Events that were not told.
    dropped: u64,
}

/// Problems of one reason about one object that are told one by one; the rest is a number.
const SINGLE: usize = 5;
/// That wait; those that come then are dropped.
const QUEUE: usize = 10_000;
/// Names whose number is remembered.
const REMEMBERED: usize = 20_000;
/// Bytes that the API server takes in a note.
const LONGEST: usize = 1024;
/// And of a name, with what follows it.
const LONGEST_NAME: usize = 230;

/// Reason of the Event about an address.
const SYNCED: &str = "Synced";

// === impl Recorder ===

impl Recorder {
    /// What a batch has changed.
    pub(crate) fn take(&mut self, news: &News, standing: &Standing) {
        for object in &news.gone {
            self.each.remove(object);
        }
        for (object, problems) in &news.raised {
            self.tell(object, problems, standing);
        }
    }

    /// Whether this process writes from here on. What stands is told by whoever begins to: an Event
    /// that exists already only counts up.
    pub(crate) fn set_writing(&mut self, is_writing: bool, standing: &Standing) {
        if std::mem::replace(&mut self.is_writing, is_writing) == is_writing {
            return;
        }
        self.queue.clear();
        for (object, problems) in standing.all() {
            self.tell(object, problems, standing);
        }
    }

    /// An Ingress has got its address.
    pub(crate) fn tell_synced(&mut self, ingress: &ObjectRef, text: String, standing: &Standing) {
        self.put(ingress, (false, SYNCED), text, standing);
    }

    /// What may be told now.
    pub(crate) fn due(&mut self, now: Instant, limit: usize) -> Vec<Note> {
        let mut due = Vec::new();
        while due.len() < limit && !self.queue.is_empty() && self.all.take(now) {
            let Some(note) = self.queue.pop_front() else { break };
            let bucket = self.each.entry(note.object.clone()).or_default();
            if bucket.take(now) {
                due.push(note);
            } else {
                self.dropped += 1;
            }
        }
        due
    }

    /// Whether something waits only for its turn.
    pub(crate) fn has_more(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Events that were not told, because there were too many.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn tell<'p>(
        &mut self,
        object: &ObjectRef,
        problems: impl IntoIterator<Item = &'p Problem>,
        standing: &Standing,
    ) {
        let mut of: BTreeMap<&'static str, Vec<&Problem>> = BTreeMap::new();
        for problem in problems {
            of.entry(problem.reason.as_str()).or_default().push(problem);
        }
        for (reason, problems) in of {
            let single = if problems.len() > SINGLE { SINGLE - 1 } else { SINGLE };
            for problem in problems.iter().take(single) {
                self.put(object, (true, reason), text(problem), standing);
            }
            if let Some(more) = problems.len().checked_sub(single).filter(|more| *more > 0) {
                let text = format!("and {more} more of the same kind");
                self.put(object, (true, reason), text, standing);
            }
        }
    }

    fn put(
        &mut self,
        object: &ObjectRef,
        (is_warning, reason): (bool, &'static str),
        text: String,
        standing: &Standing,
    ) {
        if !self.is_writing {
            return;
        }
        if self.queue.len() >= QUEUE {
            self.dropped += 1;
            return;
        }
        let uid = standing.seen(object).uid;
        let text = cut(text, LONGEST);
        let name = name(object, &uid, reason, &text);
        if self.told.len() >= REMEMBERED {
            self.told.clear();
        }
        let count = self.told.entry(name.clone()).or_default();
        *count += 1;
        let count = *count;
        let object = object.clone();
        self.queue.push_back(Note { name, object, uid, is_warning, reason, text, count });
    }
}

fn text(problem: &Problem) -> String {
    let mut text = String::new();
    if !problem.field.is_empty() {
        text = format!("{}: ", problem.field);
    }
    text.push_str(&problem.message);
    if let Some(rule) = problem.rule {
        let _ = write!(text, " ({rule})");
    }
    text
}

fn cut(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest - "…".len()));
        text.push('…');
    }
    text
}

/// The object's, and 64 bits of what the Event says.
fn name(object: &ObjectRef, uid: &str, reason: &str, text: &str) -> String {
    let all = format!("{object}\n{uid}\n{reason}\n{text}");
    let digest = digest(&SHA256, all.as_bytes());
    let name: String = object.name.chars().take(LONGEST_NAME).collect();
    let mut name = format!("{}.", name.trim_end_matches(['.', '-']));
    for byte in digest.as_ref().iter().take(8) {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests;
