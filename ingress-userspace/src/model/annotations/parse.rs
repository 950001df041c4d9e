//! Grammars of annotation values. Each parser takes the whole value or says what is wrong with it.
//!
//! Parsed, never filtered: what comes out is a typed value, and no text of
//! an object ends in anything that is interpreted again.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::model::field::shorten;
use crate::model::ingress::HostPattern;
use crate::model::names;
use crate::model::options::{BackendProtocol, ConfigMapName, SameSite};
use crate::model::pattern::Pattern;
use crate::model::problem::Reason;

/// What is wrong with a value: the first half of a problem's message.
pub(super) type Fault = (Reason, String);

/// A thousand years; further away is no date any more.
const MAX_AGE: u64 = 1000 * 366 * 24 * 3600;
/// Longer than this is a slip of the unit.
const MAX_TIMEOUT: u64 = 7 * 24 * 3600;

pub(super) fn invalid(message: impl Into<String>) -> Fault {
    (Reason::InvalidAnnotation, message.into())
}

pub(super) fn unsupported(message: impl Into<String>) -> Fault {
    (Reason::UnsupportedAnnotation, message.into())
}

/// As Go's `strconv.ParseBool`, which ingress-nginx uses.
pub(super) fn flag(text: &str) -> Result<bool, Fault> {
    names::flag(text)
        .ok_or_else(|| invalid(format!("{:?} is neither true nor false", shorten(text))))
}

/// A decimal number of at most 18 digits, without sign.
pub(super) fn integer(text: &str) -> Result<u64, Fault> {
    let is_number = (1..=18).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let number = is_number.then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| invalid(format!("{:?} is not a number", shorten(text))))
}

/// An integer of this range.
pub(super) fn number(text: &str, range: RangeInclusive<u16>) -> Result<u16, Fault> {
    let number = u16::try_from(integer(text)?).ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        let (first, last) = range.into_inner();
        invalid(format!("{:?} is not in {first} to {last}", shorten(text)))
    })
}

/// Parts of a whole, at least so many.
pub(super) fn weight(text: &str, least: u32) -> Result<u32, Fault> {
    let weight = u32::try_from(integer(text)?).ok();
    weight
        .filter(|weight| *weight >= least)
        .ok_or_else(|| invalid(format!("{:?} is not a number of at least {least}", shorten(text))))
}

/// Seconds from now, perhaps in the past.
pub(super) fn age(text: &str) -> Result<i64, Fault> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let fault = || invalid(format!("{:?} is not a number of seconds", shorten(text)));
    let seconds = integer(digits).ok().filter(|seconds| *seconds <= MAX_AGE).ok_or_else(fault)?;
    i64::try_from(seconds).map(|seconds| sign * seconds).map_err(|_| fault())
}

/// One of these words.
pub(super) fn choice<T, const N: usize>(
    text: &str,
    words: [(&'static str, T); N],
) -> Result<T, Fault> {
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let chosen = words.into_iter().find(|(word, _)| *word == text);
    chosen
        .map(|(_, value)| value)
        .ok_or_else(|| invalid(format!("{:?} is none of {}", shorten(text), names.join(", "))))
}

/// There is one kind.
pub(super) fn affinity(text: &str) -> Result<(), Fault> {
    choice(text, [("cookie", ())])
}

pub(super) fn same_site(text: &str) -> Result<SameSite, Fault> {
    let words = [("none", SameSite::None), ("lax", SameSite::Lax), ("strict", SameSite::Strict)];
    choice(&text.to_ascii_lowercase(), words)
}

/// Name of a header field or cookie (RFC 9110 5.6.2).
pub(super) fn token(text: &str) -> Result<Arc<str>, Fault> {
    let is_token = http::HeaderName::from_bytes(text.as_bytes()).is_ok();
    is_token.then(|| text.into()).ok_or_else(|| {
        invalid(format!("{:?} is not the name of a header field or cookie", shorten(text)))
    })
}

/// Value of a header field: visible ASCII and blanks inside.
pub(super) fn field(text: &str) -> Result<Arc<str>, Fault> {
    let visible = text.bytes().all(|b| (0x20..0x7f).contains(&b));
    (visible && text.trim() == text && !text.is_empty())
        .then(|| text.into())
        .ok_or_else(|| invalid(format!("{:?} is not the value of a header field", shorten(text))))
}

/// `Path` of a cookie: what ends an attribute is not in it.
pub(super) fn cookie_path(text: &str) -> Result<Arc<str>, Fault> {
    uri_characters(text, b"/-._~:@!&*+=%")?;
    absolute(text)?;
    Ok(text.into())
}

pub(super) fn cookie_domain(text: &str) -> Result<Arc<str>, Fault> {
    let name = text.strip_prefix('.').unwrap_or(text).to_ascii_lowercase();
    names::is_subdomain(&name)
        .then(|| text.into())
        .ok_or_else(|| invalid(format!("{:?} is not a domain", shorten(text))))
}

/// A regular expression of the kind that takes linear time, searched anywhere in a value.
pub(super) fn pattern(text: &str) -> Result<Arc<str>, Fault> {
    match Pattern::new(text) {
        Ok(_) => Ok(text.into()),
        Err(why) => Err(invalid(format!("{:?}: {why}", shorten(text)))),
    }
}

/// Host names, separated by commas; at least one.
pub(super) fn aliases(text: &str) -> Result<Vec<HostPattern>, Fault> {
    let alias = |name: &str| {
        if name.starts_with('~') {
            return Err(unsupported(format!(
                "{:?}: regexes of hosts are not supported",
                shorten(name)
            )));
        }
        names::host(&name.to_ascii_lowercase()).map_err(invalid)
    };
    text.split(',').map(|name| alias(name.trim())).collect()
}

/// `name`, or `namespace/name`.
pub(super) fn config_map(text: &str) -> Result<ConfigMapName, Fault> {
    let (namespace, name) = match text.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, text),
    };
    if !names::is_subdomain(name) || !namespace.is_none_or(names::is_label) {
        return Err(invalid(format!("{:?} is not the name of a ConfigMap", shorten(text))));
    }
    Ok(ConfigMapName { namespace: namespace.map(Arc::from), name: name.into() })
}

/// Plain seconds, more than 0.
pub(super) fn seconds(text: &str) -> Result<Duration, Fault> {
    match integer(text)? {
        0 => Err(invalid("0 seconds: more is expected")),
        seconds if seconds <= MAX_TIMEOUT => Ok(Duration::from_secs(seconds)),
        seconds => Err(invalid(format!("{seconds} seconds: at most 7 days are possible"))),
    }
}

/// Bytes, or with `k`, `m` or `g`: `\d+[bkmg]?` in either case.
pub(super) fn size(text: &str) -> Result<u64, Fault> {
    let shift = match text.as_bytes().last().map(u8::to_ascii_lowercase) {
        Some(b'b') => Some(0),
        Some(b'k') => Some(10),
        Some(b'm') => Some(20),
        Some(b'g') => Some(30),
        _ => None,
    };
    let digits = &text[..text.len() - usize::from(shift.is_some())];
    let fault = || {
        invalid(format!("{:?} is not a size: digits and b, k, m or g are expected", shorten(text)))
    };
    let number = integer(digits).map_err(|_| fault())?;
    number.checked_mul(1 << shift.unwrap_or(0)).ok_or_else(fault)
}

/// An absolute path of URI characters, with `$1` to `$9` for the groups of the rule's path.
pub(super) fn rewrite_target(text: &str) -> Result<Arc<str>, Fault> {
    uri_characters(text, b"/-._~$:@!&*+,;=%")?;
    absolute(text)?;
    for (at, _) in text.match_indices('$') {
        if !matches!(text.as_bytes().get(at + 1), Some(b'1'..=b'9')) {
            return Err(unsupported(format!(
                "{:?}: of the variables only $1 to $9 are supported",
                shorten(text)
            )));
        }
    }
    Ok(text.into())
}

/// An absolute path without variables.
pub(super) fn path(text: &str) -> Result<Arc<str>, Fault> {
    uri_characters(text, b"/-._~:@!&*+,;=%")?;
    absolute(text)?;
    Ok(text.into())
}

/// `http://` or `https://` with a host, of URI characters without `$`.
pub(super) fn url(text: &str) -> Result<Arc<str>, Fault> {
    uri_characters(text, b"/-._~:@!&*+,;=%?#'()[]")?;
    let scheme = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let Some(rest) = scheme else {
        return Err(invalid(format!(
            "{:?} does not start with http:// or https://",
            shorten(text)
        )));
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    host(&rest[..end])?;
    Ok(text.into())
}

/// A host as it stands in `Host`: a DNS name or an address, with or without port.
pub(super) fn host(text: &str) -> Result<Arc<str>, Fault> {
    let bad = || invalid(format!("{:?} is not a host", shorten(text)));
    let authority: http::uri::Authority = text.parse().map_err(|_| bad())?;
    let port = text.strip_prefix(authority.host()).ok_or_else(bad)?;
    let is_port = |digits: &str| digits.parse::<u16>().is_ok_and(|port| port != 0);
    let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    let named =
        authority.host().bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b));
    (port_fits && named).then(|| text.into()).ok_or_else(bad)
}

pub(super) fn backend_protocol(text: &str) -> Result<BackendProtocol, Fault> {
    match text.trim().to_ascii_uppercase().as_str() {
        "HTTP" => Ok(BackendProtocol::Http),
        "HTTPS" => Ok(BackendProtocol::Https),
        "GRPC" => Ok(BackendProtocol::H2c),
        "GRPCS" => Ok(BackendProtocol::H2),
        "AUTO_HTTP" | "FCGI" => Err(unsupported(format!("{text:?} is not supported"))),
        _ => Err(invalid(format!("{:?} is none of HTTP, HTTPS, GRPC, GRPCS", shorten(text)))),
    }
}

fn absolute(text: &str) -> Result<(), Fault> {
    if text.starts_with('/') {
        return Ok(());
    }
    Err(invalid(format!("{:?} does not start with `/`", shorten(text))))
}

/// ASCII letters, digits, and these.
fn uri_characters(text: &str, others: &[u8]) -> Result<(), Fault> {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || others.contains(b);
    match text.bytes().find(|b| !allowed(b)) {
        None => Ok(()),
        Some(bad) => {
            let bad = char::from(bad).escape_default();
            Err(invalid(format!("{:?} contains `{bad}`", shorten(text))))
        }
    }
}
