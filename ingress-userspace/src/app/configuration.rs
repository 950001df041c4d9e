//! The configuration in force, the file it comes from, and how a changed file takes its place: as a
//! whole, or not at all.
//!
//! What cannot be followed now is tried again, because its reason may pass without an edit of the
//! file. Each refusal is told once, with the number of the configuration that stays in force.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use tokio::time::{Instant, sleep_until};

use crate::admin::Configured;
use crate::config::{Config, Overrides, read};
use crate::source::file::FileSource;

/// Between two tries to follow a configuration: doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

pub(super) struct Configuration {
    in_force: Arc<Config>,
    /// Counts what was in force since the start.
    number: u64,
    taken: SystemTime,
    /// Times that the file was refused, or could not be followed.
    failed: u64,
    path: PathBuf,
    overrides: Overrides,
    file: FileSource,
    /// Why the file is not in force; empty when it is.
    refusal: Vec<String>,
    retry: Option<Retry>,
}

#[derive(Debug, Clone, Copy)]
struct Retry {
    at: Instant,
    /// To the try after.
    pause: Duration,
}

// === impl Configuration ===

impl Configuration {
    /// `in_force` was read from `path` with `overrides`. What the file says since then is looked at
    /// once.
    pub(super) fn start(
        in_force: Config,
        path: PathBuf,
        overrides: Overrides,
    ) -> anyhow::Result<Self> {
        let file = FileSource::start(&path).with_context(|| format!("watch {}", path.display()))?;
        Ok(Self {
            in_force: Arc::new(in_force),
            number: 1,
            taken: SystemTime::now(),
            failed: 0,
            path,
            overrides,
            file,
            refusal: Vec::new(),
            retry: Some(Retry { at: Instant::now(), pause: FIRST_PAUSE }),
        })
    }

    pub(super) fn in_force(&self) -> &Arc<Config> {
        &self.in_force
    }

    /// What became of the file so far, for the administration. `published`: when the newest
    /// snapshot was.
    pub(super) fn history(&self, published: SystemTime) -> Configured {
        Configured {
            file: self.path.display().to_string(),
            taken: self.taken,
            reloads: self.number - 1,
            reloads_failed: self.failed,
            errors: self.refusal.clone(),
            published,
        }
    }

    /// Waits until the file may say something else, or it is time to try again. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        let retry = self.retry;
        tokio::select! {
            () = self.file.changed() => {}
            () = until(retry) => {}
        }
    }

    /// What the file says when that is not in force.
    pub(super) fn read(&mut self) -> Option<Config> {
        match read::read(&self.path, &self.overrides) {
            Ok(same) if same == *self.in_force => {
                if !self.refusal.is_empty() {
                    tracing::info!("the file is as configuration {} again", self.number);
                }
                self.settle();
                None
            }
            Ok(next) => Some(next),
            Err(errors) => {
                // Only an edit helps.
                self.retry = None;
                self.refuse(errors.iter().map(ToString::to_string).collect());
                None
            }
        }
    }

    /// All parts follow this one now.
    pub(super) fn take(&mut self, next: Config) {
        self.in_force = Arc::new(next);
        self.number += 1;
        self.taken = SystemTime::now();
        self.settle();
        tracing::info!("configuration {} is in force", self.number);
    }

    /// A part cannot follow: what was in force stays in force everywhere.
    pub(super) fn postpone(&mut self, error: &anyhow::Error) {
        let pause = self.retry.map_or(FIRST_PAUSE, |retry| retry.pause);
        let next = (pause * 2).min(LONGEST_PAUSE);
        self.retry = Some(Retry { at: Instant::now() + pause, pause: next });
        self.refuse(vec![format!(
            "{}: {error:#}; tried again from time to time",
            self.path.display()
        )]);
    }

    fn refuse(&mut self, refusal: Vec<String>) {
        if refusal != self.refusal {
            for reason in &refusal {
                let number = self.number;
                tracing::error!("configuration not taken, {number} stays in force: {reason}");
            }
            self.failed += 1;
            self.refusal = refusal;
        }
    }

    fn settle(&mut self) {
        self.refusal.clear();
        self.retry = None;
    }
}

async fn until(retry: Option<Retry>) {
    match retry {
        Some(retry) => sleep_until(retry.at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn start(text: &str) -> (TempDir, PathBuf, Configuration) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("genkan.yaml");
        fs::write(&path, text).unwrap();
        let overrides = Overrides::default();
        let config = read::read(&path, &overrides).unwrap();
        let configuration = Configuration::start(config, path.clone(), overrides).unwrap();
        (directory, path, configuration)
    }

    #[tokio::test(start_paused = true)]
    async fn a_configuration_that_cannot_be_followed_is_tried_again_until_it_can() {
        let (_directory, path, mut configuration) = start("vips: []\n");
        fs::write(&path, "vips: []\ncompat: nginx\n").unwrap();
        for _ in 0..3 {
            configuration.changed().await;
            assert!(configuration.read().is_some());
            configuration.postpone(&anyhow::anyhow!("the kernel is busy"));
        }
        let history = configuration.history(SystemTime::now());
        assert_eq!((history.reloads, history.reloads_failed), (0, 1), "told once");
        assert!(history.errors[0].contains("the kernel is busy"), "{:?}", history.errors);
        configuration.changed().await;
        let next = configuration.read().unwrap();
        configuration.take(next);
        let history = configuration.history(SystemTime::now());
        assert_eq!((history.reloads, history.errors.len()), (1, 0));
        assert!(configuration.read().is_none(), "it is in force");
    }

    #[tokio::test]
    async fn a_refused_file_stays_refused_until_it_is_edited_and_the_old_one_is_no_news() {
        let (_directory, path, mut configuration) = start("vips: []\n");
        fs::write(&path, "compat: nginx\n").unwrap();
        assert!(configuration.read().is_none() && configuration.read().is_none());
        let history = configuration.history(SystemTime::now());
        assert_eq!((history.reloads_failed, history.errors.len()), (1, 1));
        fs::write(&path, "vips: []\n").unwrap();
        assert!(configuration.read().is_none());
        assert_eq!(configuration.history(SystemTime::now()).errors, [""; 0]);
    }
}
