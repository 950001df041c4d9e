//! What the annotations of an Ingress do to the requests of its routes, ready to be applied.
//!
//! Made once for an Ingress and shared by its routes. A route without [`Filters`] pays one branch
//! for all of them. Header names and values are checked and built here, never per request.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::affinity::Affinity;
use super::canary::Canary;
use super::cors::Cors;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filters {
    /// Instead of `limits.request_body`, in bytes; 0 = no limit.
    pub request_body: Option<u64>,
    /// Instead of `timeouts.upstream_*`.
    pub timeouts: UpstreamTimeouts,
    /// `Host` of the request to the endpoint, instead of the client's.
    #[serde(with = "super::replica::header::optional")]
    pub upstream_host: Option<HeaderValue>,
    /// `X-Forwarded-Prefix`, when the path is rewritten.
    #[serde(with = "super::replica::header::optional")]
    pub forwarded_prefix: Option<HeaderValue>,
    /// Of every answer, in the place of the pod's.
    #[serde(with = "super::replica::header::fields")]
    pub response_headers: Arc<[(HeaderName, HeaderValue)]>,
    pub access: Option<Box<Access>>,
    pub cors: Option<Box<Cors>>,
    /// The requests of one client meet one endpoint.
    pub affinity: Option<Box<Affinity>>,
    /// Another Service for some of the requests; of one route only.
    pub canary: Option<Box<Canary>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamTimeouts {
    pub connect: Option<Duration>,
    /// Between two writes.
    pub send: Option<Duration>,
    /// Between two reads; idle upgraded connections too.
    pub read: Option<Duration>,
}

// === impl Filters ===

impl Filters {
    /// Whether a request passes as if there were none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

// === impl UpstreamTimeouts ===

impl UpstreamTimeouts {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
