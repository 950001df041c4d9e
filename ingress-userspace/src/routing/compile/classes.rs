//! Which Ingresses are ours (K1-K3, K5, K8).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{Ingress, IngressClass, ObjectRef, RuleId};
use crate::routing::Settings;

#[derive(Debug, Default)]
pub(super) struct Classes {
    known: BTreeMap<Arc<str>, IngressClass>,
    /// Removed, but kept until the source has listed everything (K8).
    vanished: BTreeSet<Arc<str>>,
    /// Ingresses that name the class, whether it is known or not.
    users: BTreeMap<Arc<str>, BTreeSet<ObjectRef>>,
}

/// The class that an Ingress names.
enum Named<'a> {
    /// The legacy annotation, which wins over the field (K2).
    Annotation(&'a Arc<str>),
    Field(&'a Arc<str>),
    Nothing,
}

/// Whether an Ingress is to be served, by its legacy annotation and its field (K1, K2, K5).
/// `controller`: that of an IngressClass, if there is one of that name.
pub fn is_ours<'c>(
    annotation: Option<&Arc<str>>,
    field: Option<&Arc<str>>,
    settings: &Settings,
    controller: impl Fn(&str) -> Option<&'c Arc<str>>,
) -> bool {
    let is_class_ours = |name: &Arc<str>| controller(name) == Some(&settings.controller);
    match Named::new(annotation, field) {
        Named::Annotation(name) => settings.class_names.contains(name) || is_class_ours(name),
        Named::Field(name) => is_class_ours(name),
        Named::Nothing => settings.serve_classless,
    }
}

// === impl Classes ===

impl Classes {
    pub(super) fn is_ours(&self, ingress: &Ingress, settings: &Settings) -> bool {
        let (annotation, field) = (&ingress.class_annotation, &ingress.class_name);
        is_ours(annotation.as_ref(), field.as_ref(), settings, |name| {
            Some(&self.known.get(name)?.controller)
        })
    }

    /// Why an Ingress is not ours; `None` when it is.
    pub(super) fn why_not(
        &self,
        ingress: &Ingress,
        settings: &Settings,
    ) -> Option<(RuleId, String)> {
        if self.is_ours(ingress, settings) {
            return None;
        }
        let (rule, name) = match Named::of(ingress) {
            Named::Annotation(name) => (RuleId::K2, name),
            Named::Field(name) => (RuleId::K1, name),
            Named::Nothing => {
                let why = "it names no class, and classes.serve_classless is off";
                return Some((RuleId::K5, why.to_owned()));
            }
        };
        Some(match self.known.get(name) {
            Some(class) => {
                let why = format!("its class {name:?} belongs to {}", class.controller);
                (rule, why)
            }
            None if rule == RuleId::K2 => {
                let why = format!(
                    "its annotation names the class {name:?}, which is neither in classes.names \
                     nor an IngressClass of ours"
                );
                (rule, why)
            }
            None => (RuleId::K3, format!("its class {name:?} does not exist")),
        })
    }

    pub(super) fn add_user(&mut self, ingress: &Ingress) {
        if let Some(name) = Named::of(ingress).name() {
            let users = self.users.entry(name.clone()).or_default();
            users.insert(ingress.object.clone());
        }
    }

    pub(super) fn remove_user(&mut self, ingress: &Ingress) {
        let Some(name) = Named::of(ingress).name() else { return };
        if let Some(users) = self.users.get_mut(name) {
            users.remove(&ingress.object);
            if users.is_empty() {
                self.users.remove(name);
            }
        }
    }

    /// Returns the Ingresses whose class may have become ours or ceased to be.
    pub(super) fn upsert(&mut self, class: IngressClass) -> Vec<ObjectRef> {
        self.vanished.remove(&class.name);
        let name = class.name.clone();
        let old = self.known.insert(name.clone(), class);
        if old.is_some_and(|old| old.controller == self.known[&name].controller) {
            return Vec::new();
        }
        self.users_of(&name)
    }

    pub(super) fn remove(&mut self, name: &Arc<str>) {
        if self.known.contains_key(name) {
            self.vanished.insert(name.clone());
        }
    }

    /// Forgets the classes that a full list did not bring back, and returns their users.
    pub(super) fn forget_vanished(&mut self) -> Vec<ObjectRef> {
        let vanished = std::mem::take(&mut self.vanished);
        for name in &vanished {
            self.known.remove(name);
        }
        vanished.iter().flat_map(|name| self.users_of(name)).collect()
    }

    fn users_of(&self, name: &str) -> Vec<ObjectRef> {
        self.users.get(name).into_iter().flatten().cloned().collect()
    }
}

// === impl Named ===

impl<'a> Named<'a> {
    fn of(ingress: &'a Ingress) -> Self {
        Self::new(ingress.class_annotation.as_ref(), ingress.class_name.as_ref())
    }

    fn new(annotation: Option<&'a Arc<str>>, field: Option<&'a Arc<str>>) -> Self {
        match (annotation, field) {
            (Some(name), _) => Self::Annotation(name),
            (None, Some(name)) => Self::Field(name),
            (None, None) => Self::Nothing,
        }
    }

    fn name(self) -> Option<&'a Arc<str>> {
        match self {
            Self::Annotation(name) | Self::Field(name) => Some(name),
            Self::Nothing => None,
        }
    }
}
