//! The coordinator: from what the watches report to updates for the control side.
//!
//! Nothing is handed on before it is whole. The first update waits until all is listed, with the
//! Secrets and ConfigMaps that the listed Ingresses name; when the API server does not answer, the
//! cache of an earlier process is handed on meanwhile, and replaced by the first full list in one
//! step. Later a change waits for the Secrets that it names for the first time, so that no client
//! is shown another certificate in between; and for a moment of quiet, because what belongs together
//! comes on several watches.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::super::Update;
use super::super::slot::Slot;
use super::Timing;
use super::catalog::{Catalog, Taken};
use super::item::Item;
use super::memory::Memory;
use super::references::{self, TLS_ONLY};
use super::resource::{BASE, CLASSES, CONFIG_MAPS, SECRETS};
use super::standing::{Facts, Served, Standing};
use super::watch::{Report, Select, Subject};
use super::watches::{Running, Watches};
use crate::config::cluster::ClusterConfig;
use crate::config::{Classes, Config};
use crate::model::decode;
use crate::model::{Kind, ObjectRef, Problem};
use crate::routing;

mod release;

/// What the control side asks for.
pub(super) enum Command {
    /// List everything again.
    Relist,
    /// Read by another configuration; the answer is all that is new by it.
    Configure(Box<Config>, oneshot::Sender<Update>),
}

pub(super) struct Keeper {
    config: Config,
    server: String,
    catalog: Catalog,
    watches: Watches,
    base: BTreeSet<Subject>,
    memory: Memory,
    slot: Arc<Slot>,
    standing: Standing,
    timing: Timing,
    /// When the server has told something last; at first, when it was asked.
    heard: Instant,
    served: Served,
    /// Everything waits until all is listed, or until this moment.
    whole: Option<Wait>,
    /// Changes that wait: since when, and when the last one came.
    held: Option<(Instant, Instant)>,
    /// IngressClasses were listed since the last update (K8).
    classes_listed: bool,
    classes_assumed: bool,
    problems: Vec<Problem>,
    asked: Option<Asked>,
    faults: BTreeMap<String, usize>,
}

/// Another configuration that is not in force before all is read by it.
struct Asked {
    answer: oneshot::Sender<Update>,
    before: Box<Config>,
    until: Instant,
}

#[derive(Debug, Clone, Copy)]
enum Wait {
    Always,
    Until(Instant),
}

// === impl Keeper ===

impl Keeper {
    pub(super) fn new(
        config: &Config,
        server: String,
        watches: Watches,
        slot: Arc<Slot>,
        standing: Standing,
        timing: Timing,
    ) -> Self {
        let catalog = Catalog::new(decode::Settings::from(config), routing::Settings::from(config));
        Self {
            base: base(&config.cluster),
            memory: Memory::begin(&config.cluster, &server),
            config: config.clone(),
            server,
            catalog,
            watches,
            slot,
            standing,
            timing,
            heard: Instant::now(),
            served: Served::Nothing,
            whole: Some(Wait::Always),
            held: None,
            classes_listed: false,
            classes_assumed: false,
            problems: Vec::new(),
            asked: None,
            faults: BTreeMap::new(),
        }
    }

    /// Until the control side has gone.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut reports: mpsc::Receiver<(u64, Report)>,
    ) {
        let _closes = self.slot.clone().closing();
        let mut batch = Vec::new();
        loop {
            self.plan();
            self.hand_on();
            self.show();
            let wake = self.wake_at();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                _ = reports.recv_many(&mut batch, 256) => {
                    for (id, report) in batch.drain(..) {
                        self.hear(id, report);
                    }
                }
                () = until(wake) => {}
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Relist => {
                self.watches.restart(|_| true);
                self.wait_for_all();
            }
            Command::Configure(config, answer) => {
                let before = Box::new(self.config.clone());
                self.read_by(*config);
                let until = Instant::now() + self.timing.relist;
                self.asked = Some(Asked { answer, before, until });
            }
        }
    }

    /// Objects that are read in another way now are listed anew: their texts are not kept.
    fn read_by(&mut self, config: Config) {
        if self.catalog.set_settings(decode::Settings::from(&config)) {
            self.watches.restart(|_| true);
            self.wait_for_all();
        }
        self.catalog.set_routing(routing::Settings::from(&config));
        self.config = config;
    }

    fn wait_for_all(&mut self) {
        let until = Instant::now() + self.timing.relist;
        self.whole.get_or_insert(Wait::Until(until));
    }

    fn hear(&mut self, id: u64, report: Report) {
        let Some((subject, running)) = self.watches.of(id) else { return };
        let kind = subject.resource.kind;
        if !matches!(report, Report::Failed(_)) {
            self.heard = Instant::now();
        }
        match report {
            Report::Begin => {
                running.round = self.catalog.begin();
                running.hear();
            }
            Report::Items(items) => {
                running.hear();
                for item in &items {
                    running.mark.meet(item.version());
                }
                for item in items {
                    self.upsert(&subject, item);
                }
            }
            Report::Complete(version) => {
                running.recover();
                running.mark.complete(&version);
                running.is_complete = true;
                let round = running.round;
                self.watches.count_list(kind);
                for gone in self.catalog.complete(&subject, round) {
                    self.memory.remove(&gone);
                }
                if kind == Kind::IngressClass {
                    (self.classes_listed, self.classes_assumed) = (true, false);
                }
                self.hold();
            }
            Report::Alive => running.recover(),
            Report::Bookmark(version) => {
                running.recover();
                running.mark.hear(&version);
            }
            Report::Upsert(item) => {
                running.recover();
                running.mark.meet(item.version());
                running.mark.hear(item.version());
                self.upsert(&subject, item);
            }
            Report::Remove(item) => {
                running.recover();
                running.mark.hear(item.version());
                if kind == Kind::IngressClass {
                    // A class goes with a full list that does not name it (K8).
                    self.watches.restart(|running| *running == subject);
                } else if let Some(object) = item.reference(subject.resource)
                    && self.catalog.remove(&object)
                {
                    self.memory.remove(&object);
                    self.hold();
                }
            }
            Report::Failed(fault) => {
                tracing::debug!(resource = %subject.resource, namespace = ?subject.namespace, "{fault}");
                running.fail(fault);
                let is_forbidden = running.is_forbidden();
                self.watches.count_error(kind);
                if kind == Kind::IngressClass && is_forbidden && !self.classes_assumed {
                    self.assume_classes();
                }
                self.tell_faults();
            }
        }
        if !self.faults.is_empty() {
            self.tell_faults();
        }
    }

    fn upsert(&mut self, subject: &Subject, item: Item) {
        let item = item.with_type(subject.resource);
        let Some(object) = item.reference(subject.resource) else { return };
        if self.catalog.upsert(&object, &item) == Taken::New {
            self.memory.put(&object, &item);
            self.hold();
        }
    }

    /// A token for namespaces alone cannot read IngressClasses: the names of the configuration
    /// stand for them.
    fn assume_classes(&mut self) {
        let Classes { names, controller, .. } = &self.config.classes;
        tracing::warn!(
            "IngressClasses may not be read: the names in classes.names ({}) are taken for ours",
            names.join(", ")
        );
        self.catalog.assume_classes(names, controller);
        self.classes_assumed = true;
        self.hold();
    }

    /// Watches what the Ingresses name, and nothing else.
    fn plan(&mut self) {
        for object in self.catalog.forget_unwanted() {
            self.memory.remove(&object);
            self.hold();
        }
        let is_complete = |object: &ObjectRef| {
            let subject = Subject {
                resource: &SECRETS,
                namespace: Some(object.namespace.clone()),
                select: Select::Fields(TLS_ONLY),
            };
            self.watches.get(&subject).is_some_and(|running| running.is_complete)
        };
        let listing = |object: &ObjectRef| self.catalog.listing(object, is_complete(object));
        let limit = self.config.cluster.named_watches;
        let mut subjects = references::plan(self.catalog.wanted(), limit, listing);
        subjects.extend(self.base.iter().cloned());
        self.watches.follow(&subjects);
    }

    /// Each reason once when it appears, and once when it is gone.
    fn tell_faults(&mut self) {
        let faults = self.watches.faults();
        for (fault, watches) in &faults {
            if !self.faults.contains_key(fault) {
                tracing::warn!(watches, "{fault}");
            }
        }
        for fault in self.faults.keys().filter(|fault| !faults.contains_key(*fault)) {
            tracing::info!(fault, "resolved");
        }
        self.faults = faults;
    }

    /// Watches of what all routes need that do not come further. A refusal that has a remedy of its
    /// own, of IngressClasses or of a Secret, is none of them.
    fn failing(&self) -> impl Iterator<Item = &Running> {
        let base = self.watches.all().filter(|(subject, _)| self.base.contains(*subject));
        base.filter_map(|(subject, running)| {
            let is_class = subject.resource.kind == Kind::IngressClass;
            (running.is_notable() && !(is_class && running.is_forbidden())).then_some(running)
        })
    }

    /// To readiness, status and metrics.
    fn show(&self) {
        let resources = BASE.into_iter().chain([&SECRETS, &CONFIG_MAPS]);
        let kinds = resources.map(|resource| {
            let mut facts = self.watches.facts(resource.kind);
            facts.objects = self.catalog.count(resource);
            (resource.kind, facts)
        });
        self.standing.set(Facts {
            served: self.served,
            kinds: kinds.collect(),
            failures: self.faults.keys().cloned().collect(),
            failing_since: self.failing().filter_map(|running| running.failing_since).min(),
            cache_bytes: self.memory.length(),
        });
    }
}

/// What is watched whatever it says.
fn base(config: &ClusterConfig) -> BTreeSet<Subject> {
    let namespaces: Vec<Option<Arc<str>>> = match &config.namespaces[..] {
        [] => vec![None],
        named => named.iter().map(|name| Some(name.as_str().into())).collect(),
    };
    let mut subjects = BTreeSet::new();
    for resource in BASE {
        if resource == &CLASSES {
            subjects.insert(Subject { resource, namespace: None, select: Select::All });
            continue;
        }
        subjects.extend(namespaces.iter().map(|namespace| Subject {
            resource,
            namespace: namespace.clone(),
            select: Select::All,
        }));
    }
    subjects
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
