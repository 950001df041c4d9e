//! From two snapshots to the messages that lead from one to the other.

use std::sync::Arc;

use super::message::{Message, RouteParts, Shown};
use super::shared::{Ledger, Value};
use crate::model::{HostPattern, ServerCertificate};
use crate::routing::cluster::{Cluster, ClusterId};
use crate::routing::filters::Filters;
use crate::routing::route::Route;
use crate::routing::snapshot::{HostCertificate, HostRoutes, Snapshot};
use crate::routing::trie::Difference;

/// The side that tells. One for each replica; a new replica needs a new one.
#[derive(Debug, Default)]
pub struct Original {
    /// What the replica has been told.
    told: Snapshot,
    shared: Ledger,
}

/// What becomes of the messages.
type Sink<'a> = dyn FnMut(Message) + 'a;

// === impl Original ===

impl Original {
    /// The version that the replica has when it has followed all messages so far.
    pub fn version(&self) -> u64 {
        self.told.version
    }

    /// Tells what makes `next` out of the snapshot before. Versions start at 1.
    pub fn tell(&mut self, next: &Snapshot, send: &mut Sink<'_>) {
        let told = std::mem::replace(&mut self.told, next.clone());
        let next = &self.told;
        let mut telling = Telling { shared: &mut self.shared, gone: Vec::new(), send };
        (telling.send)(Message::Begin { base: told.version, version: next.version });
        telling.clusters(&told, next);
        telling.hosts(&told, next);
        telling.aliases(&told, next);
        if !is_same_route(told.fallback.as_ref(), next.fallback.as_ref()) {
            let fallback = next.fallback.as_ref().map(|route| telling.parts(route));
            (telling.send)(Message::Fallback(fallback));
            telling.gone.extend(told.fallback.iter().filter_map(filters_of));
        }
        telling.certificates(&told, next);
        // Last, so that a value which moves from one route to another is not told again.
        for value in std::mem::take(&mut telling.gone) {
            telling.shared.release(&value, telling.send);
        }
        (telling.send)(Message::Commit { version: next.version });
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> usize {
        self.shared.len()
    }
}

/// One difference on its way.
struct Telling<'a, 'b> {
    shared: &'a mut Ledger,
    /// One for each use that the snapshot before had.
    gone: Vec<Value>,
    send: &'a mut Sink<'b>,
}

// === impl Telling ===

impl Telling<'_, '_> {
    fn clusters(&mut self, told: &Snapshot, next: &Snapshot) {
        next.clusters.since(
            &told.clusters,
            |(_, new), (_, old)| Arc::ptr_eq(new, old),
            &mut |difference| match difference {
                Difference::Set(&id, cluster) => {
                    (self.send)(cluster_message(id, cluster, told.cluster(id)));
                }
                Difference::Gone(&id, _) => (self.send)(Message::RemoveCluster { id }),
            },
        );
    }

    fn hosts(&mut self, told: &Snapshot, next: &Snapshot) {
        next.hosts.since(&told.hosts, HostRoutes::is_same, &mut |host, new, old| {
            self.host(host, new, old);
        });
        let (new, old) = (next.any.as_deref(), told.any.as_deref());
        let is_same = match (new, old) {
            (Some(new), Some(old)) => new.is_same(old),
            (new, old) => new.is_none() && old.is_none(),
        };
        if !is_same {
            self.host(HostPattern::Any, new, old);
        }
    }

    fn host(&mut self, host: HostPattern, new: Option<&HostRoutes>, old: Option<&HostRoutes>) {
        match new {
            Some(new) => {
                for rule in &new.source.rules {
                    let route = self.parts(&rule.route);
                    (self.send)(Message::Rule { text: rule.text.clone(), way: rule.way, route });
                }
                let default = new.default.as_ref().map(|route| self.parts(route));
                (self.send)(Message::Host { host, default });
            }
            None => (self.send)(Message::RemoveHost { host }),
        }
        let old = old.into_iter().flat_map(HostRoutes::routes);
        self.gone.extend(old.filter_map(filters_of));
    }

    /// After the hosts, whose routes they have.
    fn aliases(&mut self, told: &Snapshot, next: &Snapshot) {
        next.aliases.since(&told.aliases, HostRoutes::is_same, &mut |alias, new, _| {
            (self.send)(match new {
                Some(routes) => Message::Alias { alias, host: routes.source.host.clone() },
                None => Message::RemoveAlias { alias },
            });
        });
    }

    fn certificates(&mut self, told: &Snapshot, next: &Snapshot) {
        next.certificates.since(&told.certificates, is_same_shown, &mut |host, new, old| {
            let message = match new {
                Some(HostCertificate::Own(own)) => {
                    let number = self.certificate(own);
                    Message::Certificate { host, shown: Shown::Own(number) }
                }
                Some(HostCertificate::Default) => {
                    Message::Certificate { host, shown: Shown::Default }
                }
                None => Message::RemoveCertificate { host },
            };
            (self.send)(message);
            if let Some(HostCertificate::Own(own)) = old {
                self.gone.push(Value::Certificate(own.clone()));
            }
        });
        let unknown = (&told.unknown_certificate, &next.unknown_certificate);
        self.single(unknown, Message::UnknownCertificate);
        let default = (&told.default_certificate, &next.default_certificate);
        self.single(default, Message::DefaultCertificate);
    }

    fn single(
        &mut self,
        (old, new): (&Option<Arc<ServerCertificate>>, &Option<Arc<ServerCertificate>>),
        message: fn(Option<u64>) -> Message,
    ) {
        if old.as_ref().map(Arc::as_ptr) == new.as_ref().map(Arc::as_ptr) {
            return;
        }
        let number = new.as_ref().map(|new| self.certificate(new));
        (self.send)(message(number));
        self.gone.extend(old.iter().cloned().map(Value::Certificate));
    }

    fn certificate(&mut self, certificate: &Arc<ServerCertificate>) -> u64 {
        self.shared.acquire(&Value::Certificate(certificate.clone()), self.send)
    }

    fn parts(&mut self, route: &Arc<Route>) -> RouteParts {
        let filters = filters_of(route).map(|filters| self.shared.acquire(&filters, self.send));
        // Named one by one: a new field of a route has to be told too.
        let Route {
            id,
            namespace,
            ingress,
            path,
            kind,
            action,
            rewrite,
            https_redirect,
            hsts,
            filters: _,
            tally: _,
        } = &**route;
        RouteParts {
            id: id.clone(),
            namespace: namespace.clone(),
            ingress: ingress.clone(),
            path: path.clone(),
            kind: *kind,
            action: action.clone(),
            rewrite: rewrite.clone(),
            https_redirect: *https_redirect,
            hsts: hsts.clone(),
            filters,
        }
    }
}

fn cluster_message(id: ClusterId, cluster: &Arc<Cluster>, old: Option<&Arc<Cluster>>) -> Message {
    let (endpoints, state) = (cluster.endpoints.clone(), cluster.state);
    let is_moved = old.is_some_and(|old| {
        Cluster { endpoints: endpoints.clone(), state, ..Cluster::clone(old) } == **cluster
    });
    if is_moved {
        Message::Endpoints { id, endpoints, state }
    } else {
        Message::Cluster { id, cluster: cluster.clone() }
    }
}

fn filters_of(route: &Arc<Route>) -> Option<Value> {
    route.filters.clone().map(|filters: Arc<Filters>| Value::Filters(filters))
}

fn is_same_route(a: Option<&Arc<Route>>, b: Option<&Arc<Route>>) -> bool {
    a.map(Arc::as_ptr) == b.map(Arc::as_ptr)
}

fn is_same_shown(a: &HostCertificate, b: &HostCertificate) -> bool {
    match (a, b) {
        (HostCertificate::Own(a), HostCertificate::Own(b)) => Arc::ptr_eq(a, b),
        (HostCertificate::Default, HostCertificate::Default) => true,
        (HostCertificate::Own(_) | HostCertificate::Default, _) => false,
    }
}
