//! The watches that run: which are wanted, how far each has come, and what has kept it from coming
//! further.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::fault::Fault;
use super::standing::KindFacts;
use super::watch::{Pace, Report, Reports, Subject, Watch};
use crate::kubernetes::Link;
use crate::model::{Kind, Marks};

/// Starts and ends watches. Dropping it ends all.
pub(super) struct Watches {
    link: Arc<Link>,
    pace: Pace,
    reports: mpsc::Sender<(u64, Report)>,
    last_id: u64,
    running: BTreeMap<Subject, Running>,
    subjects: HashMap<u64, Subject>,
    /// By kind, also of watches that have ended.
    lists: BTreeMap<Kind, u64>,
    errors: BTreeMap<Kind, u64>,
}

/// One watch.
#[derive(Debug)]
pub(super) struct Running {
    id: u64,
    task: AbortHandle,
    /// Of the list that is under way; see `Catalog::begin`.
    pub(super) round: u64,
    /// A full list has come to its end since the start.
    pub(super) is_complete: bool,
    /// Since it was heard from last.
    pub(super) failures: u32,
    pub(super) fault: Option<Fault>,
    pub(super) failing_since: Option<Instant>,
    heard: Option<Instant>,
    pub(super) mark: Mark,
}

/// How far a watch has come. Versions that are no numbers cannot be compared: of those nobody has
/// heard enough.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    /// All changes up to this version are known.
    heard: u64,
    /// Of the newest object.
    object: u64,
}

/// What a route is made of, for whoever asks how far a node has come. The Secrets that an Ingress
/// names are there when it is (see `keeper`).
const MARKED: [Kind; 3] = [Kind::Ingress, Kind::Service, Kind::EndpointSlice];

/// A failure that is not repeated is not worth a word: watches break off when a server is replaced.
const NOTABLE: u32 = 2;

// === impl Watches ===

impl Watches {
    pub(super) fn new(link: Arc<Link>, pace: Pace, reports: mpsc::Sender<(u64, Report)>) -> Self {
        Self {
            link,
            pace,
            reports,
            last_id: 0,
            running: BTreeMap::new(),
            subjects: HashMap::new(),
            lists: BTreeMap::new(),
            errors: BTreeMap::new(),
        }
    }

    /// Starts what is wanted and does not run; ends what runs and is not wanted.
    pub(super) fn follow(&mut self, wanted: &BTreeSet<Subject>) {
        let surplus: Vec<Subject> =
            self.running.keys().filter(|subject| !wanted.contains(*subject)).cloned().collect();
        for subject in surplus {
            self.end(&subject);
        }
        for subject in wanted {
            if !self.running.contains_key(subject) {
                self.start(subject.clone());
            }
        }
    }

    /// Lists anew whatever is known.
    pub(super) fn restart(&mut self, which: impl Fn(&Subject) -> bool) {
        let again: Vec<Subject> =
            self.running.keys().filter(|subject| which(subject)).cloned().collect();
        for subject in again {
            self.end(&subject);
            self.start(subject);
        }
    }

    /// Whose report it is; `None` for a watch that has been ended meanwhile.
    pub(super) fn of(&mut self, id: u64) -> Option<(Subject, &mut Running)> {
        let subject = self.subjects.get(&id)?.clone();
        let running = self.running.get_mut(&subject)?;
        Some((subject, running))
    }

    /// A full list has come to its end.
    pub(super) fn count_list(&mut self, kind: Kind) {
        *self.lists.entry(kind).or_default() += 1;
    }

    pub(super) fn count_error(&mut self, kind: Kind) {
        *self.errors.entry(kind).or_default() += 1;
    }

    pub(super) fn get(&self, subject: &Subject) -> Option<&Running> {
        self.running.get(subject)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Subject, &Running)> {
        self.running.iter()
    }

    /// What keeps watches from going on, each once, and how many it keeps.
    pub(super) fn faults(&self) -> BTreeMap<String, usize> {
        let mut faults = BTreeMap::new();
        for running in self.running.values().filter(|running| running.is_notable()) {
            if let Some(fault) = &running.fault {
                *faults.entry(fault.to_string()).or_default() += 1;
            }
        }
        faults
    }

    pub(super) fn facts(&self, kind: Kind) -> KindFacts {
        let of_kind = || {
            let running = self.running.iter();
            running.filter(|(subject, _)| subject.resource.kind == kind).map(|(_, running)| running)
        };
        KindFacts {
            objects: 0,
            watches: of_kind().count(),
            heard: of_kind().map(|running| running.heard).min().flatten(),
            lists: self.lists.get(&kind).copied().unwrap_or(0),
            errors: self.errors.get(&kind).copied().unwrap_or(0),
        }
    }

    pub(super) fn marks(&self) -> Marks {
        let mut marks = Marks::default();
        for (subject, running) in &self.running {
            if !MARKED.contains(&subject.resource.kind) || !running.is_complete {
                continue;
            }
            let name: Arc<str> = match &subject.namespace {
                Some(namespace) => format!("{namespace}/{}", subject.resource.plural).into(),
                None => subject.resource.plural.into(),
            };
            marks.heard.0.insert(name.clone(), running.mark.heard);
            marks.objects.0.insert(name, running.mark.object);
        }
        marks
    }

    fn start(&mut self, subject: Subject) {
        self.last_id += 1;
        let id = self.last_id;
        let reports = Reports { id, to: self.reports.clone() };
        let watch = Watch::new(subject.clone(), self.link.clone(), self.pace, reports);
        let task = tokio::spawn(watch.run()).abort_handle();
        let running = Running {
            id,
            task,
            round: 0,
            is_complete: false,
            failures: 0,
            fault: None,
            failing_since: None,
            heard: None,
            mark: Mark::default(),
        };
        self.subjects.insert(id, subject.clone());
        self.running.insert(subject, running);
    }

    fn end(&mut self, subject: &Subject) {
        if let Some(running) = self.running.remove(subject) {
            running.task.abort();
            self.subjects.remove(&running.id);
        }
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.running.values().for_each(|running| running.task.abort());
    }
}

// === impl Mark ===

impl Mark {
    /// A full list has come to its end.
    pub(super) fn complete(&mut self, version: &str) {
        self.heard = version.parse().unwrap_or(0);
    }

    pub(super) fn hear(&mut self, version: &str) {
        self.heard = self.heard.max(version.parse().unwrap_or(0));
    }

    /// An object of this version.
    pub(super) fn meet(&mut self, version: &str) {
        self.object = self.object.max(version.parse().unwrap_or(u64::MAX));
    }
}

// === impl Running ===

impl Running {
    pub(super) fn hear(&mut self) {
        self.heard = Some(Instant::now());
    }

    /// The server keeps it informed again.
    pub(super) fn recover(&mut self) {
        self.hear();
        (self.failures, self.fault, self.failing_since) = (0, None, None);
    }

    pub(super) fn fail(&mut self, fault: Fault) {
        self.failures = self.failures.saturating_add(1);
        self.failing_since.get_or_insert_with(Instant::now);
        self.fault = Some(fault);
    }

    pub(super) fn is_forbidden(&self) -> bool {
        self.fault.as_ref().is_some_and(Fault::is_forbidden)
    }

    pub(super) fn is_notable(&self) -> bool {
        self.is_forbidden() || self.failures >= NOTABLE
    }
}
