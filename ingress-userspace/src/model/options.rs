//! What the annotations of an Ingress ask for, by topic.
//!
//! Filled by [`annotations`](super::annotations), read by the compiler. `None` = not given, the
//! default holds.

use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct IngressOptions {
    pub rewrite: RewriteOptions,
    pub redirects: RedirectOptions,
    pub upstream: UpstreamOptions,
    pub headers: HeaderOptions,
    /// C13: an access rule that holds for whole hosts is asked for and cannot be enforced: every
    /// path of the hosts of this Ingress is closed, whoever it belongs to.
    pub closes_hosts: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct RewriteOptions {
    pub target: Option<Arc<str>>,
    pub use_regex: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct RedirectOptions {
    /// To HTTPS, where the host has a certificate (T11).
    pub ssl: Option<bool>,
    /// To HTTPS, whether there is a certificate or not.
    pub force_ssl: Option<bool>,
    /// A redirect to HTTPS keeps the last slash of the target.
    pub preserve_trailing_slash: Option<bool>,
    /// Where `/` of the host leads; an absolute path.
    pub app_root: Option<Arc<str>>,
    /// Where every path leads; an absolute URL. The temporal one wins.
    pub permanent: Option<Arc<str>>,
    pub permanent_code: Option<u16>,
    pub temporal: Option<Arc<str>>,
    pub temporal_code: Option<u16>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct UpstreamOptions {
    pub protocol: Option<BackendProtocol>,
    /// Largest request body in bytes; 0 = no limit.
    pub body_size: Option<u64>,
    pub connect_timeout: Option<Duration>,
    pub send_timeout: Option<Duration>,
    pub read_timeout: Option<Duration>,
    /// `Host` of the requests to the endpoints.
    pub vhost: Option<Arc<str>>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeaderOptions {
    /// `X-Forwarded-Prefix` of rewritten requests.
    pub forwarded_prefix: Option<Arc<str>>,
}

/// How the pods of a backend are spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackendProtocol {
    Http,
    Https,
    /// HTTP/2 with prior knowledge (`GRPC` of ingress-nginx, `kubernetes.io/h2c`).
    H2c,
    /// HTTP/2 over TLS (`GRPCS`).
    H2,
}

// === impl RedirectOptions ===

impl RedirectOptions {
    /// Status and URL of the redirect that stands for every path of the Ingress.
    pub fn everything(&self) -> Option<(u16, &Arc<str>)> {
        let temporal = self.temporal.as_ref().map(|to| (self.temporal_code.unwrap_or(302), to));
        let permanent = || Some((self.permanent_code.unwrap_or(301), self.permanent.as_ref()?));
        temporal.or_else(permanent)
    }
}
