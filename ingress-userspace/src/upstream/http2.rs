//! HTTP/2 connections to an endpoint, each shared by many requests.
//!
//! hyper's connection runs as a task of the worker. An endpoint gets another connection only when
//! the streams that it allows on the others are taken. A connection that was told to go away takes
//! no new request and ends with its last stream.

use std::cell::Cell;
use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use http::header::{CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::Instant;

use super::counters::Opened;
use super::http1::Lost;
use super::io::Io;
use super::local::LocalExecutor;
use super::meter::{Meter, SendBody, Watch};
use super::pool::Outgoing;
use super::retry;
use super::{Error, Policy};

/// What one stream may have unread: enough for 10 Gbit/s at 0.2 ms.
const STREAM_WINDOW: u32 = 256 << 10;
/// No bound of its own: streams of clients that do not read must not use up what the others need.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

#[derive(Debug)]
pub(super) struct Http2<B: Outgoing> {
    sender: http2::SendRequest<SendBody<B>>,
    streams: Rc<Cell<usize>>,
    /// Streams that the endpoint allows.
    limit: Rc<Cell<usize>>,
    /// A request ran out of time on it and nothing came: it may be dead without knowing.
    doubtful: Rc<Cell<bool>>,
    requests: Cell<u64>,
    opened: Instant,
    used: Cell<Instant>,
}

/// One request's place on a connection.
#[derive(Debug)]
pub(super) struct Stream<B: Outgoing> {
    sender: http2::SendRequest<SendBody<B>>,
    streams: Rc<Cell<usize>>,
    doubtful: Rc<Cell<bool>>,
    reused: bool,
    pub(super) meter: Rc<Meter>,
    pub(super) watch: Watch,
}

// === impl Http2 ===

impl<B: Outgoing> Http2<B> {
    pub(super) async fn open(
        io: Io,
        policy: &Policy,
        now: Instant,
        counted: Opened,
    ) -> Result<Self, Error> {
        let headers = u32::try_from(policy.limits.upstream_headers).unwrap_or(u32::MAX);
        let (sender, connection) = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(headers)
            .handshake(TokioIo::new(io))
            .await?;
        let limit = Rc::new(Cell::new(connection.current_max_send_streams()));
        let allowed = limit.clone();
        tokio::task::spawn_local(async move {
            let (mut connection, _counted) = (connection, counted);
            let ended = poll_fn(|cx| {
                let polled = Pin::new(&mut connection).poll(cx);
                allowed.set(connection.current_max_send_streams());
                polled
            });
            // Each stream learns of the end by itself.
            if let Err(error) = ended.await {
                tracing::debug!(target: "genkan::upstream", %error, "HTTP/2 connection ended");
            }
        });
        Ok(Self {
            sender,
            streams: Rc::new(Cell::new(0)),
            limit,
            doubtful: Rc::default(),
            requests: Cell::new(0),
            opened: now,
            used: Cell::new(now),
        })
    }

    /// Whether another stream fits now.
    pub(super) fn has_room(&self) -> bool {
        !self.sender.is_closed() && !self.doubtful.get() && self.streams.get() < self.limit.get()
    }

    /// Whether the connection may stay in the pool.
    pub(super) fn keeps(&self, policy: &Policy, now: Instant) -> bool {
        let idle = now.duration_since(self.used.get());
        !self.sender.is_closed()
            && !self.doubtful.get()
            && self.requests.get() < policy.limits.upstream_requests
            && now.duration_since(self.opened) < policy.timeouts.upstream_lifetime
            && (self.streams.get() > 0 || idle < policy.timeouts.upstream_idle)
    }

    pub(super) fn stream(&self, now: Instant) -> Stream<B> {
        let reused = self.requests.get() > 0;
        self.requests.set(self.requests.get() + 1);
        self.streams.set(self.streams.get() + 1);
        self.used.set(now);
        Stream {
            sender: self.sender.clone(),
            streams: self.streams.clone(),
            doubtful: self.doubtful.clone(),
            reused,
            meter: Rc::new(Meter::default()),
            watch: Watch::default(),
        }
    }
}

// === impl Stream ===

impl<B: Outgoing> Stream<B> {
    /// Sends the request, given in the form of HTTP/1, and waits for the head of the answer.
    pub(super) async fn send(
        &mut self,
        mut request: Request<B>,
        tls: bool,
        policy: &Policy,
    ) -> Result<Response<Incoming>, Lost<B>> {
        if translate(&mut request, tls).is_none() {
            return Err(Lost::finally(Error::BadResponse("no HTTP/2 form of the request")));
        }
        let repeatable =
            self.reused && request.body().is_end_stream() && retry::idempotent(request.method());
        let copy = repeatable.then(|| Box::new(copy_of(&request)));
        self.meter.begin(!request.body().is_end_stream(), false);

        let request = request.map(|body| SendBody::new(body, self.meter.clone()));
        let mut answer = pin!(self.sender.try_send_request(request));
        let (meter, watch) = (&self.meter, &mut self.watch);
        let answered = poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer.map_err(|mut failed| {
                    let lost = failed.error().source().and_then(|s| s.downcast_ref::<h2::Error>());
                    let unserved = lost.is_some_and(unserved);
                    let unsent =
                        failed.take_message().map(|r| Box::new(r.map(SendBody::into_inner)));
                    (unsent, unserved, meter.explain(failed.into_error()))
                }));
            }
            // Dropping the answer resets the stream.
            watch.poll_expired(meter, policy, cx).map(|error| Err((None, false, error)))
        })
        .await;
        answered.map_err(|(unsent, unserved, error)| {
            if matches!(error, Error::ReadTimeout | Error::SendTimeout) {
                self.doubtful.set(true);
            }
            let mut again = unsent.or_else(|| copy.filter(|_| unserved));
            if let Some(request) = &mut again {
                restore(request);
            }
            Lost { error, again }
        })
    }
}

impl<B: Outgoing> Drop for Stream<B> {
    fn drop(&mut self) {
        self.streams.set(self.streams.get() - 1);
    }
}

/// Whether the endpoint says that it has not looked at the request (RFC 9113 8.7), or has closed
/// the connection under it.
fn unserved(error: &h2::Error) -> bool {
    error.is_io() || error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM)
}

fn copy_of<B: Default>(request: &Request<B>) -> Request<B> {
    let mut copy = Request::new(B::default());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// HTTP/1 to HTTP/2: `Host` becomes `:authority`, connection fields go. A request for an upgrade
/// becomes a plain one.
fn translate<B>(request: &mut Request<B>, tls: bool) -> Option<()> {
    let headers = request.headers_mut();
    headers.remove(CONNECTION);
    headers.remove(UPGRADE);
    headers.remove(TRANSFER_ENCODING);
    let authority = match headers.remove(HOST) {
        Some(host) => Authority::try_from(host.as_bytes()).ok()?,
        // HTTP/1.0 without Host: `:authority` must not be empty (RFC 9113 8.3.1).
        None => Authority::from_static("localhost"),
    };
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(authority);
    parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    *request.version_mut() = Version::HTTP_2;
    Some(())
}

/// The other way round, for another attempt.
fn restore<B>(request: &mut Request<B>) {
    let parts = std::mem::take(request.uri_mut()).into_parts();
    let host = parts.authority.and_then(|a| HeaderValue::from_str(a.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host);
    }
    *request.uri_mut() = parts.path_and_query.map_or_else(Uri::default, Uri::from);
}
