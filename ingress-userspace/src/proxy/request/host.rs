//! Which host a request names (H7).

use http::header::HOST;
use http::{HeaderValue, Request, Version};

use crate::proxy::error::Failure;

/// The host as the client sent it: `:authority` or the authority of an absolute target before
/// `Host`. `None` for HTTP/1.0 without Host only.
///
/// # Errors
///
/// 400 for a missing or repeated host, and where HTTP/2 names two that differ.
pub(super) fn named<B>(request: &Request<B>) -> Result<Option<HeaderValue>, Failure> {
    let mut fields = request.headers().get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(Failure::BadRequest("more than one Host"));
    }
    let Some(authority) = request.uri().authority() else {
        if field.is_none() && request.version() > Version::HTTP_10 {
            return Err(Failure::BadRequest("no Host"));
        }
        return Ok(field.cloned());
    };
    let differ =
        field.is_some_and(|f| !f.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()));
    if differ && request.version() >= Version::HTTP_2 {
        return Err(Failure::BadRequest(":authority and Host differ"));
    }
    HeaderValue::from_str(authority.as_str())
        .map(Some)
        .map_err(|_| Failure::BadRequest("malformed authority"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h7_host_comes_from_the_target_before_the_field() {
        let two = Err(Failure::BadRequest("more than one Host"));
        let differ = Err(Failure::BadRequest(":authority and Host differ"));
        for (version, uri, hosts, wanted) in [
            (Version::HTTP_11, "/", &["a.example"][..], Ok(Some("a.example"))),
            (Version::HTTP_11, "/", &["A.example:80"], Ok(Some("A.example:80"))),
            (Version::HTTP_11, "/", &[], Err(Failure::BadRequest("no Host"))),
            (Version::HTTP_11, "/", &["a", "a"], two),
            (Version::HTTP_10, "/", &[], Ok(None)),
            (Version::HTTP_11, "http://b.example/", &["a.example"], Ok(Some("b.example"))),
            (Version::HTTP_2, "https://b.example/", &[], Ok(Some("b.example"))),
            (Version::HTTP_2, "https://b.example/", &["B.example"], Ok(Some("b.example"))),
            (Version::HTTP_2, "https://b.example/", &["a.example"], differ),
            (Version::HTTP_2, "/", &["a.example"], Ok(Some("a.example"))),
        ] {
            let mut request = Request::builder().version(version).uri(uri);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            let request = request.body(()).expect("a request");
            let named = named(&request);
            let text = named.as_ref().map(|h| h.as_ref().map(|v| v.to_str().expect("ASCII")));
            assert_eq!(text.map_err(|e| *e), wanted, "{version:?} {uri} {hosts:?}");
        }
    }
}
