//! Which Secrets and ConfigMaps the served Ingresses name, and by which watches they are kept.
//!
//! Pure. Nothing else of these kinds is read: what no Ingress of ours names is none of our business,
//! and the token need not be able to read it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;

use super::resource::{CONFIG_MAPS, SECRETS};
use super::watch::{Select, Subject};
use crate::model::{Ingress, IngressClass, Kind, ObjectRef};
use crate::routing::{Settings, is_ours};

/// What of a type holds certificates.
pub(super) const TLS_ONLY: &str = "type=kubernetes.io/tls";

/// Who names what.
#[derive(Debug)]
pub(super) struct References {
    settings: Settings,
    classes: HashMap<Arc<str>, Arc<str>>,
    ingresses: HashMap<ObjectRef, Naming>,
    /// How many name it.
    wanted: BTreeMap<ObjectRef, usize>,
    /// Whose last naming has gone since this was asked for.
    unwanted: Vec<ObjectRef>,
}

#[derive(Debug)]
struct Naming {
    class_annotation: Option<Arc<str>>,
    class_name: Option<Arc<str>>,
    names: Vec<ObjectRef>,
    /// It is ours.
    counts: bool,
}

// === impl References ===

impl References {
    pub(super) fn new(settings: Settings) -> Self {
        let mut references = Self {
            settings,
            classes: HashMap::new(),
            ingresses: HashMap::new(),
            wanted: BTreeMap::new(),
            unwanted: Vec::new(),
        };
        references.count_default(true);
        references
    }

    /// The objects that are wanted.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &ObjectRef> {
        self.wanted.keys()
    }

    /// What was wanted when this was called before, and is not now.
    pub(super) fn take_unwanted(&mut self) -> Vec<ObjectRef> {
        let mut unwanted = std::mem::take(&mut self.unwanted);
        unwanted.retain(|object| !self.wanted.contains_key(object));
        unwanted
    }

    pub(super) fn wants(&self, object: &ObjectRef) -> bool {
        self.wanted.contains_key(object)
    }

    pub(super) fn upsert_ingress(&mut self, ingress: &Ingress) {
        self.remove_ingress(&ingress.object);
        let names = names(ingress);
        if names.is_empty() {
            return;
        }
        let mut naming = Naming {
            class_annotation: ingress.class_annotation.clone(),
            class_name: ingress.class_name.clone(),
            names,
            counts: false,
        };
        naming.counts = self.is_ours(&naming);
        self.count(&naming.names, naming.counts, true);
        self.ingresses.insert(ingress.object.clone(), naming);
    }

    pub(super) fn remove_ingress(&mut self, object: &ObjectRef) {
        if let Some(naming) = self.ingresses.remove(object) {
            self.count(&naming.names, naming.counts, false);
        }
    }

    pub(super) fn upsert_class(&mut self, class: &IngressClass) {
        let old = self.classes.insert(class.name.clone(), class.controller.clone());
        if old.as_ref() != Some(&class.controller) {
            self.judge_all();
        }
    }

    pub(super) fn remove_class(&mut self, name: &str) {
        if self.classes.remove(name).is_some() {
            self.judge_all();
        }
    }

    pub(super) fn set_settings(&mut self, settings: Settings) {
        self.count_default(false);
        self.settings = settings;
        self.count_default(true);
        self.judge_all();
    }

    fn is_ours(&self, naming: &Naming) -> bool {
        let (annotation, field) = (&naming.class_annotation, &naming.class_name);
        let controller = |name: &str| self.classes.get(name);
        is_ours(annotation.as_ref(), field.as_ref(), &self.settings, controller)
    }

    /// Classes change rarely, and are few.
    fn judge_all(&mut self) {
        let mut ingresses = std::mem::take(&mut self.ingresses);
        for naming in ingresses.values_mut() {
            let counts = self.is_ours(naming);
            if counts != naming.counts {
                self.count(&naming.names, true, counts);
                naming.counts = counts;
            }
        }
        self.ingresses = ingresses;
    }

    fn count_default(&mut self, more: bool) {
        if let Some((namespace, name)) = self.settings.default_certificate.clone() {
            self.count(&[ObjectRef { kind: Kind::Secret, namespace, name }], true, more);
        }
    }

    fn count(&mut self, names: &[ObjectRef], counts: bool, more: bool) {
        for name in names.iter().filter(|_| counts) {
            let number = self.wanted.entry(name.clone()).or_default();
            *number = if more { *number + 1 } else { number.saturating_sub(1) };
            if *number == 0 {
                self.wanted.remove(name);
                self.unwanted.push(name.clone());
            }
        }
    }
}

/// The Secrets and ConfigMaps that an Ingress names, each once.
fn names(ingress: &Ingress) -> Vec<ObjectRef> {
    let own = &ingress.object.namespace;
    let secret = |name: &Arc<str>| ObjectRef {
        kind: Kind::Secret,
        namespace: own.clone(),
        name: name.clone(),
    };
    let certificates = ingress.tls.iter().filter_map(|entry| entry.secret.as_ref()).map(secret);
    let auth = &ingress.options.access.auth;
    // That of another namespace is refused by the compiler, so it is not read at all.
    let passwords = auth.secret.as_ref().filter(|secret| {
        auth.basic && secret.namespace.as_ref().is_none_or(|namespace| namespace == own)
    });
    let headers = ingress.options.headers.custom.as_ref().map(|map| ObjectRef {
        kind: Kind::ConfigMap,
        namespace: map.namespace.as_ref().unwrap_or(own).clone(),
        name: map.name.clone(),
    });
    let all: BTreeSet<ObjectRef> =
        certificates.chain(passwords.map(|named| secret(&named.name))).chain(headers).collect();
    all.into_iter().collect()
}

/// What the watches of namespaces have said about a Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    /// Its namespace has not been listed yet.
    Unknown,
    Listed,
    /// It is of another type, or does not exist.
    NotListed,
}

/// The watches that keep the wanted objects. Each is a connection: up to `limit` Secrets have a
/// watch of their own. Beyond, a namespace's certificates share one, and what is not among them is
/// got again and again.
pub(super) fn plan<'a>(
    wanted: impl Iterator<Item = &'a ObjectRef>,
    limit: usize,
    listing: impl Fn(&ObjectRef) -> Listing,
) -> BTreeSet<Subject> {
    let (secrets, maps): (Vec<_>, Vec<_>) = wanted.partition(|object| object.kind == Kind::Secret);
    let mut subjects = BTreeSet::new();
    for (resource, objects) in [(&SECRETS, secrets), (&CONFIG_MAPS, maps)] {
        let are_few = objects.len() <= limit;
        let shared = resource.kind == Kind::Secret && !are_few;
        for object in objects {
            let subject =
                |select| Subject { resource, namespace: Some(object.namespace.clone()), select };
            if are_few {
                subjects.insert(subject(Select::Name(object.name.clone())));
                continue;
            }
            if shared {
                subjects.insert(subject(Select::Fields(TLS_ONLY)));
            }
            if !shared || listing(object) == Listing::NotListed {
                subjects.insert(subject(Select::Refreshed(object.name.clone())));
            }
        }
    }
    subjects
}

#[cfg(test)]
mod tests;
