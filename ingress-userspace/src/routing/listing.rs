//! The whole content of a snapshot, for people and scrapes. Never on the request path.
//!
//! Everything comes in no particular order, and differs in it between runs.

use std::sync::Arc;

use super::cluster::Cluster;
use super::route::Route;
use super::snapshot::{HostRoutes, Snapshot};

/// Whose routes they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListedHost<'a> {
    Exact(&'a str),
    /// What follows `*.`.
    Wildcard(&'a str),
    /// Rules without host.
    Any,
    /// The catch-all of the listener (C6).
    Listener,
}

/// What can be told about the certificate of a Secret; its key cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    pub namespace: Arc<str>,
    pub secret: Arc<str>,
    pub names: Vec<Arc<str>>,
    /// Seconds since the epoch.
    pub not_before: i64,
    pub not_after: i64,
    /// SHA-256 of the leaf, lower-case hex.
    pub fingerprint: Arc<str>,
}

// === impl Snapshot ===

impl Snapshot {
    pub fn each_route<'a>(&'a self, mut visit: impl FnMut(ListedHost<'a>, &'a Arc<Route>)) {
        let mut list = |host, routes: &'a HostRoutes| {
            routes.routes().for_each(|route| visit(host, route));
        };
        self.hosts.each_precise(|name, routes| list(ListedHost::Exact(name), routes));
        self.hosts.each_wildcard(|parent, routes| list(ListedHost::Wildcard(parent), routes));
        if let Some(routes) = &self.any {
            list(ListedHost::Any, routes);
        }
        if let Some(route) = &self.fallback {
            visit(ListedHost::Listener, route);
        }
    }

    pub fn each_cluster<'a>(&'a self, mut visit: impl FnMut(&'a Arc<Cluster>)) {
        self.clusters.each(&mut |_, cluster| visit(cluster));
    }

    pub fn each_certificate<'a>(&'a self, mut visit: impl FnMut(&'a CertificateFacts)) {
        self.secrets.each(&mut |_, facts| visit(facts));
    }
}

// === impl ListedHost ===

impl ListedHost<'_> {
    /// As an Ingress names it, `*` for rules without host.
    pub fn text(self) -> Option<String> {
        match self {
            Self::Exact(name) => Some(name.to_owned()),
            Self::Wildcard(parent) => Some(format!("*.{parent}")),
            Self::Any => Some("*".to_owned()),
            Self::Listener => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::routing::fixture::{ingress, ready_service, upserts};
    use crate::routing::{Compiler, Settings};

    #[test]
    fn every_route_and_cluster_is_listed_once() {
        let mut compiler = Compiler::new(Settings::default());
        let shop = ingress("shop")
            .exact("a.example", "/one", "s:80")
            .prefix("a.example", "/two", "s:80")
            .prefix("*.b.example", "/", "t:80");
        let objects = ready_service("s", "10.0.0.1").into_iter().chain([shop.object()]);
        let snapshot = compiler.apply(upserts(objects), 0).snapshot;

        let mut routes = Vec::new();
        snapshot.each_route(|host, route| {
            routes.push((host.text().unwrap(), route.path.to_string()));
        });
        routes.sort();
        let listed = |host: &str, path: &str| (host.to_owned(), path.to_owned());
        assert_eq!(
            routes,
            [listed("*.b.example", "/"), listed("a.example", "/one"), listed("a.example", "/two")]
        );
        let mut clusters = BTreeSet::new();
        snapshot.each_cluster(|cluster| assert!(clusters.insert(cluster.name.clone())));
        assert_eq!(clusters, ["default/s:80", "default/t:80"].map(Arc::from).into());
    }
}
