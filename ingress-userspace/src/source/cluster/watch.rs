//! One watch: a full list in pages, then its changes, for as long as it is wanted.
//!
//! ```text
//!   list ──► watch ──► (ended, dropped, silent) ──► watch from the last version
//!    ▲         │
//!    └─────────┴── 410 Gone: the server has forgotten that version
//! ```
//!
//! A single object is got by its name instead of listed, so that a role needs `get` and `watch` on
//! that name and nothing else. kube's own watcher is not used: it tells neither that a watch is open
//! again nor that it was heard from, and without that nobody can say how old the objects are.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kube::api::WatchEvent;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::fault::Fault;
use super::item::Item;
use super::request::Requests;
use super::resource::Resource;
use crate::kubernetes::Link;

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Select {
    All,
    /// A field selector, such as `type=kubernetes.io/tls`.
    Fields(&'static str),
    Name(Arc<str>),
    /// As `Name`, by asking again and again: no connection stays open for it.
    Refreshed(Arc<str>),
}

/// What a watch tells. `Begin`, `Items` and `Complete` are one full list: what it does not name is
/// gone.
#[derive(Debug)]
pub(super) enum Report {
    Begin,
    Items(Vec<Item>),
    /// With the version of the list.
    Complete(String),
    Upsert(Item),
    Remove(Item),
    /// The server keeps us informed from here on.
    Alive,
    /// Nothing else has changed up to this version.
    Bookmark(String),
    Failed(Fault),
}

/// One collection, or a part of it, with its changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Subject {
    pub(super) resource: &'static Resource,
    /// `None` = all, and for kinds that have none.
    pub(super) namespace: Option<Arc<str>>,
    pub(super) select: Select,
}

/// A watch that runs.
pub(super) struct Watch {
    subject: Subject,
    requests: Requests,
    pace: Pace,
    reports: Reports,
}

/// Where a watch tells what it hears.
pub(super) struct Reports {
    /// Whom the reports are from.
    pub(super) id: u64,
    /// Bounded: a watch whose reports are not taken reads no further, and the server sees that.
    pub(super) to: mpsc::Sender<(u64, Report)>,
}

/// The times of a watch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// First pause after a failure; doubled with each one more.
    pub(super) first_pause: Duration,
    pub(super) longest_pause: Duration,
    /// For the answer to a list, a page of it, or the head of a watch.
    pub(super) answer: Duration,
    /// After which the server ends a watch by itself. Bookmarks come every minute.
    pub(super) watch: Duration,
    /// Between two looks at an object that is not watched.
    pub(super) refresh: Duration,
}

/// The coordinator has ended.
struct Unheard;

enum Ended {
    /// From the last version on.
    Quietly,
    /// The version is known no more.
    Expired,
}

/// A watch that lived this long was a good one.
const GOOD: Duration = Duration::from_secs(5);

// === impl Pace ===

impl Default for Pace {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(30),
            answer: Duration::from_secs(60),
            watch: Duration::from_secs(290),
            refresh: Duration::from_secs(60),
        }
    }
}

// === impl Watch ===

impl Watch {
    pub(super) fn new(subject: Subject, link: Arc<Link>, pace: Pace, reports: Reports) -> Self {
        let requests = Requests {
            link,
            resource: subject.resource,
            namespace: subject.namespace.clone(),
            fields: match &subject.select {
                Select::All => None,
                Select::Fields(selector) => Some((*selector).to_owned()),
                Select::Name(name) | Select::Refreshed(name) => {
                    Some(format!("metadata.name={name}"))
                }
            },
            patience: pace.answer,
        };
        Self { subject, requests, pace, reports }
    }

    /// Until nobody listens any more.
    pub(super) async fn run(self) {
        let mut failures = 0;
        // The version from which on changes are wanted; nothing is known without.
        let mut version: Option<String> = None;
        loop {
            let started = Instant::now();
            let Ok(outcome) = self.step(&mut version).await else { return };
            let was_good = started.elapsed() >= GOOD;
            if was_good {
                failures = 0;
            }
            match outcome {
                Ok(()) if was_good => continue,
                // A server that ends each watch at once must not be asked without a pause.
                Ok(()) => {}
                Err(fault) => {
                    if fault.is_unknown_user() {
                        self.requests.link.renew().await;
                    }
                    if self.tell(Report::Failed(fault)).await.is_err() {
                        return;
                    }
                }
            }
            sleep(self.pause(failures)).await;
            failures = (failures + 1).min(16);
        }
    }

    /// Lists what has to be listed, then watches until that ends.
    async fn step(&self, version: &mut Option<String>) -> Result<Result<(), Fault>, Unheard> {
        if version.is_none() {
            match self.list().await? {
                Ok(listed) => *version = Some(listed),
                Err(fault) => return Ok(Err(fault)),
            }
        }
        let ended = match &self.subject.select {
            Select::Refreshed(_) => self.wait().await?,
            _ => self.watch(version).await?,
        };
        Ok(match ended {
            Ok(Ended::Quietly) => Ok(()),
            Ok(Ended::Expired) => {
                *version = None;
                Ok(())
            }
            // Who may get the object and not watch it is shown it as often as we ask.
            Err(fault) if fault.is_forbidden() && self.name().is_some() => {
                *version = None;
                self.wait().await?.map(|_| ())
            }
            Err(fault) if fault.is_expiry() => {
                *version = None;
                Ok(())
            }
            Err(fault) => Err(fault),
        })
    }

    async fn wait(&self) -> Result<Result<Ended, Fault>, Unheard> {
        self.tell(Report::Alive).await?;
        let jitter = self.pace.refresh.mul_f64(0.2 * fastrand::f64());
        sleep(self.pace.refresh + jitter).await;
        Ok(Ok(Ended::Expired))
    }

    /// The version that was listed.
    async fn list(&self) -> Result<Result<String, Fault>, Unheard> {
        if let Some(name) = self.name() {
            return self.get(name).await;
        }
        let mut next: Option<String> = None;
        self.tell(Report::Begin).await?;
        loop {
            let page = match self.requests.page(next.as_deref()).await {
                Ok(page) => page,
                Err(fault) => return Ok(Err(fault)),
            };
            self.tell(Report::Items(page.items.unwrap_or_default())).await?;
            match page.metadata.next.filter(|next| !next.is_empty()) {
                Some(more) => next = Some(more),
                None => {
                    let version = page.metadata.resource_version;
                    self.tell(Report::Complete(version.clone())).await?;
                    return Ok(Ok(version));
                }
            }
        }
    }

    async fn get(&self, name: &str) -> Result<Result<String, Fault>, Unheard> {
        let found = match self.requests.object(name).await {
            Ok(found) => found,
            Err(fault) => return Ok(Err(fault)),
        };
        // A watch without a version begins with the object, if it is there by then.
        let version = found.as_ref().map(|item| item.version().to_owned()).unwrap_or_default();
        self.tell(Report::Begin).await?;
        self.tell(Report::Items(found.into_iter().collect())).await?;
        self.tell(Report::Complete(version.clone())).await?;
        Ok(Ok(version))
    }

    /// Keeps `version` at what was heard last.
    async fn watch(&self, version: &mut Option<String>) -> Result<Result<Ended, Fault>, Unheard> {
        let from = version.clone().unwrap_or_default();
        // Spread, so that watches that began together do not end together.
        let limit = self.pace.watch.mul_f64(0.8 + 0.2 * fastrand::f64());
        let mut events = match self.requests.events(&from, limit).await {
            Ok(events) => Box::pin(events),
            Err(fault) => return Ok(Err(fault)),
        };
        self.tell(Report::Alive).await?;
        // Beyond the end that was asked for nothing comes from a server that lives.
        let silence = limit + self.pace.answer;
        loop {
            let event = match timeout(silence, events.next()).await {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(fault))) => return Ok(Err(fault)),
                Ok(None) => return Ok(Ok(Ended::Quietly)),
                Err(_) => return Ok(Err(Fault::silent(self.subject.resource, silence))),
            };
            let (heard, report) = match event {
                WatchEvent::Added(item) | WatchEvent::Modified(item) => {
                    (item.version().to_owned(), Report::Upsert(item))
                }
                WatchEvent::Deleted(item) => (item.version().to_owned(), Report::Remove(item)),
                WatchEvent::Bookmark(mark) => {
                    let version = mark.metadata.resource_version;
                    (version.clone(), Report::Bookmark(version))
                }
                WatchEvent::Error(status) => {
                    return Ok(Err(Fault::refused(status.code, &status.message)));
                }
            };
            *version = Some(heard);
            self.tell(report).await?;
        }
    }

    fn name(&self) -> Option<&str> {
        match &self.subject.select {
            Select::Name(name) | Select::Refreshed(name) => Some(name),
            Select::All | Select::Fields(_) => None,
        }
    }

    async fn tell(&self, report: Report) -> Result<(), Unheard> {
        self.reports.to.send((self.reports.id, report)).await.map_err(|_| Unheard)
    }

    /// Grows with the failures and is spread, so that the watches of a fleet do not come back at
    /// one moment.
    fn pause(&self, failures: u32) -> Duration {
        let longest = self.pace.first_pause.saturating_mul(1 << failures);
        longest.min(self.pace.longest_pause).mul_f64(0.5 + 0.5 * fastrand::f64())
    }
}
