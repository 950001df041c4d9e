//! HTTP/2 towards the clients: hyper's connection over TLS, our own requests.
//!
//! Each stream goes through the same phases, failure table, counters and access log as a request
//! of HTTP/1. What hyper leaves open is closed here: idle connections, clients that open streams
//! and do not take the answer, bodies without end or limit. Floods end in hyper and h2: rapid
//! resets and streams that break the protocol are counted per connection, header blocks are bounded,
//! malformed requests are reset.
//!
//! Clear-text HTTP/2 and CONNECT, plain or extended, are not served.

mod body;
mod connection;
mod record;
mod socket;
mod streams;
mod tasks;

use std::rc::Rc;

use http::header::{CONTENT_LENGTH, COOKIE, SERVER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;

use self::body::Reported;
use self::record::Record;
use self::streams::Stream;
use self::tasks::Tasks;
use super::body::{ReplyBody, RequestBody};
use super::request::{Connection, Reply, serve};
use super::worker::WorkerState;
use super::{Failure, Settings, respond};

pub use body::Body;
pub use connection::serve_connection;

/// What a client may send before we take it, for one stream and for all of a connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// What waits for a client that is slow, for each stream.
const SEND_BUFFER: usize = 64 << 10;
/// Streams that the client may reset before we have looked at them (CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Streams that we may have to reset for what the client did.
const OWN_RESETS: usize = 256;
/// A header list is counted here up to this many times the limit, so that its 431 is one of our
/// answers; h2 refuses longer ones itself, unread and unlogged.
const COUNTED_HEADERS: u64 = 4;
/// What each field counts besides its bytes (RFC 9113 6.5.2).
const FIELD: usize = 32;

fn builder(settings: &Settings, state: &WorkerState) -> Builder<Tasks> {
    let headers = settings.limits.request_headers.saturating_mul(COUNTED_HEADERS);
    let headers = u32::try_from(headers).unwrap_or(u32::MAX);
    let mut builder = Builder::new(Tasks::new(state.counters.clone()));
    builder
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_concurrent_streams(settings.limits.http2_streams)
        .max_header_list_size(headers)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(OWN_RESETS);
    builder
}

async fn exchange(
    state: Rc<WorkerState>,
    connection: Rc<Connection>,
    stream: Stream,
    request: Request<Incoming>,
) -> Response<Reported> {
    let settings = state.context.settings();
    let mut record = Record::begin(state.clone(), connection.clone(), &request);
    let head_only = request.method() == Method::HEAD;
    // A 2xx to CONNECT would open a tunnel, and failures of gRPC are 200.
    let grpc = request.method() != Method::CONNECT && respond::is_grpc(request.headers());
    let reply = match accept(request, &settings, &record) {
        Ok(request) => {
            Box::pin(serve(&state.context, &connection, request, &mut record.outcome)).await
        }
        Err(failure) => Reply::Failed(failure),
    };
    let response = match reply {
        Reply::Response(response) => response,
        Reply::Failed(failure) => {
            record.failed(failure);
            let mut response = respond::failure(failure, grpc);
            record.outcome.complete(Some(failure), response.headers_mut());
            response
        }
        // No request of HTTP/2 asks for an upgrade.
        Reply::Switch { .. } => {
            let failure = Failure::BadResponse("101 on HTTP/2");
            record.failed(failure);
            respond::failure(failure, grpc)
        }
    };
    let (mut head, body) = response.into_parts();
    head.headers.entry(SERVER).or_insert(HeaderValue::from_static("genkan"));
    record.answered(head.status);
    // hyper sends what it is given; one of our own answers has a body.
    let body = if head_only { ReplyBody::Empty } else { body };
    Response::from_parts(head, Reported::new(body, record, stream))
}

/// The limits of a request head, and its body as the phases take it.
fn accept(
    request: Request<Incoming>,
    settings: &Settings,
    record: &Record,
) -> Result<Request<RequestBody>, Failure> {
    let limits = &settings.limits;
    let (mut head, incoming) = request.into_parts();
    // Browsers send each cookie as a field of its own.
    join_cookies(&mut head.headers);
    let uri = &head.uri;
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target as u64 > limits.request_line {
        return Err(Failure::UriTooLong);
    }
    if head.headers.len() > limits.request_header_count
        || list_size(&head.headers) > limits.request_headers
    {
        return Err(Failure::HeadersTooLarge);
    }
    one_length(&mut head.headers, incoming.size_hint().exact());
    let body = if incoming.is_end_stream() {
        RequestBody::Empty
    } else {
        RequestBody::Http2(Body::new(incoming, settings, record.received()))
    };
    Ok(Request::from_parts(head, body))
}

/// h2 takes a length with leading zeros, without digits, or twice when it is the same; HTTP/1
/// behind us may not.
fn one_length(headers: &mut HeaderMap, length: Option<u64>) {
    if headers.remove(CONTENT_LENGTH).is_some()
        && let Some(length) = length
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Size of the fields as the protocol counts it, without those of the request line.
fn list_size(headers: &HeaderMap) -> u64 {
    let field =
        |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + FIELD;
    headers.iter().map(field).sum::<usize>() as u64
}

/// HTTP/2 may split a cookie field for compression; no other protocol may see it split
/// (RFC 9113 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    if let (Some(first), Some(second)) = (cookies.next(), cookies.next()) {
        let pieces: Vec<_> =
            [first, second].into_iter().chain(cookies).map(HeaderValue::as_bytes).collect();
        if let Ok(joined) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
            headers.insert(COOKIE, joined);
        }
    }
}

#[cfg(test)]
mod tests;
