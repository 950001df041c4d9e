//! What is known of the cluster: which versions of which objects, what is wrong with them, and what
//! is new since the last update.
//!
//! Values in, values out. An object is decoded when its version is another than the known one; of
//! its text nothing stays.
//!
//! - What a full list does not name is gone when the list is complete, not before.
//! - A Secret that cannot be read any more keeps its last good pair (T9).
//! - Secrets and ConfigMaps that no Ingress of ours names are not kept.

use std::collections::BTreeMap;
use std::mem;

use hashbrown::HashMap;

use super::super::Update;
use super::item::Item;
use super::references::{Listing, References};
use super::resource::Resource;
use super::watch::{Select, Subject};
use crate::model::decode::{self, decode};
use crate::model::{Change, IngressClass, Kind, Object, ObjectRef, Origin, Problem, Sight};
use crate::routing;

#[derive(Debug)]
pub(super) struct Catalog {
    settings: decode::Settings,
    known: HashMap<ObjectRef, Known>,
    counts: BTreeMap<Kind, usize>,
    faulty: BTreeMap<ObjectRef, Vec<Problem>>,
    references: References,
    round: u64,
    /// Since the last update: an object, or that it is gone.
    pending: HashMap<ObjectRef, Option<Object>>,
    sights: BTreeMap<ObjectRef, Option<Sight>>,
    is_new: bool,
}

#[derive(Debug)]
struct Known {
    /// `resourceVersion`.
    version: Box<str>,
    /// When it was seen last; see [`Catalog::begin`].
    round: u64,
    /// The compiler has it.
    is_served: bool,
    /// A Secret that the shared watch of its namespace shows.
    is_shared: bool,
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is another than before.
    New,
    Known,
    /// Nobody wants it.
    Left,
}

// === impl Catalog ===

impl Catalog {
    pub(super) fn new(settings: decode::Settings, routing: routing::Settings) -> Self {
        Self {
            settings,
            known: HashMap::new(),
            counts: BTreeMap::new(),
            faulty: BTreeMap::new(),
            references: References::new(routing),
            round: 0,
            pending: HashMap::new(),
            sights: BTreeMap::new(),
            is_new: false,
        }
    }

    /// A full list begins: the number by which [`Self::complete`] tells what it has named.
    pub(super) fn begin(&mut self) -> u64 {
        self.round += 1;
        self.round
    }

    pub(super) fn upsert(&mut self, object: &ObjectRef, item: &Item) -> Taken {
        let is_named = matches!(object.kind, Kind::Secret | Kind::ConfigMap);
        if is_named && !self.references.wants(object) {
            return Taken::Left;
        }
        let version = item.version();
        if let Some(known) = self.known.get_mut(object) {
            known.round = self.round;
            if !version.is_empty() && *known.version == *version {
                return Taken::Known;
            }
        }
        let decoded = decode(item.value(), &Origin::Cluster, &self.settings);
        let (mut objects, mut problems) = (Vec::new(), Vec::new());
        for decoded in decoded {
            objects.extend(decoded.objects);
            problems.extend(decoded.problems);
        }
        let was_served = self.known.get(object).is_some_and(|known| known.is_served);
        // What is refused leaves the last good certificate in force.
        let keeps = object.kind == Kind::Secret && was_served && !problems.is_empty();
        let is_served = !objects.is_empty() || keeps;
        if was_served && !is_served {
            self.withdraw(object);
        }
        for object in objects {
            self.provide(object);
        }
        self.set_problems(object, problems);
        self.sights.insert(object.clone(), Some(item.sight(object)));
        self.is_new = true;
        let known = Known {
            version: version.into(),
            round: self.round,
            is_served,
            is_shared: item.value()["type"] == "kubernetes.io/tls",
        };
        if self.known.insert(object.clone(), known).is_none() {
            *self.counts.entry(object.kind).or_default() += 1;
        }
        Taken::New
    }

    /// Takes an object from the cache, unless the server has spoken of it: any full list that does
    /// not name it takes it away.
    pub(super) fn recall(&mut self, object: &ObjectRef, item: &Item) -> Taken {
        if self.known.contains_key(object) {
            return Taken::Known;
        }
        let round = mem::replace(&mut self.round, 0);
        let taken = self.upsert(object, item);
        self.round = round;
        taken
    }

    /// Whether it was known.
    pub(super) fn remove(&mut self, object: &ObjectRef) -> bool {
        let Some(known) = self.known.remove(object) else { return false };
        if let Some(count) = self.counts.get_mut(&object.kind) {
            *count = count.saturating_sub(1);
        }
        if known.is_served {
            self.withdraw(object);
        }
        self.set_problems(object, Vec::new());
        self.sights.insert(object.clone(), None);
        self.is_new = true;
        true
    }

    /// The list of `subject` that began with `round` is complete: removes and returns what it has
    /// not named.
    pub(super) fn complete(&mut self, subject: &Subject, round: u64) -> Vec<ObjectRef> {
        let gone: Vec<ObjectRef> = match &subject.select {
            Select::Name(name) | Select::Refreshed(name) => {
                let object = ObjectRef {
                    kind: subject.resource.kind,
                    namespace: subject.namespace.clone().unwrap_or_default(),
                    name: name.clone(),
                };
                let is_gone = self.known.get(&object).is_some_and(|known| known.round < round);
                is_gone.then_some(object).into_iter().collect()
            }
            Select::All | Select::Fields(_) => {
                let shared_only = subject.select != Select::All;
                let is_covered = |object: &ObjectRef, known: &Known| {
                    object.kind == subject.resource.kind
                        && subject.namespace.as_ref().is_none_or(|n| *n == object.namespace)
                        && (known.is_shared || !shared_only)
                };
                let gone = self
                    .known
                    .iter()
                    .filter(|(object, known)| known.round < round && is_covered(object, known));
                gone.map(|(object, _)| object.clone()).collect()
            }
        };
        for object in &gone {
            self.remove(object);
        }
        gone
    }

    /// IngressClasses may not be read: the names of the configuration stand for classes of ours.
    pub(super) fn assume_classes(&mut self, names: &[String], controller: &str) {
        for name in names {
            let class = IngressClass {
                name: name.as_str().into(),
                controller: controller.into(),
                is_default: false,
            };
            let object = ObjectRef::new(Kind::IngressClass, "", name);
            if self.known.contains_key(&object) {
                continue;
            }
            let known = Known {
                version: Box::default(),
                round: self.round,
                is_served: true,
                is_shared: false,
            };
            self.known.insert(object, known);
            self.provide(Object::IngressClass(class));
            self.is_new = true;
        }
    }

    /// What no Ingress of ours names any more is forgotten; returns it.
    pub(super) fn forget_unwanted(&mut self) -> Vec<ObjectRef> {
        let unwanted = self.references.take_unwanted();
        unwanted.into_iter().filter(|object| self.remove(object)).collect()
    }

    /// Everything is decoded anew when it is seen the next time.
    /// Whether that makes a difference.
    pub(super) fn set_settings(&mut self, settings: decode::Settings) -> bool {
        let is_other = self.settings != settings;
        if is_other {
            self.settings = settings;
            self.known.values_mut().for_each(|known| known.version = Box::default());
        }
        is_other
    }

    pub(super) fn set_routing(&mut self, settings: routing::Settings) {
        self.references.set_settings(settings);
    }

    pub(super) fn wanted(&self) -> impl Iterator<Item = &ObjectRef> {
        self.references.wanted()
    }

    /// What the shared watch of its namespace, if it is complete, says about a Secret.
    pub(super) fn listing(&self, object: &ObjectRef, is_complete: bool) -> Listing {
        match self.known.get(object) {
            _ if !is_complete => Listing::Unknown,
            Some(known) if known.is_shared => Listing::Listed,
            _ => Listing::NotListed,
        }
    }

    pub(super) fn count(&self, resource: &Resource) -> usize {
        self.counts.get(&resource.kind).copied().unwrap_or(0)
    }

    /// Whether [`Self::take`] would give something.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// What is new, and all problems as they stand, sorted; the watches say how far they have come.
    pub(super) fn take(&mut self) -> Update {
        self.is_new = false;
        let problems = self.faulty.values().flatten().cloned().collect();
        let mut change = Change::default();
        for (name, object) in mem::take(&mut self.pending) {
            match object {
                Some(object) => change.upserts.push(object),
                None => change.removals.push(name),
            }
        }
        let sights = mem::take(&mut self.sights);
        Update { change, problems, sights, ..Update::default() }
    }

    fn provide(&mut self, object: Object) {
        match &object {
            Object::Ingress(ingress) => self.references.upsert_ingress(ingress),
            Object::IngressClass(class) => self.references.upsert_class(class),
            _ => {}
        }
        self.pending.insert(object.reference(), Some(object));
    }

    fn withdraw(&mut self, object: &ObjectRef) {
        match object.kind {
            Kind::Ingress => self.references.remove_ingress(object),
            Kind::IngressClass => self.references.remove_class(&object.name),
            _ => {}
        }
        self.pending.insert(object.clone(), None);
    }

    fn set_problems(&mut self, object: &ObjectRef, problems: Vec<Problem>) {
        if problems.is_empty() {
            self.faulty.remove(object);
        } else {
            self.faulty.insert(object.clone(), problems);
        }
    }
}

#[cfg(test)]
mod tests;
