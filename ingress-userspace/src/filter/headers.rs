//! Header fields on their way through the proxy (`semantics.md` 8.5).
//!
//! Fields of one connection stop here in both directions (RFC 9110 7.6.1). Towards the endpoint,
//! whatever says who the client is is replaced by what we know; names that a backend could
//! confuse with ours or with another name (`_`) are dropped.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY: HeaderName = HeaderName::from_static("proxy");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_SCHEME: HeaderName = HeaderName::from_static("x-forwarded-scheme");
const X_ORIGINAL_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-original-forwarded-for");
const X_ORIGINAL_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-original-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_SCHEME: HeaderName = HeaderName::from_static("x-scheme");

/// Fields that end with the connection, whether nominated by `Connection` or not. `Trailer` is not
/// one of them: it belongs to the message (RFC 9110 6.6.2).
const HOP_BY_HOP: [HeaderName; 8] = [
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HTTP2_SETTINGS,
];

/// Longest `X-Request-ID` that is taken over.
const REQUEST_ID: usize = 128;

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    pub peer: &'a HeaderValue,
    /// Port that the client connected to.
    pub port: &'a HeaderValue,
    pub https: bool,
    /// The host as the client sent it; absent in HTTP/1.0 only.
    pub host: Option<&'a HeaderValue>,
}

/// Makes a client's header fields into those for the endpoint. True: the request asks for another
/// protocol (`Upgrade`), and still does.
pub fn to_upstream(headers: &mut HeaderMap, origin: Origin<'_>) -> bool {
    let trailers = has_token(headers, &TE, "trailers");
    let upgrade = upgrade_asked(headers);
    for name in unwanted(headers) {
        headers.remove(name);
    }
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
    forward(headers, origin);
    asked
}

/// Makes an endpoint's header fields into those for the client. `switching`: of a 101.
pub fn from_upstream(headers: &mut HeaderMap, switching: bool) {
    let upgrade = if switching { headers.get(UPGRADE).cloned() } else { None };
    if headers.contains_key(CONNECTION) {
        for name in nominated(headers) {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    if switching {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    if let Some(protocol) = upgrade {
        headers.insert(UPGRADE, protocol);
    }
}

/// What does not go upstream, found in one pass: most requests have little of it.
fn unwanted(headers: &HeaderMap) -> SmallVec<[HeaderName; 8]> {
    let mut found: SmallVec<[HeaderName; 8]> = headers
        .keys()
        .filter(|name| {
            let text = name.as_str();
            !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                || text.starts_with("ssl-client-")
                || claims_origin(name)
                || HOP_BY_HOP.contains(name)
                || [CONNECTION, EXPECT, FORWARDED, PROXY].contains(name)
        })
        .cloned()
        .collect();
    if found.contains(&CONNECTION) {
        found.extend(nominated(headers));
    }
    found
}

/// What a proxy in front of the endpoint would say: nobody but us is that proxy. The two lists that
/// are kept under another name are dealt with in [`forward`].
fn claims_origin(name: &HeaderName) -> bool {
    let text = name.as_str();
    (text.starts_with("x-forwarded-") || text.starts_with("x-original-"))
        && ![X_FORWARDED_FOR, X_FORWARDED_HOST].contains(name)
}

/// The fields named by `Connection`. Those that frame or address the message are not its to name.
fn nominated(headers: &HeaderMap) -> SmallVec<[HeaderName; 4]> {
    tokens(headers, &CONNECTION)
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .filter(|name| ![HOST, CONTENT_LENGTH].contains(name))
        .collect()
}

/// The protocol of a complete request for an upgrade. HTTP/2 in clear text is not one that we
/// relay: what would follow could not be looked at.
fn upgrade_asked(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(UPGRADE)?;
    let clear_http2 = tokens(headers, &UPGRADE).any(|t| t.eq_ignore_ascii_case("h2c"));
    (!clear_http2 && has_token(headers, &CONNECTION, "upgrade")).then(|| protocol.clone())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|t| t.eq_ignore_ascii_case(token))
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|token| token.trim_matches([' ', '\t']))
        .filter(|token| !token.is_empty())
}

fn forward(headers: &mut HeaderMap, origin: Origin<'_>) {
    let scheme = HeaderValue::from_static(if origin.https { "https" } else { "http" });
    keep_original(headers, &X_FORWARDED_FOR, X_ORIGINAL_FORWARDED_FOR);
    keep_original(headers, &X_FORWARDED_HOST, X_ORIGINAL_FORWARDED_HOST);
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
        None => {
            headers.remove(X_FORWARDED_HOST);
        }
    }
    let mut ids = headers.get_all(X_REQUEST_ID).iter();
    let sane = matches!((ids.next(), ids.next()), (Some(id), None) if is_sane(id));
    if !sane {
        headers.insert(X_REQUEST_ID, request_id());
    }
}

/// Moves what the client sent under one name to another, several lines as one list.
fn keep_original(headers: &mut HeaderMap, name: &HeaderName, original: HeaderName) {
    let mut values = headers.get_all(name).iter();
    let joined = match (values.next(), values.next()) {
        (None, _) => {
            headers.remove(original);
            return;
        }
        (Some(only), None) => Some(only.clone()),
        (Some(first), Some(second)) => {
            let lines: Vec<_> =
                [first, second].into_iter().chain(values).map(HeaderValue::as_bytes).collect();
            HeaderValue::from_bytes(&lines.join(&b", "[..])).ok()
        }
    };
    match joined {
        Some(value) => headers.insert(original, value),
        None => headers.remove(original),
    };
}

/// A request id of the client that is safe in logs and headers of any backend.
fn is_sane(id: &HeaderValue) -> bool {
    (1..=REQUEST_ID).contains(&id.len())
        && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(b))
}

/// 32 hex digits.
fn request_id() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut bits = fastrand::u128(..);
    let text: [u8; 32] = std::array::from_fn(|_| {
        let digit = DIGITS[(bits & 15) as usize];
        bits >>= 4;
        digit
    });
    HeaderValue::from_bytes(&text).expect("hex digits are a header value")
}

#[cfg(test)]
mod tests;
