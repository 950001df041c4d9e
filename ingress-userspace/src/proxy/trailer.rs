//! Which trailer fields of a request go upstream, the same for every downstream protocol.
//!
//! Pure. RFC 9110 6.5.1: no field that is needed before the content is processed. Fields that say
//! who the client is would get round what `filter` replaced in the head; they are left out.

use http::{HeaderMap, HeaderName};

use super::Failure;

/// Those of a complete trailer section that are passed on; `most` fields may have been sent.
pub(super) fn keep(mut trailers: HeaderMap, most: usize) -> Result<HeaderMap, Failure> {
    if trailers.len() > most {
        return Err(Failure::HeadersTooLarge);
    }
    let mut unwanted = Vec::new();
    for name in trailers.keys() {
        if !is_kept(name)? {
            unwanted.push(name.clone());
        }
    }
    for name in unwanted {
        trailers.remove(name);
    }
    Ok(trailers)
}

/// Whether a field is passed on. One that frames or routes a message is refused.
pub(super) fn is_kept(name: &HeaderName) -> Result<bool, Failure> {
    match name.as_str() {
        "content-length" | "transfer-encoding" | "host" | "connection" | "upgrade" | "te"
        | "trailer" | "keep-alive" | "proxy-connection" => {
            Err(Failure::BadRequest("trailer field about framing"))
        }
        "authorization"
        | "cookie"
        | "set-cookie"
        | "expect"
        | "range"
        | "max-forwards"
        | "cache-control"
        | "pragma"
        | "content-encoding"
        | "content-type"
        | "content-range"
        | "if-match"
        | "if-none-match"
        | "if-modified-since"
        | "if-unmodified-since"
        | "if-range"
        | "age"
        | "date"
        | "expires"
        | "location"
        | "retry-after"
        | "vary"
        | "warning"
        | "www-authenticate"
        | "forwarded"
        | "x-real-ip"
        | "x-request-id"
        | "x-scheme"
        | "via" => Ok(false),
        name if name.starts_with("x-forwarded-")
            || name.starts_with("x-original-")
            || name.starts_with("proxy-")
            || name.starts_with("ssl-client-")
            || name.contains('_') =>
        {
            Ok(false)
        }
        _ => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn trailers(names: &[&'static str]) -> HeaderMap {
        let field =
            |name: &&'static str| (HeaderName::from_static(name), HeaderValue::from_static("x"));
        names.iter().map(field).collect()
    }

    #[test]
    fn fields_that_say_who_the_client_is_are_left_out() {
        let sent =
            ["checksum", "x-forwarded-for", "x-real-ip", "ssl-client-verify", "cookie", "a_b"];
        let kept = keep(trailers(&sent), 100).unwrap();
        assert_eq!(kept, trailers(&["checksum"]));
    }

    #[test]
    fn fields_about_framing_and_too_many_are_refused() {
        for name in ["content-length", "transfer-encoding", "host", "connection"] {
            let refused = keep(trailers(&["checksum", name]), 100);
            assert!(matches!(refused, Err(Failure::BadRequest(_))), "{name}");
        }
        let refused = keep(trailers(&["a", "b", "c"]), 2);
        assert!(matches!(refused, Err(Failure::HeadersTooLarge)));
    }
}
