//! The immutable answer to "where does this request go" and "which certificate".

use std::net::IpAddr;
use std::sync::Arc;

use rustls::sign::CertifiedKey;

use super::cluster::{Cluster, ClusterId};
use super::route::Route;
use hashbrown::HashMap;

/// One version of everything that the workers need. Cloning copies a few pointers.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub version: u64,
    pub(super) exact: HashMap<Arc<str>, Arc<HostRoutes>>,
    /// Keyed by what follows `*.`.
    pub(super) wildcard: HashMap<Arc<str>, Arc<HostRoutes>>,
    pub(super) any: Option<Arc<HostRoutes>>,
    /// C6: the catch-all of the listener.
    pub(super) fallback: Option<Arc<Route>>,
    pub(super) clusters: Vec<Option<Arc<Cluster>>>,
    pub(super) certificates: HashMap<Arc<str>, Arc<CertifiedKey>>,
    pub(super) default_certificate: Option<Arc<CertifiedKey>>,
}

/// The routes of one host pattern.
#[derive(Debug, Clone, Default)]
pub struct HostRoutes {
    pub(super) routes: Vec<Arc<Route>>,
    /// Default of the host (C5).
    pub(super) default: Option<Arc<Route>>,
}

/// The host of a request after H6-H8 and H10: lower case, no port, no trailing dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestHost<'a> {
    Name(&'a str),
    Ip(IpAddr),
    /// HTTP/1.0 without Host.
    Absent,
}

/// T4, T5: what to show for a server name.
#[derive(Debug, Clone)]
pub enum CertificateChoice {
    /// Certificate of a host that is named in a `tls` entry.
    Host(Arc<CertifiedKey>),
    /// The default certificate, because the name is unknown or has none of its own.
    Default(Arc<CertifiedKey>),
    /// There is no certificate at all: end the handshake with `unrecognized_name`.
    Nothing,
}

// === impl Snapshot ===

impl Snapshot {
    /// The route that wins for a host and a normalised path (`/...`; `*` of `OPTIONS *` is the
    /// empty path), or `None` when nothing matches and there is no default: 404 (C8).
    pub fn route(&self, host: RequestHost<'_>, path: &str) -> Option<&Arc<Route>> {
        let routes = match host {
            RequestHost::Name(name) => self.exact.get(name).or_else(|| {
                let (_, parent) = name.split_once('.')?;
                self.wildcard.get(parent)
            }),
            RequestHost::Ip(_) | RequestHost::Absent => None,
        };
        match routes.or(self.any.as_ref()) {
            Some(routes) => routes.find(path).or(self.fallback.as_ref()),
            None => self.fallback.as_ref(),
        }
    }

    pub fn cluster(&self, id: ClusterId) -> Option<&Arc<Cluster>> {
        self.clusters.get(id.0 as usize)?.as_ref()
    }

    /// `sni` is lower case without trailing dot; `None` = no usable server name (T4).
    pub fn certificate(&self, sni: Option<&str>) -> CertificateChoice {
        let own = sni.and_then(|name| self.certificates.get(name));
        match (own, &self.default_certificate) {
            (Some(own), _) => CertificateChoice::Host(own.clone()),
            (None, Some(default)) => CertificateChoice::Default(default.clone()),
            (None, None) => CertificateChoice::Nothing,
        }
    }
}

// === impl HostRoutes ===

impl HostRoutes {
    fn find(&self, path: &str) -> Option<&Arc<Route>> {
        self.routes.iter().find(|r| path.starts_with(&*r.path)).or(self.default.as_ref())
    }
}
