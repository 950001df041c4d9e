//! A Kubernetes cluster as a source of objects: watched, or remembered while its API server is away.
//!
//! A thread with a runtime of its own owns the connections: each subject has a [`watch`], what they
//! report goes through the [`keeper`] into a slot, where a later update is merged into an earlier
//! one that nobody has fetched yet. Ingresses, IngressClasses, Services and EndpointSlices are read
//! as a whole; Secrets and ConfigMaps only as the [`references`] of the Ingresses name them.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{mpsc, oneshot};

use super::Update;
use super::slot::Slot;
use crate::config::Config;

mod cache;
mod catalog;
mod fault;
mod item;
mod keeper;
mod memory;
mod references;
mod request;
mod resource;
mod standing;
mod watch;
mod watches;

#[cfg(test)]
mod tests;

pub use crate::kubernetes::Access;
pub use standing::{Facts, KindFacts, Served, Standing};

use keeper::{Command, Keeper};
use watch::Pace;
use watches::Watches;

/// A watched cluster. Dropping it ends all watches.
#[derive(Debug)]
pub struct ClusterSource {
    commands: Option<mpsc::Sender<Command>>,
    slot: Arc<Slot>,
    standing: Standing,
    thread: Option<JoinHandle<()>>,
}

/// How long what may take.
#[derive(Debug, Clone, Copy)]
struct Timing {
    pace: Pace,
    /// How long the API server may be silent at the start until it is taken for absent.
    patience: Duration,
    /// After the last report, before a change is handed on; and at most.
    quiet: Duration,
    longest_quiet: Duration,
    /// For the Secrets that a change names for the first time.
    secrets: Duration,
    /// For listing everything again.
    relist: Duration,
}

/// Reports on their way to the keeper; a page of a list is one.
const REPORTS: usize = 64;

// === impl ClusterSource ===

impl ClusterSource {
    /// Begins to watch. The first update is complete: all objects, or all that the cache has.
    ///
    /// # Errors
    ///
    /// When the access cannot be read. An API server that is absent is no error.
    pub async fn start(access: Access, config: &Config) -> anyhow::Result<Self> {
        Self::start_with(access, config, Timing::default()).await
    }

    async fn start_with(access: Access, config: &Config, timing: Timing) -> anyhow::Result<Self> {
        let (commands, orders) = mpsc::channel(4);
        let (slot, standing) = (Arc::new(Slot::default()), Standing::default());
        let (opened, opening) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = {
            let (slot, standing, config) = (slot.clone(), standing.clone(), config.clone());
            thread::Builder::new().name("cluster".to_owned()).spawn(move || {
                runtime.block_on(async {
                    let link = match access.connect().await {
                        Ok(link) => Arc::new(link),
                        Err(error) => return drop(opened.send(Err(error))),
                    };
                    let server = link.server().to_owned();
                    let (to, reports) = mpsc::channel(REPORTS);
                    let watches = Watches::new(link, timing.pace, to);
                    let keeper = Keeper::new(&config, server, watches, slot, standing, timing);
                    let _ = opened.send(Ok(()));
                    keeper.run(orders, reports).await;
                });
            })?
        };
        let source = Self { commands: Some(commands), slot, standing, thread: Some(thread) };
        opening.await.context("the thread that watches the cluster has ended")??;
        Ok(source)
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

    /// Lists everything again; what is new comes with [`Self::next`].
    ///
    /// # Errors
    ///
    /// When the thread has ended, by a panic.
    pub async fn relist(&self) -> io::Result<()> {
        self.order(Command::Relist).await
    }

    /// Reads everything in the light of this configuration, and returns all that is new. When it is
    /// cancelled, [`Self::next`] returns the outcome.
    ///
    /// # Errors
    ///
    /// When the objects have to be listed for it and the API server does not answer: the
    /// configuration before stays in force.
    pub async fn configure(&self, config: &Config) -> io::Result<Update> {
        let (answer, answered) = oneshot::channel();
        self.order(Command::Configure(Box::new(config.clone()), answer)).await?;
        answered.await.map_err(|_| io::Error::other("the API server does not answer"))
    }

    /// How it stands, now and later.
    pub fn standing(&self) -> Standing {
        self.standing.clone()
    }

    async fn order(&self, command: Command) -> io::Result<()> {
        let ended = || io::Error::other("the thread that watches the cluster has ended");
        let commands = self.commands.as_ref().ok_or_else(ended)?;
        commands.send(command).await.map_err(|_| ended())
    }
}

impl Drop for ClusterSource {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

// === impl Timing ===

impl Default for Timing {
    fn default() -> Self {
        Self {
            pace: Pace::default(),
            patience: Duration::from_secs(5),
            quiet: Duration::from_millis(10),
            longest_quiet: Duration::from_millis(100),
            secrets: Duration::from_secs(2),
            relist: Duration::from_secs(10),
        }
    }
}
