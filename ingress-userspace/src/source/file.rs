//! A single watched file, such as the configuration: tells that it may have changed.
//!
//! The directory is watched, not the file: editors and ConfigMap mounts put a new file in its
//! place. What the file says, and whether it differs, is the reader's business.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::settle::Settle;

/// How often the file counts as changed although no event says so.
const RECHECK: Duration = Duration::from_secs(30);

/// Dropping it ends the watch.
#[derive(Debug)]
pub struct FileSource {
    commands: Sender<Message>,
    changed: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Message {
    Event(notify::Result<notify::Event>),
    Stop,
}

// === impl FileSource ===

impl FileSource {
    /// # Errors
    ///
    /// When the directory of `path` cannot be watched.
    pub fn start(path: &Path) -> io::Result<Self> {
        let (commands, messages) = mpsc::channel();
        let events = commands.clone();
        let mut watcher = notify::recommended_watcher(move |event| {
            // The receiver is gone only when the source is.
            let _ = events.send(Message::Event(event));
        })
        .map_err(io::Error::other)?;
        let directory = directory_of(path);
        watcher.watch(&directory, RecursiveMode::NonRecursive).map_err(io::Error::other)?;
        let changed = Arc::new(Notify::new());
        let notify = changed.clone();
        let path = directory.join(path.file_name().unwrap_or_default());
        let thread = thread::Builder::new()
            .name("config".to_owned())
            .spawn(move || run(&watcher, &messages, &path, &notify))?;
        Ok(Self { commands, changed, thread: Some(thread) })
    }

    /// Waits until the file may have changed. Cancel-safe.
    pub async fn changed(&mut self) {
        self.changed.notified().await;
    }
}

impl Drop for FileSource {
    fn drop(&mut self) {
        let _ = self.commands.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Keeps the watcher alive as long as it runs.
fn run(_watcher: &RecommendedWatcher, messages: &Receiver<Message>, path: &Path, changed: &Notify) {
    let mut settle = Settle::default();
    let mut recheck = Instant::now() + RECHECK;
    loop {
        let wake = settle.wake_at().map_or(recheck, |at| at.min(recheck));
        match messages.recv_timeout(wake.saturating_duration_since(Instant::now())) {
            Ok(Message::Event(event)) => {
                settle.event(&event, Instant::now());
                if settle.wake_at().is_none_or(|at| at > Instant::now()) {
                    continue;
                }
            }
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = Instant::now();
        if now >= recheck {
            recheck = now + RECHECK;
            settle.everything(now);
        }
        let due = settle.due(now);
        // `..data` of a mounted ConfigMap: the file itself has no event.
        let swapped = || due.paths.iter().any(|p| p.file_name().is_some_and(|n| n == "..data"));
        let concerned = due.everything || due.paths.contains(path) || swapped();
        // A writer that is not done is heard of again.
        if concerned && !settle.is_busy(path) {
            changed.notify_one();
        }
    }
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    async fn told(source: &mut FileSource) {
        tokio::time::timeout(Duration::from_secs(20), source.changed()).await.unwrap();
    }

    #[tokio::test]
    async fn tells_edits_replacements_and_swaps() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("..1")).unwrap();
        fs::write(at("..1/c.yaml"), "1").unwrap();
        symlink("..1", at("..data")).unwrap();
        symlink("..data/c.yaml", at("c.yaml")).unwrap();
        let mut source = FileSource::start(&at("c.yaml")).unwrap();

        fs::create_dir(at("..2")).unwrap();
        fs::write(at("..2/c.yaml"), "2").unwrap();
        symlink("..2", at("..tmp")).unwrap();
        fs::rename(at("..tmp"), at("..data")).unwrap();
        told(&mut source).await;

        fs::write(at("new"), "3").unwrap();
        fs::rename(at("new"), at("c.yaml")).unwrap();
        told(&mut source).await;

        fs::write(at("c.yaml"), "4").unwrap();
        told(&mut source).await;
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        assert!(FileSource::start(Path::new("/nonexistent/genkan.yaml")).is_err());
    }
}
