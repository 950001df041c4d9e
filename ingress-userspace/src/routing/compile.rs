//! From model changes to the next [`Snapshot`], at the cost of what the change touches.
//!
//! In: a [`Change`] and the time. Out: [`Compiled`]. The [`Compiler`] keeps the objects and who
//! depends on whom (host and Ingresses, Service and clusters, Secret and hosts, class and
//! Ingresses), marks what a change touches, and compiles only that anew. The same objects give the
//! same snapshot in whatever order they came; only cluster numbers depend on history.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::model::{Change, HostPattern, Ingress, Kind, Object, ObjectRef, Origin, Problem};

use super::cluster::ClusterId;
use super::settings::Settings;
use super::snapshot::Snapshot;

mod aliases;
mod backends;
mod classes;
mod clusters;
mod config_maps;
mod endpoints;
mod explain;
mod filters;
mod finish;
mod host;
mod ledger;
mod passwords;
mod reconfigure;
mod record;
mod secrets;
mod tls;

#[cfg(test)]
mod tests;

use aliases::Aliases;
use classes::Classes;
pub use classes::is_ours;
use clusters::{ClusterKey, Clusters};
use config_maps::ConfigMaps;
use ledger::Ledger;
use record::{Order, Record};
use secrets::{SecretKey, Secrets};

/// All objects of one agent and the snapshot that they make.
#[derive(Debug)]
pub struct Compiler {
    settings: Settings,
    now: i64,
    ingresses: HashMap<ObjectRef, Known>,
    hosts: HashMap<HostPattern, HostState>,
    /// Served Ingresses with a default backend and no rules (C6).
    catch_alls: BTreeMap<Order, Arc<Record>>,
    classes: Classes,
    clusters: Clusters,
    secrets: Secrets,
    config_maps: ConfigMaps,
    aliases: Aliases,
    ledger: Ledger,
    /// Where objects stand that do not come from the cluster.
    origins: HashMap<ObjectRef, Origin>,
    dirty: Dirty,
    /// Since the last [`Compiled`].
    claims: BTreeMap<ObjectRef, bool>,
    snapshot: Snapshot,
}

/// What one change made.
#[derive(Debug, Clone)]
pub struct Compiled {
    pub snapshot: Snapshot,
    /// Problems that were not there before. [`Compiler::problems`] lists all.
    pub problems: Vec<Problem>,
    /// Problems that are gone.
    pub resolved: Vec<Problem>,
    /// The hosts that were compiled anew.
    pub touched: Vec<HostPattern>,
    /// Ingresses that came or whose class did: whether they are ours now (K1-K3, K5, K6).
    pub claims: BTreeMap<ObjectRef, bool>,
}

#[derive(Debug)]
struct Known {
    record: Arc<Record>,
    served: bool,
}

/// One host pattern that some served Ingress names.
#[derive(Debug, Default)]
struct HostState {
    /// In C1 order.
    members: BTreeSet<Order>,
    /// Secrets that the last compilation looked at.
    secrets: Vec<SecretKey>,
    /// Clusters of canaries beside those of their own Ingresses, and for whom they are held.
    canaries: Vec<(ClusterKey, ObjectRef)>,
}

/// What has to be compiled anew.
#[derive(Debug, Default)]
struct Dirty {
    hosts: BTreeSet<HostPattern>,
    aliases: BTreeSet<HostPattern>,
    clusters: BTreeSet<ClusterId>,
    /// Clusters that lost a user.
    released: BTreeSet<ClusterId>,
    /// Ingresses whose backends are to be judged.
    backends: BTreeSet<ObjectRef>,
    /// Slices and Endpoints whose addresses are to be judged.
    endpoints: BTreeSet<ObjectRef>,
    catch_all: bool,
    default_certificate: bool,
}

// === impl Compiler ===

impl Compiler {
    /// The first snapshot holds the default certificate and no route.
    pub fn new(settings: Settings) -> Self {
        let mut compiler = Self {
            settings,
            now: 0,
            ingresses: HashMap::new(),
            hosts: HashMap::new(),
            catch_alls: BTreeMap::new(),
            classes: Classes::default(),
            clusters: Clusters::default(),
            secrets: Secrets::default(),
            config_maps: ConfigMaps::default(),
            aliases: Aliases::default(),
            ledger: Ledger::default(),
            origins: HashMap::new(),
            dirty: Dirty::default(),
            claims: BTreeMap::new(),
            snapshot: Snapshot::default(),
        };
        compiler.compile_default_certificate();
        compiler
    }

    /// Applies `change` as a whole: no snapshot shows a part of it. `now` is in seconds since the
    /// epoch and never goes back.
    ///
    /// A removed IngressClass stays in force until [`Self::full_list`]. A Secret that became
    /// unreadable must come neither as an upsert nor as a removal; its last good certificate
    /// stays (T9).
    pub fn apply(&mut self, change: Change, now: i64) -> Compiled {
        self.pass_time(now);
        let Change { upserts, mut removals, origins } = change;
        for object in &removals {
            self.remove(object);
        }
        for object in upserts {
            self.upsert(object);
        }
        removals.retain(|object| !origins.contains_key(object));
        self.origins.extend(origins);
        let compiled = self.finish();
        // Not before: what a removal resolves is told with its place.
        for object in &removals {
            self.origins.remove(object);
        }
        compiled
    }

    /// The source has listed all that exists: classes that are still missing are gone (K8).
    pub fn full_list(&mut self, now: i64) -> Compiled {
        self.pass_time(now);
        for ingress in self.classes.forget_vanished() {
            self.judge_class(&ingress);
        }
        self.finish()
    }

    /// To be called at [`Self::next_deadline`]: certificates of deleted Secrets go, those that
    /// expire are reported.
    pub fn advance(&mut self, now: i64) -> Compiled {
        self.pass_time(now);
        self.finish()
    }

    /// When time alone changes something, in seconds since the epoch.
    pub fn next_deadline(&self) -> Option<i64> {
        self.secrets.next_moment()
    }

    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// All current problems, sorted.
    pub fn problems(&self) -> Vec<Problem> {
        self.located(self.ledger.all())
    }

    fn upsert(&mut self, object: Object) {
        match object {
            Object::Ingress(ingress) => self.upsert_ingress(ingress),
            Object::IngressClass(class) => {
                for ingress in self.classes.upsert(class) {
                    self.judge_class(&ingress);
                }
            }
            Object::Service(service) => {
                self.dirty.clusters.extend(self.clusters.upsert_service(service));
            }
            Object::Endpoints(set) => {
                self.dirty.endpoints.insert(set.object.clone());
                self.dirty.clusters.extend(self.clusters.upsert_endpoints(set));
            }
            Object::Secret(secret) => {
                let key = (secret.object.namespace.clone(), secret.object.name.clone());
                if self.secrets.upsert(secret, self.now, self.settings.deleted_secret_grace) {
                    self.touch_secret(&key);
                }
            }
            Object::ConfigMap(map) => {
                for ingress in self.config_maps.upsert(map) {
                    self.refresh(&ingress);
                }
            }
        }
    }

    fn remove(&mut self, object: &ObjectRef) {
        match object.kind {
            Kind::Ingress => self.remove_ingress(object),
            Kind::IngressClass => self.classes.remove(&object.name),
            Kind::Service => self.dirty.clusters.extend(self.clusters.remove_service(object)),
            Kind::EndpointSlice | Kind::Endpoints => {
                self.dirty.endpoints.insert(object.clone());
                self.dirty.clusters.extend(self.clusters.remove_endpoints(object));
            }
            Kind::Secret => {
                self.secrets.remove(object, self.now, self.settings.deleted_secret_grace);
                self.touch_secret(&(object.namespace.clone(), object.name.clone()));
            }
            Kind::ConfigMap => {
                for ingress in self.config_maps.remove(object) {
                    self.refresh(&ingress);
                }
            }
        }
    }

    /// What an Ingress refers to is another thing now, or judged in another way.
    fn refresh(&mut self, object: &ObjectRef) {
        if let Some(known) = self.ingresses.get(object) {
            let ingress = known.record.ingress.clone();
            self.upsert_ingress(ingress);
        }
    }

    fn upsert_ingress(&mut self, ingress: Ingress) {
        let object = ingress.object.clone();
        self.classes.add_user(&ingress);
        let served = self.classes.is_ours(&ingress, &self.settings);
        self.config_maps.add_user(&ingress);
        let made = filters::of(&ingress, &self.config_maps, &self.settings);
        let record = Arc::new(Record::new(ingress, made));
        self.claims.insert(object.clone(), served);
        let old = self.ingresses.insert(object, Known { record: record.clone(), served });
        let old_served = old.as_ref().filter(|old| old.served).map(|old| &*old.record);
        if served {
            self.attach(&record, old_served);
        }
        if let Some(old) = old_served {
            self.detach(old, served.then_some(&*record));
        }
        if let Some(Known { record: old, .. }) = &old {
            if config_maps::named(&old.ingress) != config_maps::named(&record.ingress) {
                self.config_maps.remove_user(&old.ingress);
            }
            let class = |record: &Record| {
                (record.ingress.class_annotation.clone(), record.ingress.class_name.clone())
            };
            if class(old) != class(&record) {
                self.classes.remove_user(&old.ingress);
                // It may have removed the new entry where both name one class in two ways.
                self.classes.add_user(&record.ingress);
            }
        }
    }

    fn remove_ingress(&mut self, object: &ObjectRef) {
        let Some(old) = self.ingresses.remove(object) else { return };
        self.claims.insert(object.clone(), false);
        self.classes.remove_user(&old.record.ingress);
        self.config_maps.remove_user(&old.record.ingress);
        if old.served {
            self.detach(&old.record, None);
        }
    }

    /// K3, K6: a class came or went.
    fn judge_class(&mut self, object: &ObjectRef) {
        let Some(known) = self.ingresses.get_mut(object) else { return };
        let served = self.classes.is_ours(&known.record.ingress, &self.settings);
        if mem::replace(&mut known.served, served) == served {
            return;
        }
        let record = known.record.clone();
        self.claims.insert(object.clone(), served);
        if served {
            self.attach(&record, None);
        } else {
            self.detach(&record, None);
        }
    }

    /// Enters `record` everywhere; `old` is the version that is still entered.
    fn attach(&mut self, record: &Arc<Record>, old: Option<&Record>) {
        let object = &record.order.object;
        for (_, backend) in record.backends() {
            if let Some(key) = host::cluster_key(record, backend) {
                let id = self.clusters.acquire(key, object);
                if self.snapshot.cluster(id).is_none() {
                    self.dirty.clusters.insert(id);
                }
            }
        }
        self.dirty.backends.insert(object.clone());
        for (alias, host) in record.aliases() {
            self.aliases.claim(&record.order, alias.clone(), host.clone());
            self.dirty.aliases.insert(alias.clone());
        }
        let kept = old.filter(|old| record.is_same_but_for_rules(old));
        for host in record.hosts() {
            if kept.is_some_and(|old| record.is_same_for(old, host)) {
                continue;
            }
            let state = self.hosts.entry(host.clone()).or_default();
            state.members.insert(record.order.clone());
            self.dirty.hosts.insert(host.clone());
        }
        if record.is_catch_all() {
            self.catch_alls.insert(record.order.clone(), record.clone());
            self.dirty.catch_all = true;
        }
    }

    /// Takes `record` out everywhere but where `new`, already attached, stands.
    fn detach(&mut self, record: &Record, new: Option<&Record>) {
        let object = &record.order.object;
        for (_, backend) in record.backends() {
            let key = host::cluster_key(record, backend);
            let released = key.and_then(|key| self.clusters.release(&key, object));
            self.dirty.released.extend(released);
        }
        self.dirty.backends.insert(object.clone());
        let stays = new.filter(|new| new.order == record.order);
        for (alias, host) in record.aliases() {
            if !stays.is_some_and(|new| new.aliases().any(|claim| claim == (alias, host))) {
                self.aliases.withdraw(&record.order, alias, host);
                self.dirty.aliases.insert(alias.clone());
            }
        }
        let new_hosts = stays.map(Record::hosts).unwrap_or_default();
        let kept = stays.filter(|new| new.is_same_but_for_rules(record));
        for host in record.hosts() {
            if kept.is_some_and(|new| new_hosts.contains(host) && new.is_same_for(record, host)) {
                continue;
            }
            self.dirty.hosts.insert(host.clone());
            if !new_hosts.contains(host)
                && let Some(state) = self.hosts.get_mut(host)
            {
                state.members.remove(&record.order);
            }
        }
        if record.is_catch_all() {
            if !stays.is_some_and(Record::is_catch_all) {
                self.catch_alls.remove(&record.order);
            }
            self.dirty.catch_all = true;
        }
    }

    fn pass_time(&mut self, now: i64) {
        self.now = self.now.max(now);
        for key in self.secrets.advance(self.now) {
            self.touch_secret(&key);
        }
    }

    fn touch_secret(&mut self, key: &SecretKey) {
        self.dirty.hosts.extend(self.secrets.watchers(key).cloned());
        self.dirty.default_certificate |= self.settings.default_certificate.as_ref() == Some(key);
        // Only the first is served (C6).
        let catch_all = self.catch_alls.values().next();
        let asks = catch_all.and_then(|record| passwords::secret_of(record));
        self.dirty.catch_all |= asks.as_ref() == Some(key);
        match self.secrets.find(key) {
            Some(known) => self.snapshot.secrets.insert(key.clone(), Arc::new(known.facts())),
            None => self.snapshot.secrets.remove(key),
        }
    }
}
