//! The keys: name, older names, what is lost without them, parser, and where the value lands.
//!
//! `deploy/docs/annotations.md` lists the same ones.

use super::parse::{self, Fault};
use super::unknown;
use super::{access, cors};
use crate::model::options::IngressOptions;

/// One annotation key, without prefix.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// Other names of the same key; the name itself wins.
    pub(super) aliases: &'static [&'static str],
    pub(super) group: Group,
    pub(super) effect: Effect,
}

/// What happens when a key cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    /// It is ignored.
    Harmless,
    /// Auth, allow and deny lists, client certificates, limits, and whatever may hold such a rule:
    /// paths are closed (C13).
    Access(Scope),
}

/// How far a key reaches (A1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The paths of its Ingress.
    Paths,
    /// All paths of the hosts that its Ingress has rules for.
    Hosts,
}

#[derive(Debug)]
pub(super) enum Effect {
    /// Parsed into its place.
    Read(Read),
    /// Not supported, but for the values that ask for what happens anyway.
    Unserved { same: &'static [&'static str] },
}

type Read = fn(&str, &mut IngressOptions) -> Result<(), Fault>;

const ON: &[&str] = &["on", "true", "1", "t", "T", "TRUE", "True"];
const OFF: &[&str] = &["off", "false", "0", "f", "F", "FALSE", "False"];

pub(super) static KEYS: &[Key] = &[
    // Paths and rewriting.
    read("rewrite-target", |v, o| put(&mut o.rewrite.target, parse::rewrite_target(v))),
    read("use-regex", |v, o| parse::flag(v).map(|on| o.rewrite.use_regex = on)),
    read("x-forwarded-prefix", |v, o| put(&mut o.headers.forwarded_prefix, parse::path(v))),
    read("server-alias", |v, o| parse::aliases(v).map(|names| o.aliases = names)),
    // Redirects.
    read("ssl-redirect", |v, o| put(&mut o.redirects.ssl, parse::flag(v))),
    read("force-ssl-redirect", |v, o| put(&mut o.redirects.force_ssl, parse::flag(v))),
    read("preserve-trailing-slash", |v, o| {
        put(&mut o.redirects.preserve_trailing_slash, parse::flag(v))
    }),
    read("app-root", |v, o| put(&mut o.redirects.app_root, parse::path(v))),
    read("permanent-redirect", |v, o| put(&mut o.redirects.permanent, parse::url(v))),
    read("permanent-redirect-code", |v, o| {
        put(&mut o.redirects.permanent_code, parse::number(v, 300..=308))
    }),
    read("temporal-redirect", |v, o| put(&mut o.redirects.temporal, parse::url(v))),
    read("temporal-redirect-code", |v, o| {
        put(&mut o.redirects.temporal_code, parse::number(v, 300..=307))
    }),
    unserved("from-to-www-redirect", OFF),
    unserved("use-port-in-redirects", OFF),
    unserved("relative-redirects", OFF),
    unserved("proxy-redirect-from", OFF),
    unserved("proxy-redirect-to", OFF),
    unserved("proxy-cookie-domain", OFF),
    unserved("proxy-cookie-path", OFF),
    // The connection to the endpoints.
    read("backend-protocol", |v, o| put(&mut o.upstream.protocol, parse::backend_protocol(v))),
    read("proxy-body-size", |v, o| put(&mut o.upstream.body_size, parse::size(v))),
    read("proxy-connect-timeout", |v, o| put(&mut o.upstream.connect_timeout, parse::seconds(v))),
    read("proxy-send-timeout", |v, o| put(&mut o.upstream.send_timeout, parse::seconds(v))),
    read("proxy-read-timeout", |v, o| put(&mut o.upstream.read_timeout, parse::seconds(v))),
    read("upstream-vhost", |v, o| put(&mut o.upstream.vhost, parse::host(v))),
    unserved("proxy-next-upstream", &["error timeout"]),
    unserved("proxy-next-upstream-tries", &["3"]),
    unserved("proxy-next-upstream-timeout", &["0"]),
    unserved("client-body-buffer-size", &[]),
    // Bodies always flow as they come.
    unserved("proxy-request-buffering", OFF),
    unserved("proxy-buffering", OFF),
    unserved("proxy-buffer-size", &[]),
    unserved("proxy-buffers-number", &[]),
    unserved("proxy-busy-buffers-size", &[]),
    unserved("proxy-max-temp-file-size", &[]),
    unserved("proxy-http-version", &["1.1"]),
    unserved("connection-proxy-header", &["keep-alive"]),
    unserved("service-upstream", OFF),
    unserved("proxy-ssl-secret", &[]),
    unserved("proxy-ssl-verify", OFF),
    unserved("proxy-ssl-verify-depth", &["1"]),
    unserved("proxy-ssl-name", &[]),
    unserved("proxy-ssl-server-name", &[]),
    unserved("proxy-ssl-ciphers", &[]),
    unserved("proxy-ssl-protocols", &[]),
    unserved("load-balance", &["round_robin"]),
    unserved("upstream-hash-by", &[]),
    unserved("upstream-hash-by-subset", OFF),
    unserved("upstream-hash-by-subset-size", &[]),
    // Sessions.
    read("affinity", |v, o| parse::affinity(v).map(|()| o.affinity.by_cookie = true)),
    read("affinity-mode", |v, o| {
        put(
            &mut o.affinity.persistent,
            parse::choice(v, [("balanced", false), ("persistent", true)]),
        )
    }),
    read("affinity-canary-behavior", |v, o| {
        put(&mut o.affinity.canary_legacy, parse::choice(v, [("sticky", false), ("legacy", true)]))
    }),
    read("session-cookie-name", |v, o| put(&mut o.affinity.name, parse::token(v))),
    read("session-cookie-path", |v, o| put(&mut o.affinity.path, parse::cookie_path(v))),
    read("session-cookie-domain", |v, o| put(&mut o.affinity.domain, parse::cookie_domain(v))),
    read("session-cookie-expires", |v, o| put(&mut o.affinity.expires, parse::age(v))),
    read("session-cookie-max-age", |v, o| put(&mut o.affinity.max_age, parse::age(v))),
    read("session-cookie-samesite", |v, o| put(&mut o.affinity.same_site, parse::same_site(v))),
    read("session-cookie-secure", |v, o| put(&mut o.affinity.secure, parse::flag(v))),
    read("session-cookie-change-on-failure", |v, o| {
        put(&mut o.affinity.change_on_failure, parse::flag(v))
    }),
    unserved("session-cookie-conditional-samesite-none", OFF),
    unserved("session-cookie-partitioned", OFF),
    unserved("session-cookie-hash", &["sha1", "md5", "index"]),
    // Canaries.
    read("canary", |v, o| parse::flag(v).map(|on| o.canary.enabled = on)),
    read("canary-weight", |v, o| put(&mut o.canary.weight, parse::weight(v, 0))),
    read("canary-weight-total", |v, o| put(&mut o.canary.weight_total, parse::weight(v, 100))),
    read("canary-by-header", |v, o| put(&mut o.canary.by_header, parse::token(v))),
    read("canary-by-header-value", |v, o| put(&mut o.canary.by_header_value, parse::field(v))),
    read("canary-by-header-pattern", |v, o| {
        put(&mut o.canary.by_header_pattern, parse::pattern(v))
    }),
    read("canary-by-cookie", |v, o| put(&mut o.canary.by_cookie, parse::token(v))),
    // Errors and copies.
    unserved("default-backend", &[]),
    unserved("custom-http-errors", &[]),
    unserved("disable-proxy-intercept-errors", &[]),
    unserved("mirror-target", &[]),
    unserved("mirror-host", &[]),
    unserved("mirror-request-body", &[]),
    // Response headers.
    read("enable-cors", |v, o| parse::flag(v).map(|on| o.cors.enabled = on)),
    read("cors-allow-origin", |v, o| {
        let (origins, fault) = cors::origins(v);
        o.cors.origins = Some(origins);
        fault
    }),
    read("cors-allow-methods", |v, o| put(&mut o.cors.methods, cors::methods(v))),
    read("cors-allow-headers", |v, o| put(&mut o.cors.headers, cors::fields(v))),
    read("cors-expose-headers", |v, o| put(&mut o.cors.expose, cors::exposed(v))),
    read("cors-allow-credentials", |v, o| put(&mut o.cors.credentials, parse::flag(v))),
    read("cors-max-age", |v, o| put(&mut o.cors.max_age, cors::seconds(v))),
    Key {
        group: Group::Access(Scope::Paths),
        ..read("custom-headers", |v, o| put(&mut o.headers.custom, parse::config_map(v)))
    },
    // Access control.
    Key {
        aliases: &["whitelist-source-range"],
        ..restrict("allowlist-source-range", |v, o| put(&mut o.access.allow, access::networks(v)))
    },
    restrict("denylist-source-range", |v, o| put(&mut o.access.deny, access::networks(v))),
    restrict("auth-type", |v, o| access::auth_type(v).map(|on| o.access.auth.basic = on)),
    restrict("auth-secret", |v, o| put(&mut o.access.auth.secret, access::secret(v))),
    restrict("auth-secret-type", |v, o| {
        access::auth_secret_type(v).map(|map| o.access.auth.map = map)
    }),
    restrict("auth-realm", |v, o| put(&mut o.access.auth.realm, access::realm(v))),
    unserved_access("auth-url", Scope::Paths, &[]),
    unserved_access("auth-method", Scope::Paths, &[]),
    unserved_access("auth-signin", Scope::Paths, &[]),
    unserved_access("auth-signin-redirect-param", Scope::Paths, &[]),
    unserved_access("auth-request-redirect", Scope::Paths, &[]),
    unserved_access("auth-response-headers", Scope::Paths, &[]),
    unserved_access("auth-proxy-set-headers", Scope::Paths, &[]),
    unserved_access("auth-cache-key", Scope::Paths, &[]),
    unserved_access("auth-cache-duration", Scope::Paths, &[]),
    unserved_access("auth-keepalive", Scope::Paths, &[]),
    unserved_access("auth-keepalive-requests", Scope::Paths, &[]),
    unserved_access("auth-keepalive-timeout", Scope::Paths, &[]),
    unserved_access("auth-keepalive-share-vars", Scope::Paths, &[]),
    unserved_access("auth-always-set-cookie", Scope::Paths, &[]),
    // There is no global authentication to opt out of.
    unserved("enable-global-auth", &[]),
    restrict("satisfy", |v, o| access::satisfy(v).map(|any| o.access.satisfy_any = any)),
    unserved_access("auth-tls-secret", Scope::Hosts, &[]),
    unserved_access("auth-tls-verify-client", Scope::Hosts, &["off"]),
    unserved_access("auth-tls-verify-depth", Scope::Hosts, &[]),
    unserved_access("auth-tls-match-cn", Scope::Hosts, &[]),
    unserved_access("auth-tls-error-page", Scope::Hosts, &[]),
    unserved_access("auth-tls-pass-certificate-to-upstream", Scope::Hosts, OFF),
    restrict("limit-rps", |v, o| access::limit(v).map(|limit| o.access.limits.per_second = limit)),
    restrict("limit-rpm", |v, o| access::limit(v).map(|limit| o.access.limits.per_minute = limit)),
    restrict("limit-burst-multiplier", |v, o| {
        put(&mut o.access.limits.burst_multiplier, access::burst_multiplier(v))
    }),
    restrict("limit-connections", |v, o| {
        access::limit(v).map(|limit| o.access.limits.connections = limit)
    }),
    unserved_access("limit-rate", Scope::Paths, &["0"]),
    unserved_access("limit-rate-after", Scope::Paths, &["0"]),
    Key {
        aliases: &["limit-whitelist"],
        ..restrict("limit-allowlist", |v, o| put(&mut o.access.limits.exempt, access::networks(v)))
    },
    // Raw nginx text and firewall rules may hold access rules. They are never executed.
    unserved_access("configuration-snippet", Scope::Paths, &[""]),
    unserved_access("auth-snippet", Scope::Paths, &[""]),
    unserved_access("server-snippet", Scope::Hosts, &[""]),
    unserved_access("stream-snippet", Scope::Paths, &[""]),
    unserved_access("enable-modsecurity", Scope::Paths, OFF),
    unserved_access("enable-owasp-core-rules", Scope::Paths, OFF),
    unserved_access("modsecurity-transaction-id", Scope::Paths, &[]),
    unserved_access("modsecurity-snippet", Scope::Paths, &[""]),
    // TLS.
    unserved("ssl-passthrough", OFF),
    unserved("ssl-ciphers", &[]),
    unserved("ssl-prefer-server-ciphers", ON),
    // Observability and the rest.
    unserved("enable-access-log", ON),
    unserved("enable-rewrite-log", OFF),
    unserved("enable-opentelemetry", OFF),
    unserved("opentelemetry-trust-incoming-span", &[]),
    unserved("opentelemetry-operation-name", &[]),
    unserved("http2-push-preload", &["true", "false"]),
    unserved("fastcgi-index", &[]),
    unserved("fastcgi-params-configmap", &[]),
];

/// Position of a key by one of its names, and 0 for the name itself or the alias's number.
pub(super) fn find(name: &str) -> Option<(usize, usize)> {
    KEYS.iter().enumerate().find_map(|(index, key)| {
        let alias = key.names().position(|known| known == name)?;
        Some((index, alias))
    })
}

/// The group of a key, known or not.
pub(super) fn group(name: &str) -> Group {
    find(name).map_or_else(|| unknown::judge(name).0, |(index, _)| KEYS[index].group)
}

const fn read(name: &'static str, read: Read) -> Key {
    Key { name, aliases: &[], group: Group::Harmless, effect: Effect::Read(read) }
}

const fn unserved(name: &'static str, same: &'static [&'static str]) -> Key {
    Key { name, aliases: &[], group: Group::Harmless, effect: Effect::Unserved { same } }
}

/// Of the access group, for the paths of its Ingress.
const fn restrict(name: &'static str, read: Read) -> Key {
    Key { name, aliases: &[], group: Group::Access(Scope::Paths), effect: Effect::Read(read) }
}

const fn unserved_access(name: &'static str, scope: Scope, same: &'static [&'static str]) -> Key {
    Key { name, aliases: &[], group: Group::Access(scope), effect: Effect::Unserved { same } }
}

fn put<T>(place: &mut Option<T>, value: Result<T, Fault>) -> Result<(), Fault> {
    value.map(|value| *place = Some(value))
}

// === impl Key ===

impl Key {
    /// The name, then the aliases.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}
