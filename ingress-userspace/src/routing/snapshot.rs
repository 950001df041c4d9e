//! The immutable answer to "where does this request go" and "which certificate".
//!
//! Structurally shared: cloning copies a few pointers, and two versions differ only in what an
//! edit touched. Nothing here allocates, locks or changes; the compiler makes the next version.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::sign::CertifiedKey;

use super::by_name::ByName;
use super::cluster::{Cluster, ClusterId};
use super::listing::CertificateFacts;
use super::matcher::{Matcher, PathRule};
use super::route::Route;
use super::trie::Trie;
use crate::model::{HostPattern, ServerCertificate};

/// One version of everything that the workers need.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub version: u64,
    pub(super) hosts: ByName<HostRoutes>,
    /// More names of hosts, for the routes that they have.
    pub(super) aliases: ByName<HostRoutes>,
    /// Rules without host.
    pub(super) any: Option<Arc<HostRoutes>>,
    /// C6: the catch-all of the listener.
    pub(super) fallback: Option<Arc<Route>>,
    pub(super) clusters: Trie<ClusterId, Arc<Cluster>>,
    pub(super) certificates: ByName<HostCertificate>,
    /// What can be told about each usable Secret, by namespace and name.
    pub(super) secrets: Trie<(Arc<str>, Arc<str>), Arc<CertificateFacts>>,
    /// Shown to names that nobody knows, before the listener's own: the certificate of a `tls`
    /// entry without hosts, of an Ingress that serves the empty host (T2).
    pub(super) unknown_certificate: Option<Arc<ServerCertificate>>,
    /// The listener's own, when the configuration names one and its Secret is usable.
    pub(super) default_certificate: Option<Arc<ServerCertificate>>,
}

/// The routes of one host pattern. A clone shares all that is large.
#[derive(Debug, Clone)]
pub struct HostRoutes {
    matcher: Matcher,
    /// What the matcher was made of; the same for clones only.
    pub(super) source: Arc<HostRules>,
    /// Default of the host (C5).
    pub(super) default: Option<Arc<Route>>,
}

/// The rules of one host pattern, out of the way of requests.
#[derive(Debug)]
pub(super) struct HostRules {
    /// Whose they are. Its aliases share them.
    pub(super) host: HostPattern,
    pub(super) rules: Box<[PathRule]>,
}

/// What a name that a `tls` entry knows is shown.
#[derive(Debug, Clone)]
pub(super) enum HostCertificate {
    Own(Arc<ServerCertificate>),
    /// It has no usable one of its own (T2, T8, T9).
    Default,
}

/// The host of a request after H6-H8 and H10: lower case, no port, no trailing dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestHost<'a> {
    Name(&'a str),
    Ip(IpAddr),
    /// HTTP/1.0 without Host.
    Absent,
}

/// T4, T5: what to show for a server name. `None`: the self-signed certificate of the listener,
/// which no snapshot holds.
#[derive(Debug, Clone)]
pub enum CertificateChoice {
    /// For a name that a `tls` entry knows: its own certificate, or the default one when its own
    /// is missing or does not cover it.
    Known(Option<Arc<CertifiedKey>>),
    /// For an unknown or absent name; refused under strict SNI.
    Unknown(Option<Arc<CertifiedKey>>),
}

// === impl Snapshot ===

impl Snapshot {
    /// The route that wins for a host and a normalised path (`/...`; `*` of `OPTIONS *` is the
    /// empty path), or `None` when nothing matches and there is no default: 404 (C8).
    ///
    /// The host is chosen before any path is looked at (H4): a host that has rules never falls
    /// through to a wildcard or to the rules without host, only to the default.
    pub fn route(&self, host: RequestHost<'_>, path: &str) -> Option<&Arc<Route>> {
        let routes = match host {
            RequestHost::Name(name) => self.host(name),
            RequestHost::Ip(_) | RequestHost::Absent => None,
        };
        let routes = routes.or(self.any.as_deref());
        routes.and_then(|routes| routes.find(path)).or(self.fallback.as_ref())
    }

    /// The routes of one host pattern.
    pub(super) fn routes_of(&self, host: &HostPattern) -> Option<&HostRoutes> {
        match host {
            HostPattern::Any => self.any.as_deref(),
            HostPattern::Exact(_) | HostPattern::Wildcard(_) => self.hosts.of(host),
        }
    }

    /// Precise before wildcard, rules before aliases.
    fn host(&self, name: &str) -> Option<&HostRoutes> {
        let precise = self.hosts.precise(name).or_else(|| self.aliases.precise(name));
        let wildcard = || self.hosts.wildcard(name).or_else(|| self.aliases.wildcard(name));
        precise.or_else(wildcard)
    }

    pub fn cluster(&self, id: ClusterId) -> Option<&Arc<Cluster>> {
        self.clusters.get(&id)
    }

    /// `sni` is lower case without trailing dot; `None` = no usable server name (T4).
    pub fn certificate(&self, sni: Option<&str>) -> CertificateChoice {
        let known = sni.and_then(|name| self.certificates.find(name));
        let default = &self.default_certificate;
        let pair = |shown: &Arc<ServerCertificate>| shown.pair().clone();
        match known {
            Some(HostCertificate::Own(own)) => CertificateChoice::Known(Some(pair(own))),
            Some(HostCertificate::Default) => CertificateChoice::Known(default.as_ref().map(pair)),
            None => {
                let unknown = self.unknown_certificate.as_ref().or(default.as_ref());
                CertificateChoice::Unknown(unknown.map(pair))
            }
        }
    }

    /// T6: the host is another one than the handshake was for, and is shown another certificate.
    /// Names that share a certificate may share a connection (RFC 9110 7.4).
    pub fn misdirects(&self, sni: Option<&str>, host: RequestHost<'_>) -> bool {
        let RequestHost::Name(name) = host else { return true };
        sni != Some(name) && !self.show_the_same_certificate(sni, name)
    }

    /// Whether both names are known and shown one certificate of their own.
    fn show_the_same_certificate(&self, sni: Option<&str>, name: &str) -> bool {
        let own = |name| match self.certificates.find(name) {
            Some(HostCertificate::Own(own)) => Some(own),
            Some(HostCertificate::Default) | None => None,
        };
        match (sni.and_then(own), own(name)) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// Precise and wildcard hosts that have routes.
    pub fn host_count(&self) -> usize {
        self.hosts.len()
    }

    pub fn cluster_count(&self) -> usize {
        self.clusters.len()
    }
}

// === impl HostRoutes ===

impl HostRoutes {
    pub(super) fn new(
        host: HostPattern,
        rules: Vec<PathRule>,
        default: Option<Arc<Route>>,
    ) -> Self {
        let source = HostRules { host, rules: rules.as_slice().into() };
        Self { source: Arc::new(source), matcher: Matcher::new(rules), default }
    }

    /// Each route once.
    pub(super) fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.source.rules.iter().map(|rule| &rule.route).chain(&self.default)
    }

    /// Whether one is a clone of the other.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.source, &other.source)
    }

    fn find(&self, path: &str) -> Option<&Arc<Route>> {
        self.matcher.find(path).or(self.default.as_ref())
    }
}
