//! The ConfigMaps that are there, and the Ingresses that name one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;

use crate::model::{ConfigMap, Ingress, ObjectRef};

/// Namespace and name.
pub(super) type ConfigMapKey = (Arc<str>, Arc<str>);

#[derive(Debug, Default)]
pub(super) struct ConfigMaps {
    known: HashMap<ConfigMapKey, ConfigMap>,
    users: BTreeMap<ConfigMapKey, BTreeSet<ObjectRef>>,
}

// === impl ConfigMaps ===

impl ConfigMaps {
    pub(super) fn find(&self, key: &ConfigMapKey) -> Option<&ConfigMap> {
        self.known.get(key)
    }

    /// The Ingresses that are another thing with it.
    pub(super) fn upsert(&mut self, map: ConfigMap) -> Vec<ObjectRef> {
        let key = (map.object.namespace.clone(), map.object.name.clone());
        let is_same = self.known.get(&key) == Some(&map);
        self.known.insert(key.clone(), map);
        if is_same { Vec::new() } else { self.users_of(&key) }
    }

    /// The Ingresses that are another thing without it.
    pub(super) fn remove(&mut self, object: &ObjectRef) -> Vec<ObjectRef> {
        let key = (object.namespace.clone(), object.name.clone());
        self.known.remove(&key);
        self.users_of(&key)
    }

    pub(super) fn add_user(&mut self, ingress: &Ingress) {
        if let Some(key) = named(ingress) {
            self.users.entry(key).or_default().insert(ingress.object.clone());
        }
    }

    pub(super) fn remove_user(&mut self, ingress: &Ingress) {
        let Some(key) = named(ingress) else { return };
        if let Some(users) = self.users.get_mut(&key) {
            users.remove(&ingress.object);
            if users.is_empty() {
                self.users.remove(&key);
            }
        }
    }

    /// Ingresses that name any.
    pub(super) fn all_users(&self) -> BTreeSet<ObjectRef> {
        self.users.values().flatten().cloned().collect()
    }

    fn users_of(&self, key: &ConfigMapKey) -> Vec<ObjectRef> {
        self.users.get(key).into_iter().flatten().cloned().collect()
    }
}

/// The ConfigMap with the response headers of an Ingress.
pub(super) fn named(ingress: &Ingress) -> Option<ConfigMapKey> {
    let custom = ingress.options.headers.custom.as_ref()?;
    let namespace = custom.namespace.as_ref().unwrap_or(&ingress.object.namespace);
    Some((namespace.clone(), custom.name.clone()))
}
