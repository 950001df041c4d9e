//! From a [`Failure`] to the answer that the client sees.
//!
//! The body names the status and nothing else: no version, no reason that helps an attacker. A
//! gRPC client gets a trailers-only answer, because it does not look at HTTP statuses.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::body::ReplyBody;
use super::error::Failure;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether a request with these header fields is a gRPC call.
pub fn is_grpc(request: &HeaderMap) -> bool {
    request.get(CONTENT_TYPE).is_some_and(|value| {
        let media_type = value.as_bytes();
        media_type
            .strip_prefix(b"application/grpc")
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
    })
}

/// The answer for a failure. `grpc`: the request was a gRPC call ([`is_grpc`]).
pub fn failure(failure: Failure, grpc: bool) -> Response<ReplyBody> {
    let status = failure.status();
    if grpc { trailers_only(status) } else { plain(status) }
}

fn plain(status: StatusCode) -> Response<ReplyBody> {
    let reason = status.canonical_reason().unwrap_or("Error");
    let text = format!("{} {reason}\n", status.as_u16());
    let mut response = Response::new(ReplyBody::Empty);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    *response.body_mut() = ReplyBody::Full(Bytes::from(text));
    response
}

/// gRPC over HTTP/2, "Responses": a status without messages is one header block.
fn trailers_only(status: StatusCode) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::Empty);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from(grpc_status(status)));
    let reason = status.canonical_reason().unwrap_or("Error");
    headers.insert(GRPC_MESSAGE, HeaderValue::from_static(reason));
    response
}

/// The table of <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>, and
/// RESOURCE_EXHAUSTED for messages beyond our limits.
fn grpc_status(status: StatusCode) -> u16 {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => 13,
        StatusCode::UNAUTHORIZED => 16,
        StatusCode::FORBIDDEN => 7,
        StatusCode::NOT_FOUND => 12,
        StatusCode::PAYLOAD_TOO_LARGE => 8,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => 14,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_status_and_nothing_else() {
        let response = failure(Failure::BadRequest("secret detail"), false);
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()[CONTENT_LENGTH], "16");
        assert!(matches!(response.body(), ReplyBody::Full(text) if text == "400 Bad Request\n"));
    }

    #[test]
    fn grpc_calls_get_a_status_in_the_head() {
        let response = failure(Failure::NoEndpoint("none ready"), true);
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], "14");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/grpc");
    }

    #[test]
    fn knows_grpc_by_its_media_type() {
        for (value, grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc; charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(is_grpc(&headers), grpc, "{value}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
