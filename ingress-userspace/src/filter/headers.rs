//! Header fields on their way through the proxy (A3).
//!
//! Fields of one connection stop here in both directions (RFC 9110 7.6.1). Towards the endpoint,
//! whatever says who the client is is replaced by what we know; names that a backend could
//! confuse with ours or with another name (`_`) are dropped.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::request_id::X_REQUEST_ID;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_SCHEME: HeaderName = HeaderName::from_static("x-forwarded-scheme");
const X_ORIGINAL_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-original-forwarded-for");
const X_ORIGINAL_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-original-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_SCHEME: HeaderName = HeaderName::from_static("x-scheme");

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    pub peer: &'a HeaderValue,
    /// Port that the client connected to.
    pub port: &'a HeaderValue,
    pub https: bool,
    /// The host as the client sent it; absent in HTTP/1.0 only.
    pub host: Option<&'a HeaderValue>,
    /// [`request_id::of`](super::request_id::of) the request.
    pub request_id: &'a [u8],
}

/// What one pass over the names of a head finds. Most heads have little of it, and each question to
/// the map that is not asked saves a hash.
#[derive(Debug, Default)]
struct Found {
    /// What goes no further.
    unwanted: SmallVec<[HeaderName; 8]>,
    connection: bool,
    te: bool,
    upgrade: bool,
    forwarded_for: bool,
    forwarded_host: bool,
    request_id: bool,
}

/// Makes a client's header fields into those for the endpoint. True: the request asks for another
/// protocol (`Upgrade`), and still does.
pub fn to_upstream(headers: &mut HeaderMap, origin: Origin<'_>) -> bool {
    let found = Found::in_request(headers);
    let trailers = found.te && has_token(headers, &TE, "trailers");
    let upgrade = if found.upgrade && found.connection { upgrade_asked(headers) } else { None };
    remove(headers, &found);
    if trailers {
        // Ours now: trailers that the endpoint sends are passed on (RFC 9110 10.1.4).
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    let asked = upgrade.is_some();
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
    forward(headers, &found, origin);
    asked
}

/// Makes an endpoint's header fields into those for the client. `switching`: of a 101.
pub fn from_upstream(headers: &mut HeaderMap, switching: bool) {
    let found = Found::in_answer(headers);
    let upgrade = if switching { headers.get(UPGRADE).cloned() } else { None };
    remove(headers, &found);
    if switching {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    if let Some(protocol) = upgrade {
        headers.insert(UPGRADE, protocol);
    }
}

// === impl Found ===

impl Found {
    fn in_request(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for name in headers.keys() {
            let text = name.as_str();
            match text {
                "x-forwarded-for" => found.forwarded_for = true,
                "x-forwarded-host" => found.forwarded_host = true,
                "x-request-id" => found.request_id = true,
                "expect" | "forwarded" | "proxy" => found.unwanted.push(name.clone()),
                _ if found.ends_with_connection(text) || says_who(text) => {
                    found.unwanted.push(name.clone());
                }
                _ => {}
            }
        }
        found
    }

    fn in_answer(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for name in headers.keys() {
            if found.ends_with_connection(name.as_str()) {
                found.unwanted.push(name.clone());
            }
        }
        found
    }

    /// Fields that end with the connection, whether nominated by `Connection` or not. `Trailer` is
    /// not one of them: it belongs to the message (RFC 9110 6.6.2).
    fn ends_with_connection(&mut self, name: &str) -> bool {
        match name {
            "connection" => self.connection = true,
            "te" => self.te = true,
            "upgrade" => self.upgrade = true,
            "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "transfer-encoding"
            | "http2-settings" => {}
            _ => return false,
        }
        true
    }
}

/// Names that a backend could confuse with others, and what only a proxy in front of it would say:
/// nobody but us is that proxy.
fn says_who(name: &str) -> bool {
    !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        || name.starts_with("ssl-client-")
        || name.starts_with("x-forwarded-")
        || name.starts_with("x-original-")
}

fn remove(headers: &mut HeaderMap, found: &Found) {
    if found.connection {
        for name in nominated(headers) {
            headers.remove(name);
        }
    }
    for name in &found.unwanted {
        headers.remove(name);
    }
}

/// The fields named by `Connection`. Those that frame or address the message are not its to name.
fn nominated(headers: &HeaderMap) -> SmallVec<[HeaderName; 4]> {
    tokens(headers, &CONNECTION)
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| ![HOST, CONTENT_LENGTH].contains(name))
        .collect()
}

/// The protocol of a complete request for an upgrade. HTTP/2 in clear text is not one that we
/// relay: what would follow could not be looked at.
fn upgrade_asked(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(UPGRADE)?;
    let clear_http2 = has_token(headers, &UPGRADE, "h2c");
    (!clear_http2 && has_token(headers, &CONNECTION, "upgrade")).then(|| protocol.clone())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|t| t.eq_ignore_ascii_case(token.as_bytes()))
}

/// The members of a list. As bytes: one that is not text must not hide the others.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

fn forward(headers: &mut HeaderMap, found: &Found, origin: Origin<'_>) {
    let scheme = HeaderValue::from_static(if origin.https { "https" } else { "http" });
    if found.forwarded_for {
        keep_original(headers, &X_FORWARDED_FOR, X_ORIGINAL_FORWARDED_FOR);
    }
    if found.forwarded_host {
        keep_original(headers, &X_FORWARDED_HOST, X_ORIGINAL_FORWARDED_HOST);
    }
    headers.insert(X_REAL_IP, origin.peer.clone());
    headers.insert(X_FORWARDED_FOR, origin.peer.clone());
    headers.insert(X_FORWARDED_PORT, origin.port.clone());
    headers.insert(X_FORWARDED_PROTO, scheme.clone());
    headers.insert(X_FORWARDED_SCHEME, scheme.clone());
    headers.insert(X_SCHEME, scheme);
    match origin.host {
        Some(host) => {
            headers.insert(X_FORWARDED_HOST, host.clone());
            headers.insert(HOST, host.clone());
        }
        None if found.forwarded_host => {
            headers.remove(X_FORWARDED_HOST);
        }
        None => {}
    }
    let kept = found.request_id
        && headers.get(X_REQUEST_ID).is_some_and(|id| id.as_bytes() == origin.request_id);
    if !kept && let Ok(id) = HeaderValue::from_bytes(origin.request_id) {
        headers.insert(X_REQUEST_ID, id);
    }
}

/// Copies what the client sent under one name to another, several lines as one list.
fn keep_original(headers: &mut HeaderMap, name: &HeaderName, original: HeaderName) {
    let mut values = headers.get_all(name).iter();
    let joined = match (values.next(), values.next()) {
        (None, _) => None,
        (Some(only), None) => Some(only.clone()),
        (Some(first), Some(second)) => {
            let lines: Vec<_> =
                [first, second].into_iter().chain(values).map(HeaderValue::as_bytes).collect();
            HeaderValue::from_bytes(&lines.join(&b", "[..])).ok()
        }
    };
    if let Some(value) = joined {
        headers.insert(original, value);
    }
}

#[cfg(test)]
mod tests;
