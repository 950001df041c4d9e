//! A directory of Kubernetes manifests as a source of objects, read once or watched.
//!
//! A thread of its own owns the directory: it gathers file system events until they are quiet,
//! reads what has changed and leaves the result in a slot, where a later result is merged into an
//! earlier one that nobody has fetched yet. Events are only a hint: after an overflow, for a new
//! directory and every half minute the whole tree is compared, so that no edit is lost.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use self::catalog::{Catalog, Content};
use self::tree::{Look, Tree};
use super::Update;
use super::settle::{Due, Settle};
use super::slot::Slot;
use crate::model::decode::Settings;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

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
    /// Rereadings that were asked for.
    asked: u64,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Message {
    Event(notify::Result<notify::Event>),
    /// Read every file again; with its number.
    Reread(Settings, u64),
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
    Ok(Catalog::default().apply(contents_of(path)?, settings))
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
    Ok(contents_of(path)?.into_iter().filter_map(text).collect())
}

fn contents_of(path: &Path) -> io::Result<Vec<(PathBuf, Content)>> {
    let mut tree = Tree::new(path);
    let looks = if fs::metadata(path)?.is_dir() {
        fs::read_dir(path)?;
        tree.scan(false, |_| false)
    } else {
        vec![tree.read(path.to_owned(), true)]
    };
    // What is known for the first time is not doubted.
    Ok(contents(looks, |_, _| {}))
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
        let looks = reader.tree.scan(false, |_| false);
        let contents = reader.contents(looks);
        let first = reader.catalog.apply(contents, &reader.settings);
        reader.problems.clone_from(&first.problems);
        let thread = thread::Builder::new()
            .name("manifests".to_owned())
            .spawn(move || reader.run(&messages))?;
        Ok((Self { commands, slot, asked: 0, thread: Some(thread) }, first))
    }

    /// Waits for the next update. Cancel-safe: an update that was not returned stays.
    pub async fn next(&mut self) -> Update {
        loop {
            if let Some(update) = self.slot.take() {
                return update;
            }
            self.slot.filled().await;
        }
    }

    /// Reads every file again, in the light of these settings, and returns all that is new. Events
    /// may have been lost, and times of files may lie. When it is cancelled, [`Self::next`] returns
    /// the outcome.
    ///
    /// # Errors
    ///
    /// When the thread has ended, by a panic.
    pub async fn reread(&mut self, settings: Settings) -> io::Result<Update> {
        self.asked += 1;
        let ended = || io::Error::other("the thread that reads manifests has ended");
        let asked = self.commands.send(Message::Reread(settings, self.asked));
        asked.map_err(|_| ended())?;
        loop {
            if let Some(update) = self.slot.take_answer(self.asked).ok_or_else(ended)? {
                return Ok(update);
            }
            self.slot.filled().await;
        }
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

// === impl Reader ===

impl Reader {
    fn run(mut self, messages: &Receiver<Message>) {
        let _closes = self.slot.clone().closing();
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
                Ok(Message::Reread(settings, number)) => {
                    self.reread(settings, number);
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
            self.publish(contents, None);
        }
    }

    fn reread(&mut self, settings: Settings, number: u64) {
        if settings != self.settings {
            self.settings = settings;
            // Also for files that are being written and come later.
            self.catalog.forget_texts();
        }
        self.rewatch();
        let settle = &self.settle;
        let looks = self.tree.scan(true, |path| settle.is_busy(path));
        let contents = self.contents(looks);
        self.publish(contents, Some(number));
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
        let mut looks = Vec::new();
        let paths = due.paths.into_iter().map(|path| (path, false));
        let confirmed = due.confirmed.into_iter().map(|path| (path, true));
        for (path, confirmed) in paths.chain(confirmed) {
            if !self.tree.is_manifest(&path) {
                // A directory, a symlink's target, a ConfigMap's `..data`.
                everything |= self.tree.may_matter(&path);
                continue;
            }
            match self.tree.read(path, confirmed) {
                Look::NoFile => everything = true,
                look => looks.push(look),
            }
        }
        if everything {
            let settle = &self.settle;
            looks.extend(self.tree.scan(false, |path| settle.is_busy(path)));
        }
        self.contents(looks)
    }

    /// What is doubted is held back.
    fn contents(&mut self, looks: Vec<Look>) -> Vec<(PathBuf, Content)> {
        let (settle, now) = (&mut self.settle, Instant::now());
        contents(looks, |path, patience| settle.hold(path, patience, now))
    }

    fn publish(&mut self, contents: Vec<(PathBuf, Content)>, answer: Option<u64>) {
        if contents.is_empty() && answer.is_none() {
            return;
        }
        let update = self.catalog.apply(contents, &self.settings);
        let is_news = !update.change.is_empty() || update.problems != self.problems;
        if is_news || answer.is_some() {
            self.problems.clone_from(&update.problems);
            self.slot.put(update, answer);
        }
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

fn contents(
    looks: Vec<Look>,
    mut doubtful: impl FnMut(PathBuf, Duration),
) -> Vec<(PathBuf, Content)> {
    let mut contents = Vec::new();
    for look in looks {
        match look {
            Look::Content(path, content) => contents.push((path, content)),
            Look::Doubtful(path, patience) => doubtful(path, patience),
            Look::NoFile => {}
        }
    }
    contents
}

fn into_io(error: notify::Error) -> io::Error {
    match error.kind {
        notify::ErrorKind::Io(error) => error,
        kind => io::Error::other(format!("the directory cannot be watched: {kind:?}")),
    }
}
