//! The clusters that routes refer to, and the Services and endpoints they are made of.
//!
//! A cluster exists while some Ingress names it. Its number is never used again, so that a worker
//! that still serves an older snapshot cannot take one Service for another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;

use crate::model::options::BackendProtocol;
use crate::model::{EndpointSet, ObjectRef, PortRef, Service};
use crate::routing::cluster::ClusterId;

/// Namespace and name.
pub(super) type ServiceKey = (Arc<str>, Arc<str>);

/// What tells two clusters apart. The protocol is part of it, because two Ingresses may ask for
/// one port in two ways (E7).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ClusterKey {
    pub(super) service: ServiceKey,
    pub(super) port: PortRef,
    pub(super) protocol: Option<BackendProtocol>,
}

#[derive(Debug, Default)]
pub(super) struct Clusters {
    ids: HashMap<ClusterKey, ClusterId>,
    entries: HashMap<ClusterId, Entry>,
    services: HashMap<ServiceKey, ServiceState>,
    /// The Service that each slice or Endpoints object belongs to.
    owners: HashMap<ObjectRef, ServiceKey>,
    next: u32,
}

#[derive(Debug)]
struct Entry {
    key: ClusterKey,
    /// Backends of each Ingress that name the cluster.
    users: BTreeMap<ObjectRef, usize>,
}

#[derive(Debug, Default)]
pub(super) struct ServiceState {
    pub(super) service: Option<Service>,
    /// EndpointSlices and Endpoints.
    pub(super) sets: BTreeMap<ObjectRef, EndpointSet>,
    clusters: BTreeSet<ClusterId>,
}

// === impl Clusters ===

impl Clusters {
    pub(super) fn id(&self, key: &ClusterKey) -> Option<ClusterId> {
        self.ids.get(key).copied()
    }

    pub(super) fn key(&self, id: ClusterId) -> Option<&ClusterKey> {
        Some(&self.entries.get(&id)?.key)
    }

    pub(super) fn state(&self, key: &ServiceKey) -> Option<&ServiceState> {
        self.services.get(key)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ClusterId> {
        self.entries.keys().copied()
    }

    pub(super) fn endpoint_set(&self, object: &ObjectRef) -> Option<&EndpointSet> {
        self.services.get(self.owners.get(object)?)?.sets.get(object)
    }

    /// Every slice and Endpoints object.
    pub(super) fn endpoint_sets(&self) -> impl Iterator<Item = &ObjectRef> {
        self.owners.keys()
    }

    pub(super) fn users(&self, id: ClusterId) -> impl Iterator<Item = &ObjectRef> {
        self.entries.get(&id).into_iter().flat_map(|entry| entry.users.keys())
    }

    pub(super) fn acquire(&mut self, key: ClusterKey, user: &ObjectRef) -> ClusterId {
        let id = match self.ids.get(&key) {
            Some(&id) => id,
            None => self.add(key),
        };
        if let Some(entry) = self.entries.get_mut(&id) {
            *entry.users.entry(user.clone()).or_default() += 1;
        }
        id
    }

    fn add(&mut self, key: ClusterKey) -> ClusterId {
        while self.entries.contains_key(&ClusterId(self.next)) {
            self.next = self.next.wrapping_add(1);
        }
        let id = ClusterId(self.next);
        self.next = self.next.wrapping_add(1);
        self.services.entry(key.service.clone()).or_default().clusters.insert(id);
        self.ids.insert(key.clone(), id);
        self.entries.insert(id, Entry { key, users: BTreeMap::new() });
        id
    }

    /// One backend less. The cluster stays until [`Self::drop_if_unused`].
    pub(super) fn release(&mut self, key: &ClusterKey, user: &ObjectRef) -> Option<ClusterId> {
        let id = self.id(key)?;
        let users = &mut self.entries.get_mut(&id)?.users;
        let count = users.get_mut(user)?;
        *count -= 1;
        if *count == 0 {
            users.remove(user);
        }
        Some(id)
    }

    /// Whether the cluster is gone.
    pub(super) fn drop_if_unused(&mut self, id: ClusterId) -> bool {
        let Some(entry) = self.entries.get(&id) else { return true };
        if !entry.users.is_empty() {
            return false;
        }
        let key = entry.key.clone();
        self.entries.remove(&id);
        self.ids.remove(&key);
        self.edit(&key.service, |state| {
            state.clusters.remove(&id);
        });
        true
    }

    /// The functions below return the clusters that may have changed.
    pub(super) fn upsert_service(&mut self, service: Service) -> Vec<ClusterId> {
        let key = (service.object.namespace.clone(), service.object.name.clone());
        self.edit(&key, |state| state.service = Some(service))
    }

    pub(super) fn remove_service(&mut self, object: &ObjectRef) -> Vec<ClusterId> {
        let key = (object.namespace.clone(), object.name.clone());
        self.edit(&key, |state| state.service = None)
    }

    pub(super) fn upsert_endpoints(&mut self, set: EndpointSet) -> Vec<ClusterId> {
        let key = (set.object.namespace.clone(), set.service.clone());
        let mut changed = match self.owners.get(&set.object) {
            Some(owner) if *owner != key => self.remove_endpoints(&set.object.clone()),
            Some(_) | None => Vec::new(),
        };
        self.owners.insert(set.object.clone(), key.clone());
        changed.extend(self.edit(&key, |state| {
            state.sets.insert(set.object.clone(), set);
        }));
        changed
    }

    pub(super) fn remove_endpoints(&mut self, object: &ObjectRef) -> Vec<ClusterId> {
        let Some(key) = self.owners.remove(object) else { return Vec::new() };
        self.edit(&key, |state| {
            state.sets.remove(object);
        })
    }

    fn edit(&mut self, key: &ServiceKey, edit: impl FnOnce(&mut ServiceState)) -> Vec<ClusterId> {
        let state = self.services.entry(key.clone()).or_default();
        edit(state);
        let clusters = state.clusters.iter().copied().collect();
        if state.service.is_none() && state.sets.is_empty() && state.clusters.is_empty() {
            self.services.remove(key);
        }
        clusters
    }
}
