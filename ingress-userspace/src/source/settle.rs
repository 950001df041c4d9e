//! From file system events to "these paths have changed and are quiet now".
//!
//! Pure: events and the time in, due paths out. A file that is open for writing is held back until
//! it is closed, so that it is not read half written; one whose writer never closes it, until it
//! has been quiet for a while.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind};
use notify::{Event, EventKind};

/// Silence after which a batch of events counts as complete.
const QUIET: Duration = Duration::from_millis(10);
/// A stream of events without silence is cut after this long.
const BATCH: Duration = Duration::from_millis(100);
/// A file that was written to and not closed is read after this long without another write.
const UNCLOSED: Duration = Duration::from_millis(250);
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
    first: Option<Instant>,
    last: Option<Instant>,
    again: Option<Instant>,
}

/// What to read now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) paths: BTreeSet<PathBuf>,
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

    fn path(&mut self, path: &Path, now: Instant) {
        self.changed.insert(path.to_owned());
        self.touch(now);
    }

    fn touch(&mut self, now: Instant) {
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    pub(super) fn is_busy(&self, path: &Path) -> bool {
        self.writing.contains_key(path)
    }

    /// When [`Self::due`] has to be asked next, if no event comes before.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let batch = match (self.first, self.last) {
            (Some(first), Some(last)) => Some((last + QUIET).min(first + BATCH)),
            _ => None,
        };
        let unclosed = self.writing.values().map(|last| *last + UNCLOSED).min();
        batch.into_iter().chain(unclosed).chain(self.again).min()
    }

    /// What is complete by now; the rest stays for later.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        self.writing.retain(|path, last| {
            let over = *last + UNCLOSED <= now;
            if over {
                self.changed.insert(path.clone());
            }
            !over
        });
        if self.again.is_some_and(|at| at <= now) {
            self.again = None;
            self.everything = true;
        }
        self.first = None;
        self.last = None;
        let writing = &self.writing;
        let (later, paths) = std::mem::take(&mut self.changed)
            .into_iter()
            .partition(|path| writing.contains_key(path));
        self.changed = later;
        Due { paths, everything: std::mem::take(&mut self.everything) }
    }
}

#[cfg(test)]
mod tests;
