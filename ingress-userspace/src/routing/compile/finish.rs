//! What a change has marked, compiled anew: the last step of each call of the [`Compiler`].

use std::mem;
use std::sync::Arc;

use crate::model::{HostPattern, Kind, ObjectRef, Origin, Problem, Reason, RuleId};
use crate::routing::cluster::ClusterId;
use crate::routing::snapshot::HostCertificate;
use crate::routing::tallies::Tallies;

use super::host::{self, CompiledHost, Context};
use super::ledger::Source;
use super::record::Record;
use super::secrets::SecretKey;
use super::{Compiled, Compiler, backends, endpoints, passwords, tls};

// === impl Compiler ===

impl Compiler {
    /// Compiles what is dirty, clusters first, because problems tell their state.
    pub(super) fn finish(&mut self) -> Compiled {
        let mut dirty = mem::take(&mut self.dirty);
        for id in dirty.released {
            if self.clusters.drop_if_unused(id) {
                self.snapshot.clusters.remove(&id);
                dirty.clusters.remove(&id);
            }
        }
        for id in dirty.clusters {
            if self.compile_cluster(id) {
                dirty.backends.extend(self.clusters.users(id).cloned());
            }
        }
        for host in &dirty.hosts {
            self.compile_host(host);
            dirty.aliases.extend(self.aliases.touched(host).cloned());
        }
        for alias in &dirty.aliases {
            self.compile_alias(alias);
        }
        if dirty.catch_all {
            self.compile_catch_all();
        }
        if dirty.default_certificate {
            self.compile_default_certificate();
        }
        for object in dirty.backends {
            let known = self.ingresses.get(&object).filter(|known| known.served);
            let problems = known.map(|known| {
                let unread = known.record.fault().into_iter().chain(known.record.unread());
                let backends = backends::problems(&known.record, &self.clusters, &self.snapshot);
                unread.chain(backends).collect()
            });
            self.ledger.set(Source::Ingress(object), problems.unwrap_or_default());
        }
        for object in dirty.endpoints {
            let set = self.clusters.endpoint_set(&object);
            let problems = set.map(|set| endpoints::refused(set, &self.settings.endpoints));
            self.ledger.set(Source::Endpoints(object), problems.unwrap_or_default());
        }
        self.snapshot.version += 1;
        let (problems, resolved) = self.ledger.take_changes();
        let (problems, resolved) = (self.located(problems), self.located(resolved));
        let touched = dirty.hosts.into_iter().collect();
        let claims = mem::take(&mut self.claims);
        Compiled { snapshot: self.snapshot.clone(), problems, resolved, touched, claims }
    }

    /// Whether its state changed.
    fn compile_cluster(&mut self, id: ClusterId) -> bool {
        let Some(key) = self.clusters.key(id) else { return false };
        let state = self.clusters.state(&key.service);
        let cluster = endpoints::cluster(key, state, &self.settings);
        let old = self.snapshot.cluster(id);
        if old.is_some_and(|old| **old == cluster) {
            return false;
        }
        let changed = old.is_none_or(|old| old.state != cluster.state);
        self.snapshot.clusters.insert(id, Arc::new(cluster));
        changed
    }

    /// Holds the clusters that the canaries of `host` need now.
    fn hold_canaries(&mut self, host: &HostPattern) {
        let wanted = host::canary::clusters(host, &self.members(host));
        let Some(state) = self.hosts.get_mut(host) else { return };
        if wanted == state.canaries {
            return;
        }
        let old = mem::replace(&mut state.canaries, wanted.clone());
        for (key, user) in wanted {
            let id = self.clusters.acquire(key, &user);
            if self.snapshot.cluster(id).is_none() {
                self.compile_cluster(id);
            }
        }
        for (key, user) in old {
            if let Some(id) = self.clusters.release(&key, &user)
                && self.clusters.drop_if_unused(id)
            {
                self.snapshot.clusters.remove(&id);
            }
        }
    }

    /// In the order of C1.
    pub(super) fn members(&self, host: &HostPattern) -> Vec<&Record> {
        let members = self.hosts.get(host).into_iter().flat_map(|state| &state.members);
        let known = members.filter_map(|order| self.ingresses.get(&order.object));
        known.map(|known| &*known.record).collect()
    }

    fn compile_host(&mut self, host: &HostPattern) {
        if !self.hosts.contains_key(host) {
            return;
        }
        self.hold_canaries(host);
        let members = self.members(host);
        let CompiledHost { routes, certificate, secrets, problems } =
            host::compile(host, &members, self.context(&self.tallies(host)));
        self.ledger.set(Source::Host(host.clone()), problems);
        self.watch(host, secrets);

        let snapshot = &mut self.snapshot;
        match host {
            HostPattern::Any => {
                snapshot.any = routes.map(Arc::new);
                snapshot.unknown_certificate = match certificate {
                    Some(HostCertificate::Own(own)) => Some(own),
                    Some(HostCertificate::Default) | None => None,
                };
            }
            HostPattern::Exact(_) | HostPattern::Wildcard(_) => {
                snapshot.hosts.set(host, routes);
                snapshot.certificates.set(host, certificate);
            }
        }
    }

    /// Notes which Secrets `host` depends on now, and forgets a host that nobody names.
    fn watch(&mut self, host: &HostPattern, mut secrets: Vec<SecretKey>) {
        secrets.sort_unstable();
        secrets.dedup();
        let Some(state) = self.hosts.get_mut(host) else { return };
        let old = mem::replace(&mut state.secrets, secrets);
        for key in old.iter().filter(|key| !state.secrets.contains(key)) {
            self.secrets.unwatch(key, host);
        }
        for key in state.secrets.iter().filter(|key| !old.contains(key)) {
            self.secrets.watch(key, host);
        }
        if state.members.is_empty() {
            self.hosts.remove(host);
        }
    }

    /// C6.
    fn compile_catch_all(&mut self) {
        let winner = self.catch_alls.values().next();
        let mut ignored = Vec::new();
        if let Some(winner) = winner {
            for record in self.catch_alls.values().skip(1) {
                let problem = record.problem(
                    "spec.defaultBackend".to_owned(),
                    Reason::ConflictingHost,
                    format!(
                        "the default of the listener is that of {}, which comes first",
                        winner.order.object
                    ),
                );
                ignored.push(problem.by(RuleId::C6));
            }
            ignored.extend(passwords::problem(winner, "the listener", &self.secrets));
        }
        let fallback = winner.and_then(|record| {
            let tallies = Tallies::of_one(self.snapshot.fallback.as_ref());
            host::catch_all(record, self.context(&tallies))
        });
        self.snapshot.fallback = fallback;
        self.ledger.set(Source::Fallback, ignored);
    }

    pub(super) fn compile_default_certificate(&mut self) {
        let named = self.settings.default_certificate.clone();
        let known = named.as_ref().and_then(|key| self.secrets.find(key));
        let problem = named.as_ref().and_then(|key| match known {
            Some(known) => tls::standing(known, key, self.now),
            None => Some((
                Reason::SecretNotFound,
                format!(
                    "Secret {}/{} of the default certificate is missing or holds no usable \
                     certificate; a self-signed one is shown",
                    key.0, key.1
                ),
            )),
        });
        let problem = problem.map(|(reason, message)| Problem {
            object: named.map(|(ns, name)| ObjectRef::new(Kind::Secret, &ns, &name)),
            origin: Origin::Configuration,
            field: "tls.default_certificate".to_owned(),
            reason,
            rule: reason.rule(),
            message,
        });
        self.snapshot.default_certificate = known.map(|known| known.secret.certified.clone());
        self.ledger.set(Source::DefaultCertificate, problem.into_iter().collect());
    }

    fn tallies(&self, host: &HostPattern) -> Tallies<'_> {
        Tallies::of(self.snapshot.routes_of(host))
    }

    pub(super) fn context<'a>(&'a self, tallies: &'a Tallies<'a>) -> Context<'a> {
        Context {
            settings: &self.settings,
            clusters: &self.clusters,
            secrets: &self.secrets,
            now: self.now,
            shut: false,
            tallies,
        }
    }
}
