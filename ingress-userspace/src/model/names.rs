//! Names as the API server validates them: DNS names, hosts of rules, port names, paths.
//!
//! Pure predicates and parsers; the error is the reason, ready to stand in a problem.

use std::net::IpAddr;

use super::ingress::{HostPattern, PathKind};

/// RFC 1123 label: at most 63 of `a-z0-9-`, alphanumeric at both ends.
pub(super) fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_label_of_any_length(text)
}

/// RFC 1123 subdomain: labels joined by dots, at most 253 bytes. Like the API server, single labels
/// are not limited to 63 bytes.
pub(super) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label_of_any_length)
}

fn is_label_of_any_length(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|b| alphanumeric(b) || *b == b'-')
}

/// IANA service name: at most 15 of `a-z0-9-`, one letter at least, no `-` at an end or doubled.
pub(super) fn is_port_name(text: &str) -> bool {
    text.len() <= 15
        && is_label(text)
        && !text.contains("--")
        && text.bytes().any(|b| b.is_ascii_lowercase())
}

/// A host of a rule or of a `tls` entry (H1); never empty.
pub(super) fn host(text: &str) -> Result<HostPattern, String> {
    if text.parse::<IpAddr>().is_ok() {
        return Err(format!("{text:?} is an IP address, a DNS name is expected"));
    }
    if let Some(parent) = text.strip_prefix("*.") {
        if parent.contains('*') || !is_subdomain(parent) || text.len() > 253 {
            return Err(format!(
                "{text:?} is no wildcard name: one `*` as the whole first label is expected"
            ));
        }
        return Ok(HostPattern::Wildcard(parent.into()));
    }
    if text.contains('*') {
        return Err(format!("{text:?}: `*` is allowed only as the whole first label"));
    }
    if text.contains(':') {
        return Err(format!("{text:?} has a port, a name alone is expected"));
    }
    if !is_subdomain(text) {
        return Err(format!("{text:?} is not a lower-case DNS name"));
    }
    Ok(HostPattern::Exact(text.into()))
}

/// The path of a rule against its type (2.4).
pub(super) fn check_path(path: &str, kind: PathKind) -> Result<(), String> {
    if kind == PathKind::ImplementationSpecific {
        return match path {
            "" => Ok(()),
            _ if path.starts_with('/') => Ok(()),
            _ => Err(format!("{path:?} does not start with `/`")),
        };
    }
    if !path.starts_with('/') {
        return Err(format!("{path:?} does not start with `/`"));
    }
    let lower = path.to_ascii_lowercase();
    for forbidden in ["//", "/./", "/../", "%2f"] {
        if lower.contains(forbidden) {
            return Err(format!("{path:?} contains `{forbidden}`"));
        }
    }
    for forbidden in ["/.", "/.."] {
        if path.ends_with(forbidden) {
            return Err(format!("{path:?} ends in `{forbidden}`"));
        }
    }
    Ok(())
}

/// Values that Go's `strconv.ParseBool` takes, as ingress-nginx does.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}
