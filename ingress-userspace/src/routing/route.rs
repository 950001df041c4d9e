//! A route: what happens with a request that one path of one Ingress has won.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;

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

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Forward(ClusterId),
    /// Answered by us, on HTTP and HTTPS alike: it comes before the redirect to HTTPS.
    Redirect(Moved),
    /// Answered by us: 503 for resource backends and closed paths (C12, C13).
    Refuse {
        status: u16,
        reason: &'static str,
    },
}

/// Where everything of a route has gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub status: u16,
    pub to: MovedTo,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MovedTo {
    /// A whole URL.
    Url(HeaderValue),
    /// A path on the scheme and host that the client asked for.
    Path(Arc<str>),
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redirect {
    pub status: u16,
    /// One trailing slash of the URI is dropped, as ingress-nginx does.
    pub drop_trailing_slash: bool,
    /// TLS ends in front of us, as `force-ssl-redirect` says: whether a port of ours speaks HTTPS
    /// does not matter, and none is named.
    pub forced: bool,
}
