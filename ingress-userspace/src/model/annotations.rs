//! Annotations of an Ingress: a closed list of keys, one typed parser each.
//!
//! In: `metadata.annotations`. Out: [`IngressOptions`] and whether an access rule forces the paths
//! shut. A bad value disables its key only; a key that would have restricted access and that is
//! not understood closes the paths instead (C13, D20). The nginx prefix is read in compat mode
//! only (D19), and our own prefix wins over it.

use serde_json::Value;

use super::field::{Fields, Path, Report, shorten};
use super::ingress::{BackendProtocol, IngressOptions};
use super::names;
use super::problem::Reason;
use super::rule::RuleId;

const OWN: &str = "genkan.io/";
const NGINX: &str = "nginx.ingress.kubernetes.io/";

/// The keys that are read, without prefix.
const KEYS: [&str; 4] = ["rewrite-target", "use-regex", "ssl-redirect", "backend-protocol"];

#[derive(Debug, Default)]
pub(super) struct Annotations {
    pub(super) options: IngressOptions,
    /// An access rule is asked for that cannot be enforced: nothing may be served.
    pub(super) closed: bool,
}

pub(super) fn read(
    report: &mut Report<'_>,
    at: &Path<'_>,
    annotations: &Fields,
    nginx: bool,
) -> Annotations {
    let mut out = Annotations::default();
    let prefixes: &[&str] = if nginx { &[NGINX, OWN] } else { &[OWN] };
    for prefix in prefixes {
        for (full, value) in annotations {
            if let Some(key) = full.strip_prefix(prefix) {
                read_one(report, &at.entry(full), key, value, &mut out);
            }
        }
    }
    out
}

fn read_one(
    report: &mut Report<'_>,
    at: &Path<'_>,
    key: &str,
    value: &Value,
    out: &mut Annotations,
) {
    if restricts_access(key) {
        out.closed = true;
        report.add_by(
            at,
            RuleId::C13,
            Reason::UnsupportedAnnotation,
            format!("{key} restricts access and is not supported: the paths answer 503"),
        );
        return;
    }
    if !KEYS.contains(&key) {
        report.add(at, Reason::UnsupportedAnnotation, unknown(key));
        return;
    }
    let Some(text) = value.as_str() else {
        let message = "the value is not a string (quote it); it is ignored";
        report.add(at, Reason::InvalidAnnotation, message);
        return;
    };
    let read = match key {
        "rewrite-target" => {
            rewrite_target(text).map(|()| out.options.rewrite_target = Some(text.into()))
        }
        "use-regex" => flag(text).map(|on| out.options.use_regex = on),
        "ssl-redirect" => flag(text).map(|on| out.options.ssl_redirect = Some(on)),
        _ => backend_protocol(text).map(|p| out.options.backend_protocol = Some(p)),
    };
    if let Err((reason, message)) = read {
        report.add(at, reason, format!("{message}; it is ignored"));
    }
}

/// Auth, allow and deny lists, client certificates, rate limits.
fn restricts_access(key: &str) -> bool {
    key.starts_with("auth-")
        || key.starts_with("limit-")
        || matches!(
            key,
            "whitelist-source-range"
                | "allowlist-source-range"
                | "denylist-source-range"
                | "satisfy"
        )
}

fn unknown(key: &str) -> String {
    let near = KEYS
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, key), known))
        .filter(|(distance, _)| *distance <= 2)
        .min();
    match near {
        Some((_, known)) => {
            format!("{:?} is not supported, did you mean {known:?}? It is ignored", shorten(key))
        }
        None => format!("{:?} is not supported; it is ignored", shorten(key)),
    }
}

type Fault = (Reason, String);

fn invalid(message: String) -> Fault {
    (Reason::InvalidAnnotation, message)
}

fn flag(text: &str) -> Result<bool, Fault> {
    names::flag(text)
        .ok_or_else(|| invalid(format!("{:?} is neither true nor false", shorten(text))))
}

/// An absolute path of URI characters, with `$1` to `$9` for the groups of the rule's path.
fn rewrite_target(text: &str) -> Result<(), Fault> {
    if !text.starts_with('/') {
        return Err(invalid(format!("{:?} does not start with `/`", shorten(text))));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/-._~$:@!&*+,;=%".contains(&b);
    if let Some(bad) = text.bytes().find(|b| !allowed(*b)) {
        let bad = char::from(bad).escape_default();
        return Err(invalid(format!("{:?} contains `{bad}`", shorten(text))));
    }
    for (at, _) in text.match_indices('$') {
        if !matches!(text.as_bytes().get(at + 1), Some(b'1'..=b'9')) {
            let message =
                format!("{:?}: of the variables only $1 to $9 are supported", shorten(text));
            return Err((Reason::UnsupportedAnnotation, message));
        }
    }
    Ok(())
}

fn backend_protocol(text: &str) -> Result<BackendProtocol, Fault> {
    match text.trim().to_ascii_uppercase().as_str() {
        "HTTP" => Ok(BackendProtocol::Http),
        "HTTPS" => Ok(BackendProtocol::Https),
        "GRPC" => Ok(BackendProtocol::H2c),
        "GRPCS" => Ok(BackendProtocol::H2),
        "AUTO_HTTP" | "FCGI" => {
            Err((Reason::UnsupportedAnnotation, format!("{text:?} is not supported")))
        }
        _ => Err(invalid(format!("{:?} is none of HTTP, HTTPS, GRPC, GRPCS", shorten(text)))),
    }
}
