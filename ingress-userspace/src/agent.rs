//! The control side of one node: source → compiler → snapshot.
//!
//! Owns the objects' way from the source to the published snapshot, the clock that the pure
//! compiler is given, and the log of problems: each is logged once when it appears and once when it
//! is gone. Knows nothing of sockets and kernel programs.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::Config;
use crate::model::{Problem, decode};
use crate::routing::{Compiled, Compiler, Settings};
use crate::snapshot::Publisher;
use crate::source::Update;
use crate::source::manifests::ManifestSource;
use crate::telemetry::budget::PROBLEMS;
use anyhow::Context;

/// Source, compiler and publisher of one node.
#[derive(Debug)]
pub struct Agent {
    directory: PathBuf,
    source: ManifestSource,
    compiler: Compiler,
    publisher: Publisher,
    source_problems: BTreeSet<Problem>,
    version: u64,
    published: SystemTime,
    /// All problems, until the next change.
    listed: RefCell<Option<Arc<[Problem]>>>,
}

// === impl Agent ===

impl Agent {
    /// Reads the directory, publishes the first snapshot and watches from then on.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read or watched. Bad documents are no error.
    pub fn start(directory: &Path, config: &Config, publisher: Publisher) -> anyhow::Result<Self> {
        let (source, first) = open(directory, config)?;
        let mut agent = Self {
            directory: directory.to_owned(),
            source,
            compiler: Compiler::new(Settings::from(config)),
            publisher,
            source_problems: BTreeSet::new(),
            version: 0,
            published: SystemTime::now(),
            listed: RefCell::default(),
        };
        agent.apply(first);
        Ok(agent)
    }

    /// Waits for the next change of the objects, or the moment at which time alone changes
    /// something, and publishes what follows from it. Cancel-safe.
    pub async fn step(&mut self) {
        let deadline = self.compiler.next_deadline();
        tokio::select! {
            update = self.source.next() => self.apply(update),
            () = until(deadline) => {
                let compiled = self.compiler.advance(now());
                self.publish(compiled);
            }
        }
    }

    /// Compiles everything anew under another configuration. The old snapshot serves until the new
    /// one is complete.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read any more; nothing has changed then.
    pub fn reconfigure(&mut self, config: &Config) -> anyhow::Result<()> {
        let (source, first) = open(&self.directory, config)?;
        let mut known: BTreeSet<Problem> = self.compiler.problems().into_iter().collect();
        self.compiler = Compiler::new(Settings::from(config));
        self.source = source;
        self.log_source_problems(first.problems);
        let now = now();
        self.compiler.apply(first.change, now);
        let mut compiled = self.compiler.full_list(now);
        let present: BTreeSet<Problem> = self.compiler.problems().into_iter().collect();
        compiled.problems = present.difference(&known).cloned().collect();
        known.retain(|problem| !present.contains(problem));
        compiled.resolved = known.into_iter().collect();
        self.publish(compiled);
        Ok(())
    }

    /// Problems of the documents and of what they say together.
    pub fn problems(&self) -> usize {
        self.source_problems.len() + self.compiler.problems().len()
    }

    /// The same as values, documents' first. Put together once for each change.
    pub fn current_problems(&self) -> Arc<[Problem]> {
        let list =
            || self.source_problems.iter().cloned().chain(self.compiler.problems()).collect();
        self.listed.borrow_mut().get_or_insert_with(list).clone()
    }

    /// When the newest snapshot was published.
    pub fn published(&self) -> SystemTime {
        self.published
    }

    fn apply(&mut self, update: Update) {
        self.log_source_problems(update.problems);
        let now = now();
        let compiled = self.compiler.apply(update.change, now);
        self.log(&compiled);
        // A directory is always listed whole: what is not in it is gone.
        let compiled = self.compiler.full_list(now);
        self.publish(compiled);
    }

    fn publish(&mut self, compiled: Compiled) {
        self.log(&compiled);
        self.version += 1;
        self.published = SystemTime::now();
        self.listed.take();
        let mut snapshot = compiled.snapshot;
        snapshot.version = self.version;
        self.publisher.publish(snapshot);
    }

    fn log(&self, compiled: &Compiled) {
        for problem in &compiled.problems {
            tracing::warn!(target: PROBLEMS, "{problem}");
        }
        for problem in &compiled.resolved {
            tracing::info!(target: PROBLEMS, %problem, "resolved");
        }
        if !compiled.touched.is_empty() {
            tracing::debug!(hosts = compiled.touched.len(), "compiled");
        }
    }

    fn log_source_problems(&mut self, problems: Vec<Problem>) {
        let present: BTreeSet<Problem> = problems.into_iter().collect();
        for problem in present.difference(&self.source_problems) {
            tracing::warn!(target: PROBLEMS, "{problem}");
        }
        for problem in self.source_problems.difference(&present) {
            tracing::info!(target: PROBLEMS, %problem, "resolved");
        }
        self.listed.take();
        self.source_problems = present;
    }
}

fn open(directory: &Path, config: &Config) -> anyhow::Result<(ManifestSource, Update)> {
    ManifestSource::start(directory, decode::Settings::from(config))
        .with_context(|| format!("manifests in {}", directory.display()))
}

/// Seconds since the epoch.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

async fn until(deadline: Option<i64>) {
    match deadline {
        Some(deadline) => {
            let seconds = u64::try_from(deadline.saturating_sub(now())).unwrap_or(0);
            // A clock that is set while we wait is noticed within the hour.
            tokio::time::sleep(Duration::from_secs(seconds.clamp(1, 3600))).await;
        }
        None => std::future::pending().await,
    }
}
