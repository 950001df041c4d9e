//! When a request may be sent a second time.
//!
//! Nothing of a request has reached an endpoint while its connection is being made, so a failed
//! connect is tried elsewhere, up to [`TRIES`] endpoints. A kept-alive connection may die at the
//! moment it is used: then a request that changes nothing when repeated, and whose body was not
//! needed, goes out once more on a new connection. Nothing else is ever repeated.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri};

/// Endpoints tried for one request.
pub(super) const TRIES: u8 = 3;

/// Header fields that are read back; more than any accepted request has.
const FIELDS: usize = 256;

/// RFC 9110 9.2.2.
pub(super) fn idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS | Method::TRACE
    )
}

/// The request whose head was written as `head`, with an empty body.
pub(super) fn read_back<B: Default>(head: Vec<u8>) -> Option<Request<B>> {
    let head = Bytes::from(head);
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    if !parsed.parse(&head).is_ok_and(|status| status.is_complete()) {
        return None;
    }
    let mut request = Request::new(B::default());
    *request.method_mut() = Method::from_bytes(parsed.method?.as_bytes()).ok()?;
    *request.uri_mut() = parsed.path?.parse::<Uri>().ok()?;
    request.headers_mut().reserve(parsed.headers.len());
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value)).ok()?;
        request.headers_mut().append(name, value);
    }
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_idempotent_methods_are_repeated() {
        for (method, repeated) in [
            (Method::GET, true),
            (Method::HEAD, true),
            (Method::PUT, true),
            (Method::DELETE, true),
            (Method::POST, false),
            (Method::PATCH, false),
            (Method::CONNECT, false),
        ] {
            assert_eq!(idempotent(&method), repeated, "{method}");
        }
    }

    #[test]
    fn a_written_head_is_read_back_whole() {
        let head = b"GET /a?b=c HTTP/1.1\r\nhost: x.example\r\nx-many: 1\r\nx-many: 2\r\n\r\n";
        let request: Request<()> = read_back(head.to_vec()).expect("a whole head");
        assert_eq!(request.method(), Method::GET);
        assert_eq!(request.uri(), "/a?b=c");
        assert_eq!(request.headers()["host"], "x.example");
        assert_eq!(request.headers().get_all("x-many").iter().count(), 2);
        assert!(read_back::<()>(head[..20].to_vec()).is_none());
    }
}
