//! From file system events to "these paths have changed and are quiet now".
//!
//! Pure: events and the time in, due paths out. A file that is open for writing is held back until
//! it is closed, however long its writer takes, so that it is not read half written; one that is
//! never closed, until it has been quiet for long. What a reader doubts, it holds back itself
//! ([`Settle::hold`]): any event in the meantime begins anew.

use std::collections::BTreeSet;
use std::mem;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind};
use notify::{Event, EventKind};

/// Silence after which a batch of events counts as complete.
const QUIET: Duration = Duration::from_millis(10);
/// A stream of events without silence is cut after this long.
const BATCH: Duration = Duration::from_millis(30);
/// A file that was written to and not closed is read after this long without another write. Many a
/// command has its output file open, and empty, long before its first word.
const UNCLOSED: Duration = Duration::from_secs(30);
/// A new directory is looked at again after this long: files may have come into it before it was
/// watched.
const NEW_DIRECTORY: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Settle {
    changed: BTreeSet<PathBuf>,
    /// Something happened that no single path tells: everything has to be looked at.
    everything: bool,
    /// Files open for writing, with the time of the last write.
    writing: HashMap<PathBuf, Instant>,
    /// Files whose content was doubted, with the time at which it is believed.
    held: HashMap<PathBuf, Instant>,
    first: Option<Instant>,
    last: Option<Instant>,
    again: Option<Instant>,
}

/// What to read now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) paths: BTreeSet<PathBuf>,
    /// Were held, and nothing has happened to them since.
    pub(super) confirmed: BTreeSet<PathBuf>,
    pub(super) everything: bool,
}

// === impl Settle ===

impl Settle {
    pub(super) fn event(&mut self, event: &notify::Result<Event>, now: Instant) {
        let Ok(event) = event else {
            self.everything(now);
            return;
        };
        if event.need_rescan() || event.paths.is_empty() {
            self.everything(now);
            return;
        }
        for path in &event.paths {
            match event.kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                    self.writing.remove(path);
                    self.path(path, now);
                }
                EventKind::Access(_) => {}
                EventKind::Modify(ModifyKind::Data(_)) => {
                    self.writing.insert(path.clone(), now);
                    self.path(path, now);
                }
                EventKind::Create(CreateKind::Folder) => {
                    self.again = Some(now + NEW_DIRECTORY);
                    self.everything(now);
                }
                EventKind::Any
                | EventKind::Create(_)
                | EventKind::Modify(_)
                | EventKind::Remove(_)
                | EventKind::Other => {
                    self.writing.remove(path);
                    self.path(path, now);
                }
            }
        }
    }

    pub(super) fn everything(&mut self, now: Instant) {
        self.everything = true;
        self.touch(now);
    }

    /// Looked at and not believed: due again after `patience` without an event.
    pub(super) fn hold(&mut self, path: PathBuf, patience: Duration, now: Instant) {
        self.held.insert(path, now + patience);
    }

    fn path(&mut self, path: &Path, now: Instant) {
        self.held.remove(path);
        self.changed.insert(path.to_owned());
        self.touch(now);
    }

    fn touch(&mut self, now: Instant) {
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// Not to be read by the way: its own time comes.
    pub(super) fn is_busy(&self, path: &Path) -> bool {
        self.writing.contains_key(path) || self.held.contains_key(path)
    }

    /// When [`Self::due`] has to be asked next, if no event comes before.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let unclosed = self.writing.values().map(|last| *last + UNCLOSED).min();
        let held = self.held.values().copied();
        self.batch_ends().into_iter().chain(unclosed).chain(self.again).chain(held).min()
    }

    /// What is complete by now; the rest stays for later.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        let unclosed = self.writing.extract_if(|_, last| *last + UNCLOSED <= now);
        let held = self.held.extract_if(|_, at| *at <= now);
        let mut due = Due {
            paths: unclosed.map(|(path, _)| path).collect(),
            confirmed: held.map(|(path, _)| path).collect(),
            everything: false,
        };
        if self.again.is_some_and(|at| at <= now) {
            self.again = None;
            due.everything = true;
        }
        if self.batch_ends().is_some_and(|at| at <= now) {
            (self.first, self.last) = (None, None);
            due.everything |= mem::take(&mut self.everything);
            let changed = mem::take(&mut self.changed).into_iter();
            // A file that is being written comes with its end.
            due.paths.extend(changed.filter(|path| !self.writing.contains_key(path)));
        }
        due
    }

    fn batch_ends(&self) -> Option<Instant> {
        Some((self.last? + QUIET).min(self.first? + BATCH))
    }
}

#[cfg(test)]
mod tests;
