//! What the annotations of an Ingress ask for, by topic.
//!
//! Filled by [`annotations`](super::annotations), read by the compiler. `None` = not given, the
//! default holds.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ingress::HostPattern;
use crate::net::sources::AddressSet;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct IngressOptions {
    pub rewrite: RewriteOptions,
    pub redirects: RedirectOptions,
    pub upstream: UpstreamOptions,
    pub headers: HeaderOptions,
    pub cors: CorsOptions,
    pub access: AccessOptions,
    pub canary: CanaryOptions,
    pub affinity: AffinityOptions,
    /// More names for the rules of the first host.
    pub aliases: Vec<HostPattern>,
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
    /// The fields of all answers.
    pub custom: Option<ConfigMapName>,
}

/// A ConfigMap as an annotation names it; without namespace it is in that of the Ingress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMapName {
    pub namespace: Option<Arc<str>>,
    pub name: Arc<str>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct CorsOptions {
    pub enabled: bool,
    /// `*`, or `scheme://host[:port]` with `*.` for one label; empty = nobody.
    pub origins: Option<Vec<Arc<str>>>,
    pub methods: Option<Arc<str>>,
    pub headers: Option<Arc<str>>,
    pub expose: Option<Arc<str>>,
    pub credentials: Option<bool>,
    /// In seconds.
    pub max_age: Option<u64>,
}

/// Who may send requests, and how many.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AccessOptions {
    pub allow: Option<AddressSet>,
    pub deny: Option<AddressSet>,
    pub limits: LimitOptions,
    pub auth: AuthOptions,
    /// A source of the allow list needs no password, and a password opens what the lists refuse.
    pub satisfy_any: bool,
}

/// For each client.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LimitOptions {
    pub per_second: Option<u32>,
    pub per_minute: Option<u32>,
    pub burst_multiplier: Option<u32>,
    /// Requests under way at a time.
    pub connections: Option<u32>,
    /// Clients without limits.
    pub exempt: Option<AddressSet>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuthOptions {
    /// Basic authentication is asked for.
    pub basic: bool,
    pub secret: Option<SecretName>,
    /// Each key of the Secret is a user; else the key `auth` is a password file.
    pub map: bool,
    pub realm: Option<Arc<str>>,
}

/// A Secret as an annotation names it; without namespace it is in that of the Ingress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretName {
    pub namespace: Option<Arc<str>>,
    pub name: Arc<str>,
}

/// Requests that go to the backends of this Ingress instead of those of the Ingress with the same
/// host and path.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CanaryOptions {
    pub enabled: bool,
    pub weight: Option<u32>,
    /// Of how many; 100 without it.
    pub weight_total: Option<u32>,
    pub by_header: Option<Arc<str>>,
    pub by_header_value: Option<Arc<str>>,
    pub by_header_pattern: Option<Arc<str>>,
    pub by_cookie: Option<Arc<str>>,
}

/// Which endpoint the requests of one client meet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AffinityOptions {
    /// By a cookie of ours; the other fields are about it.
    pub by_cookie: bool,
    /// A session stays with its endpoint as long as that lives; else new ones take their share.
    pub persistent: Option<bool>,
    /// A session does not decide between the canary and the others.
    pub canary_legacy: Option<bool>,
    pub name: Option<Arc<str>>,
    pub path: Option<Arc<str>>,
    pub domain: Option<Arc<str>>,
    /// Seconds.
    pub expires: Option<i64>,
    pub max_age: Option<i64>,
    pub same_site: Option<SameSite>,
    pub secure: Option<bool>,
    pub change_on_failure: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SameSite {
    Strict,
    Lax,
    None,
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
