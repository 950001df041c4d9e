//! A route: what happens with a request that one path of one Ingress has won.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use serde::{Deserialize, Serialize};

use super::cluster::ClusterId;
use super::filters::Filters;
use super::rewrite::Rewrite;
use crate::metrics::Tally;
use crate::model::PathKind;

#[derive(Debug, Clone)]
pub struct Route {
    /// `namespace/ingress/rules[i].paths[j]`, or `.../default`: label of logs and metrics.
    pub id: Arc<str>,
    pub namespace: Arc<str>,
    pub ingress: Arc<str>,
    /// The rule's path as written.
    pub path: Arc<str>,
    /// `None`: a default backend.
    pub kind: Option<PathKind>,
    pub action: Action,
    pub rewrite: Option<Rewrite>,
    /// T11: plain HTTP requests of this route are redirected.
    pub https_redirect: Option<Redirect>,
    /// T13: value of `Strict-Transport-Security` on HTTPS answers.
    pub hsts: Option<Arc<str>>,
    /// What annotations ask for beyond that; absent for most routes.
    pub filters: Option<Arc<Filters>>,
    /// Where the workers count its requests. The same for all routes that had this id at the host.
    pub tally: Arc<Tally>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    Forward(ClusterId),
    /// Answered by us, on HTTP and HTTPS alike: it comes before the redirect to HTTPS.
    Redirect(Moved),
    /// Answered by us: 503 for resource backends and closed paths (C12, C13).
    Refuse {
        status: u16,
        reason: Refusal,
    },
}

/// Why a path is answered by us and goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    UnknownCluster,
    ResourceBackend,
    /// C13, of the path itself.
    PathRule,
    /// C13, of something that holds for the whole host.
    HostRule,
    /// C13, of what the rule refers to.
    MissingReference,
    /// C13: its main Ingress has other access rules.
    CanaryRule,
    ClosedCanary,
}

/// Where everything of a route has gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    pub status: u16,
    pub to: MovedTo,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MovedTo {
    /// A whole URL.
    Url(#[serde(with = "super::replica::header::value")] HeaderValue),
    /// A path on the scheme and host that the client asked for.
    Path(#[serde(with = "crate::arc")] Arc<str>),
}

impl Refusal {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownCluster => "unknown cluster",
            Self::ResourceBackend => "resource backends are not supported",
            Self::PathRule => "an access rule of this path cannot be enforced",
            Self::HostRule => "an access rule of this host cannot be enforced",
            Self::MissingReference => "what an access rule of this path refers to is missing",
            Self::CanaryRule => "the canary has an access rule that its main Ingress has not",
            Self::ClosedCanary => "the canary of this path is closed",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for MovedTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(&String::from_utf8_lossy(url.as_bytes())),
            Self::Path(path) => f.write_str(path),
        }
    }
}

/// HTTPS redirect: status 308 in compat mode and by default (T11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    pub status: u16,
    /// One trailing slash of the URI is dropped, as ingress-nginx does.
    pub drop_trailing_slash: bool,
    /// TLS ends in front of us, as `force-ssl-redirect` says: whether a port of ours speaks HTTPS
    /// does not matter, and none is named.
    pub forced: bool,
}
