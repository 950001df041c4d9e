//! The control side of one node: source → compiler → snapshot.
//!
//! Owns the objects' way from the source to the published snapshot, the clock that the pure
//! compiler is given, and the log of problems: each is logged once when it appears and once when it
//! is gone. Tells the same to whoever writes to the cluster. Knows nothing of sockets and kernel
//! programs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::admin::explain;
use crate::config::Config;
use crate::model::{Origin, Problem};
use crate::routing::{Compiled, Compiler, Node, Settings};
use crate::snapshot::Publisher;
use crate::source::cluster::Standing;
use crate::source::{self, Source, Update};
use crate::status::{Batch, Feed};
use crate::telemetry::budget::PROBLEMS;

#[cfg(test)]
mod tests;

/// Source, compiler and publisher of one node.
#[derive(Debug)]
pub struct Agent {
    source: Source,
    compiler: Compiler,
    publisher: Publisher,
    /// What the objects are read and compiled by.
    config: Config,
    node: Node,
    /// By what they are without their line, which an edit above moves.
    source_problems: BTreeMap<Problem, Problem>,
    version: u64,
    published: SystemTime,
    /// Where the cluster is told what is served, if it is.
    feed: Option<Feed>,
    /// For the feed, since the last snapshot.
    news: Batch,
    /// All problems, until the next change.
    listed: RefCell<Option<Arc<[Problem]>>>,
}

// === impl Agent ===

impl Agent {
    /// Reads the objects, publishes the first snapshot and watches from then on. Waits for an API
    /// server that is absent; `told`: how it stands meanwhile.
    ///
    /// # Errors
    ///
    /// When the source cannot be read or watched. Bad objects are no error.
    pub async fn start(
        origin: &source::Origin,
        config: &Config,
        node: Node,
        publisher: Publisher,
        feed: Option<Feed>,
        told: impl FnOnce(Option<Standing>),
    ) -> anyhow::Result<Self> {
        let (source, first) = Source::start(origin, config, told).await?;
        let mut agent = Self {
            source,
            compiler: Compiler::new(Settings::new(config, node.clone())),
            publisher,
            config: config.clone(),
            node,
            source_problems: BTreeMap::new(),
            version: 0,
            published: SystemTime::now(),
            feed,
            news: Batch::default(),
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

    /// Follows another configuration in one step: the old snapshot serves until the new one is
    /// complete. What is known stays known: last good certificates, classes, deadlines; and what
    /// the change does not touch is not compiled.
    ///
    /// # Errors
    ///
    /// When the objects cannot be read any more; nothing has changed then.
    pub async fn reconfigure(&mut self, config: &Config) -> anyhow::Result<()> {
        let update = self.source.reconfigure(&self.config, config).await?;
        self.config = config.clone();
        self.compile_anew(update);
        Ok(())
    }

    /// Reads all objects again, whatever events and file times say.
    ///
    /// # Errors
    ///
    /// When they cannot be read any more; nothing has changed then.
    pub async fn reread(&mut self) -> anyhow::Result<()> {
        if let Some(update) = self.source.reread(&self.config).await? {
            self.apply(update);
        }
        Ok(())
    }

    /// The host's own addresses have changed.
    pub fn set_node(&mut self, node: Node) {
        if node != self.node {
            self.node = node;
            self.compile_anew(None);
        }
    }

    /// Under the settings of now, with an update that belongs to them.
    fn compile_anew(&mut self, update: Option<Update>) {
        let settings = Settings::new(&self.config, self.node.clone());
        let compiled = self.compiler.set_settings(settings);
        match update {
            Some(update) => {
                self.note(&compiled);
                self.apply(update);
            }
            None => self.publish(compiled),
        }
    }

    /// Problems of the documents and of what they say together.
    pub fn problems(&self) -> usize {
        self.source_problems.len() + self.compiler.problems().len()
    }

    /// The same as values, documents' first. Put together once for each change.
    pub fn current_problems(&self) -> Arc<[Problem]> {
        let list =
            || self.source_problems.values().cloned().chain(self.compiler.problems()).collect();
        self.listed.borrow_mut().get_or_insert_with(list).clone()
    }

    /// How the watches of a cluster stand.
    pub fn standing(&self) -> Option<Standing> {
        self.source.standing()
    }

    /// When the newest snapshot was published.
    pub fn published(&self) -> SystemTime {
        self.published
    }

    /// What would become of a request.
    pub fn explain(&self, config: &Config, request: &explain::Request) -> explain::Answer {
        explain::Answer::new(&self.compiler, config, request)
    }

    fn apply(&mut self, update: Update) {
        self.log_source_problems(update.problems);
        self.news.sights.extend(update.sights);
        self.news.marks = Some(update.marks);
        let now = now();
        let mut compiled = self.compiler.apply(update.change, now);
        if update.full {
            self.note(&compiled);
            compiled = self.compiler.full_list(now);
        }
        self.publish(compiled);
    }

    fn publish(&mut self, compiled: Compiled) {
        self.note(&compiled);
        self.version += 1;
        self.published = SystemTime::now();
        self.listed.take();
        let mut snapshot = compiled.snapshot;
        snapshot.version = self.version;
        self.publisher.publish(snapshot);
        let news = Batch { version: self.version, ..std::mem::take(&mut self.news) };
        if let Some(feed) = &self.feed {
            feed.put(news);
        }
    }

    /// Log and feed.
    fn note(&mut self, compiled: &Compiled) {
        for problem in &compiled.problems {
            tracing::warn!(target: PROBLEMS, "{problem}");
        }
        for problem in &compiled.resolved {
            tracing::info!(target: PROBLEMS, %problem, "resolved");
        }
        if !compiled.touched.is_empty() {
            tracing::debug!(hosts = compiled.touched.len(), "compiled");
        }
        self.news.claims.extend(compiled.claims.clone());
        let resolved = compiled.resolved.iter().map(|problem| (problem.clone(), false));
        self.news.problems.extend(resolved);
        let raised = compiled.problems.iter().map(|problem| (problem.clone(), true));
        self.news.problems.extend(raised);
    }

    fn log_source_problems(&mut self, problems: Vec<Problem>) {
        let present: BTreeMap<Problem, Problem> =
            problems.into_iter().map(|problem| (without_line(&problem), problem)).collect();
        for (key, problem) in &present {
            if !self.source_problems.contains_key(key) {
                tracing::warn!(target: PROBLEMS, "{problem}");
                self.news.problems.insert(key.clone(), true);
            }
        }
        for (key, problem) in &self.source_problems {
            if !present.contains_key(key) {
                tracing::info!(target: PROBLEMS, %problem, "resolved");
                self.news.problems.insert(key.clone(), false);
            }
        }
        self.listed.take();
        self.source_problems = present;
    }
}

fn without_line(problem: &Problem) -> Problem {
    let mut problem = problem.clone();
    if let Origin::File { line, .. } = &mut problem.origin {
        *line = 0;
    }
    problem
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
