//! A directory of Kubernetes manifests as a source of objects, read once or watched.
//!
//! A thread of its own owns the directory: it gathers file system events until they are quiet,
//! reads what has changed and leaves the result in a slot, where a later result is merged into an
//! earlier one that nobody has fetched yet. Events are only a hint: after an overflow, for a new
//! directory and every half minute the whole tree is compared, so that no edit is lost.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use self::catalog::{Catalog, Content};
use self::tree::Tree;
use super::Update;
use super::settle::{Due, Settle};
use crate::model::decode::Settings;

mod catalog;
mod locate;
mod tree;

#[cfg(test)]
mod tests;

pub use self::locate::Locator;

/// How often everything is compared although no event says so: for file systems without events and
/// for symlinks that lead out of the directory.
const RESCAN: Duration = Duration::from_secs(30);

/// A watched directory. Dropping it ends the watch.
#[derive(Debug)]
pub struct ManifestSource {
    commands: Sender<Message>,
    slot: Arc<Slot>,
    thread: Option<JoinHandle<()>>,
}

/// Updates on their way from the thread to the task.
#[derive(Debug, Default)]
struct Slot {
    update: Mutex<Option<Update>>,
    filled: Notify,
}

#[derive(Debug)]
enum Message {
    Event(notify::Result<notify::Event>),
    Settings(Settings),
    Stop,
}

/// The thread's state.
struct Reader {
    directory: PathBuf,
    settings: Settings,
    tree: Tree,
    catalog: Catalog,
    settle: Settle,
    watcher: RecommendedWatcher,
    /// The directory that the watch was put on.
    watched: Option<(u64, u64)>,
    problems: Vec<crate::model::Problem>,
    slot: Arc<Slot>,
}

/// Reads a directory, or a single file, once.
///
/// # Errors
///
/// When the directory cannot be listed. What is wrong inside it is in the update's problems.
pub fn load(path: &Path, settings: &Settings) -> io::Result<Update> {
    Ok(Catalog::default().apply(contents(path)?, settings, false))
}

/// The texts of the manifests in a directory, or of a single file, by path.
///
/// # Errors
///
/// When the directory cannot be listed. The reason of a file that cannot be read stands for its
/// text.
pub fn texts(path: &Path) -> io::Result<Vec<(PathBuf, Result<String, String>)>> {
    let text = |(path, content)| match content {
        Content::Text(text) => Some((path, Ok(text))),
        Content::Unreadable(reason) => Some((path, Err(reason))),
        Content::Gone => None,
    };
    Ok(contents(path)?.into_iter().filter_map(text).collect())
}

fn contents(path: &Path) -> io::Result<Vec<(PathBuf, Content)>> {
    if fs::metadata(path)?.is_dir() {
        fs::read_dir(path)?;
        return Ok(Tree::new(path).scan(false, |_| false));
    }
    Ok(Tree::new(path).read(path.to_owned()).into_iter().collect())
}

// === impl ManifestSource ===

impl ManifestSource {
    /// Reads a directory and watches it from then on; the update is its present content.
    ///
    /// # Errors
    ///
    /// When `directory` cannot be listed or watched.
    pub fn start(directory: &Path, settings: Settings) -> io::Result<(Self, Update)> {
        fs::read_dir(directory)?;
        let (commands, messages) = mpsc::channel();
        let events = commands.clone();
        let watcher = notify::recommended_watcher(move |event| {
            // The reader is gone only when the source is.
            let _ = events.send(Message::Event(event));
        })
        .map_err(into_io)?;
        let slot = Arc::new(Slot::default());
        let mut reader = Reader {
            directory: directory.to_owned(),
            settings,
            tree: Tree::new(directory),
            catalog: Catalog::default(),
            settle: Settle::default(),
            watcher,
            watched: None,
            problems: Vec::new(),
            slot: slot.clone(),
        };
        // First the watch, then the reading: what changes between is read twice, not lost.
        reader.watch().map_err(into_io)?;
        let contents = reader.tree.scan(false, |_| false);
        let first = reader.catalog.apply(contents, &reader.settings, false);
        reader.problems.clone_from(&first.problems);
        let thread = thread::Builder::new()
            .name("manifests".to_owned())
            .spawn(move || reader.run(&messages))?;
        Ok((Self { commands, slot, thread: Some(thread) }, first))
    }

    /// Waits for the next update. Cancel-safe: an update that was not returned stays.
    pub async fn next(&mut self) -> Update {
        loop {
            if let Some(update) = self.slot.take() {
                return update;
            }
            self.slot.filled.notified().await;
        }
    }

    /// Reads everything again in the light of other settings; what differs comes as an update.
    pub fn set_settings(&self, settings: Settings) {
        // The thread ends only with the source.
        let _ = self.commands.send(Message::Settings(settings));
    }
}

impl Drop for ManifestSource {
    fn drop(&mut self) {
        let _ = self.commands.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

// === impl Slot ===

impl Slot {
    fn take(&self) -> Option<Update> {
        self.update.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, update: Update) {
        let mut slot = self.update.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *slot {
            Some(earlier) => earlier.merge(update),
            None => *slot = Some(update),
        }
        drop(slot);
        self.filled.notify_one();
    }
}

// === impl Reader ===

impl Reader {
    fn run(mut self, messages: &Receiver<Message>) {
        let mut rescan = Instant::now() + RESCAN;
        loop {
            let wake = self.settle.wake_at().map_or(rescan, |at| at.min(rescan));
            match messages.recv_timeout(wake.saturating_duration_since(Instant::now())) {
                Ok(Message::Event(event)) => {
                    self.event(&event, Instant::now());
                    if self.settle.wake_at().is_none_or(|at| at > Instant::now()) {
                        continue;
                    }
                }
                Ok(Message::Settings(settings)) => {
                    self.settings = settings;
                    let contents = self.tree.scan(true, |_| false);
                    self.publish(contents, true);
                    continue;
                }
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            if now >= rescan {
                rescan = now + RESCAN;
                self.rewatch();
                self.settle.everything(now);
            }
            let due = self.settle.due(now);
            let contents = self.read(due);
            self.publish(contents, false);
        }
    }

    /// Events of the parent directory concern us only when they put another directory in our place.
    fn event(&mut self, event: &notify::Result<notify::Event>, now: Instant) {
        if let Ok(event) = event
            && !event.need_rescan()
        {
            let place = place_of(&self.directory);
            if place.as_ref().is_some_and(|(_, place)| event.paths.contains(place)) {
                if !event.kind.is_access() {
                    self.rewatch();
                    self.settle.everything(now);
                }
                return;
            }
            let inside = |path: &PathBuf| path.starts_with(&self.directory);
            if !event.paths.is_empty() && !event.paths.iter().any(inside) {
                return;
            }
        }
        self.settle.event(event, now);
    }

    fn read(&mut self, due: Due) -> Vec<(PathBuf, Content)> {
        let mut everything = due.everything;
        let mut contents = Vec::new();
        for path in due.paths {
            if self.tree.is_manifest(&path)
                && let Some(content) = self.tree.read(path)
            {
                contents.push(content);
            } else {
                // A directory, a symlink's target, a ConfigMap's `..data`.
                everything = true;
            }
        }
        if everything {
            let settle = &self.settle;
            contents.extend(self.tree.scan(false, |path| settle.is_busy(path)));
        }
        contents
    }

    fn publish(&mut self, contents: Vec<(PathBuf, Content)>, afresh: bool) {
        if contents.is_empty() {
            return;
        }
        let update = self.catalog.apply(contents, &self.settings, afresh);
        if update.change.is_empty() && update.problems == self.problems {
            return;
        }
        self.problems.clone_from(&update.problems);
        self.slot.put(update);
    }

    /// Puts the watch on the directory that has the name now.
    fn rewatch(&mut self) {
        if self.tree.root_identity() == self.watched {
            return;
        }
        // The old directory is gone or renamed: its watch may be, too.
        let _ = self.watcher.unwatch(&self.directory);
        if let Err(error) = self.watch() {
            tracing::warn!(directory = %self.directory.display(), %error, "not watched");
        }
    }

    fn watch(&mut self) -> notify::Result<()> {
        self.watched = None;
        self.watcher.watch(&self.directory, RecursiveMode::Recursive)?;
        self.watched = self.tree.root_identity();
        // A symlink is made to be swapped (git-sync). Without this watch the swap is seen late.
        if self.directory.is_symlink()
            && let Some((parent, _)) = place_of(&self.directory)
            && let Err(error) = self.watcher.watch(&parent, RecursiveMode::NonRecursive)
        {
            tracing::debug!(directory = %parent.display(), %error, "not watched");
        }
        Ok(())
    }
}

/// The parent of a directory, and the directory as events of the parent name it.
fn place_of(directory: &Path) -> Option<(PathBuf, PathBuf)> {
    let name = directory.file_name()?;
    let parent = match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let place = parent.join(name);
    Some((parent, place))
}

fn into_io(error: notify::Error) -> io::Error {
    match error.kind {
        notify::ErrorKind::Io(error) => error,
        kind => io::Error::other(format!("the directory cannot be watched: {kind:?}")),
    }
}
