//! Sources: where objects come from.
//!
//! A source reads API objects, has them decoded by the model and hands on [`Update`]s: what changed
//! and everything that is wrong now. [`manifests`] is a directory of YAML and JSON, [`cluster`] the
//! API server; what follows from an object is the same. [`file`] watches a single file, such as the
//! configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;

use crate::config::Config;
use crate::model::{Change, Marks, ObjectRef, Problem, Sight, decode};

use cluster::{Access, ClusterSource, Standing};
use manifests::ManifestSource;

pub mod cluster;
pub mod file;
pub mod manifests;
mod settle;
mod slot;

/// One step of a source. Two may be merged into one: the latest state of each object counts.
#[derive(Debug, Clone, Default)]
pub struct Update {
    pub change: Change,
    /// All problems of this source as they stand now, not only the new ones; sorted.
    pub problems: Vec<Problem>,
    /// All IngressClasses were listed: one that is missing now is gone (K8).
    pub full: bool,
    /// Of a cluster: the objects that came, by what they are; `None` for one that is gone.
    pub sights: BTreeMap<ObjectRef, Option<Sight>>,
    /// How far its watches have come; all of this is in the update or was in one before.
    pub marks: Marks,
}

/// Where objects are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A directory.
    Manifests(PathBuf),
    Cluster(Access),
}

/// One of the sources, watched.
#[derive(Debug)]
pub enum Source {
    Manifests(ManifestSource),
    Cluster(ClusterSource),
}

// === impl Source ===

impl Source {
    /// Reads everything and watches from then on. Waits for an API server that is absent, unless a
    /// cache is there; `told`: how it stands meanwhile.
    ///
    /// # Errors
    ///
    /// When a directory cannot be read or watched, or the access to the cluster cannot be read. Bad
    /// objects are no error.
    pub async fn start(
        origin: &Origin,
        config: &Config,
        told: impl FnOnce(Option<Standing>),
    ) -> anyhow::Result<(Self, Update)> {
        match origin {
            Origin::Manifests(directory) => {
                told(None);
                let settings = decode::Settings::from(config);
                let (source, first) = ManifestSource::start(directory, settings)
                    .with_context(|| format!("manifests in {}", directory.display()))?;
                Ok((Self::Manifests(source), first))
            }
            Origin::Cluster(access) => {
                let mut source = ClusterSource::start(access.clone(), config)
                    .await
                    .context("access to the cluster")?;
                told(Some(source.standing()));
                let first = source.next().await;
                Ok((Self::Cluster(source), first))
            }
        }
    }

    /// Waits for the next update. Cancel-safe: an update that was not returned stays.
    pub async fn next(&mut self) -> Update {
        match self {
            Self::Manifests(source) => source.next().await,
            Self::Cluster(source) => source.next().await,
        }
    }

    /// Reads everything again; `None` when what is new comes with [`Self::next`].
    ///
    /// # Errors
    ///
    /// When the objects cannot be read any more.
    pub async fn reread(&mut self, config: &Config) -> anyhow::Result<Option<Update>> {
        match self {
            Self::Manifests(source) => {
                let settings = decode::Settings::from(config);
                Ok(Some(source.reread(settings).await.context("manifests not read again")?))
            }
            Self::Cluster(source) => {
                source.relist().await.context("objects not read again")?;
                Ok(None)
            }
        }
    }

    /// Follows another configuration; `None` when it reads nothing in another way.
    ///
    /// # Errors
    ///
    /// When the objects cannot be read any more; the configuration before stays in force.
    pub async fn reconfigure(
        &mut self,
        before: &Config,
        config: &Config,
    ) -> anyhow::Result<Option<Update>> {
        match self {
            Self::Manifests(_)
                if decode::Settings::from(before) == decode::Settings::from(config) =>
            {
                Ok(None)
            }
            Self::Manifests(_) => self.reread(config).await,
            Self::Cluster(source) => {
                Ok(Some(source.configure(config).await.context("objects not read again")?))
            }
        }
    }

    /// How the watches of a cluster stand.
    pub fn standing(&self) -> Option<Standing> {
        match self {
            Self::Manifests(_) => None,
            Self::Cluster(source) => Some(source.standing()),
        }
    }
}

// === impl Update ===

impl Update {
    /// This update and then `later`, as one.
    pub fn merge(&mut self, later: Self) {
        self.change.merge(later.change);
        self.problems = later.problems;
        self.full |= later.full;
        self.sights.extend(later.sights);
        self.marks = later.marks;
    }
}
