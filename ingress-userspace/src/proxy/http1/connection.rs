//! The busy connection: requests one by one, until nothing more is there to read.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use http_body::Body as _;
use tokio::time::Instant;

use super::client::Client;
use super::deadline::Deadline;
use super::head::{self, Framing, Head};
use super::inbound::{Body, Shared};
use super::outbound::{Asked, Outbound};
use super::{Io, Service};
use crate::proxy::access_log::{Entry, Kept, Wants};
use crate::proxy::body::{ReplyBody, RequestBody};
use crate::proxy::request::{Connection, Outcome, Reply};
use crate::proxy::worker::WorkerState;
use crate::proxy::{Failure, Settings, respond, upgrade};
use crate::upstream::Tunnel;

/// Rest of a request body that is read to keep the connection, when the answer came first.
const DRAINED: u64 = 64 << 10;
/// How long we wait for that rest, and for the client to close after an answer that ends the
/// connection. Closing at once would make the kernel send a reset, which can destroy the answer
/// before the client reads it (RFC 9112 9.6).
const LINGER: Duration = Duration::from_secs(2);

/// One busy period of a connection.
pub(super) struct Active<'a, T, S> {
    pub shared: &'a Shared<T>,
    pub state: &'a WorkerState,
    pub settings: &'a Settings,
    pub connection: &'a Connection,
    pub service: &'a S,
    pub deadline: &'a mut Deadline,
    /// Requests of the connection so far.
    pub requests: &'a mut u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum After {
    Idle,
    Close,
}

/// What one exchange leaves behind.
enum Next {
    Request,
    Close,
    /// The client may still be sending: give it time to read the answer.
    Linger,
}

/// What is left of a request when it has been handed to the service.
struct Asker {
    started: Instant,
    version: Version,
    line: Option<(Method, Uri)>,
    host: Option<HeaderValue>,
    kept: Kept,
    keep_alive: bool,
    grpc: bool,
}

// === impl Active ===

impl<T: Io + 'static, S: Service> Active<'_, T, S> {
    pub(super) async fn run(mut self) -> After {
        loop {
            match self.exchange().await {
                Next::Request if self.shared.borrow().has_request() => {}
                Next::Request => return After::Idle,
                Next::Close => return After::Close,
                Next::Linger => {
                    self.linger().await;
                    return After::Close;
                }
            }
        }
    }

    async fn exchange(&mut self) -> Next {
        let head = match self.head().await {
            Ok(Some(head)) => head,
            Ok(None) => return Next::Close,
            Err(failure) => {
                self.shared.borrow_mut().begin_exchange(Framing::Length(0), false);
                let reply = Reply::Failed(failure);
                let outcome = Outcome::begin(&HeaderMap::new());
                return self.finish(Asker::unknown(), reply, outcome).await;
            }
        };
        *self.requests += 1;
        let mut asker = Asker::of(&head, self.state.wants());
        asker.keep_alive &= *self.requests < self.settings.limits.keep_alive_requests;
        let mut outcome = Outcome::begin(&head.headers);
        let reply = self.serve(head, &mut outcome).await;
        self.finish(asker, reply, outcome).await
    }

    /// Reads a head. The timeout counts from here, where its first bytes have come.
    async fn head(&mut self) -> Result<Option<Head>, Failure> {
        let mut reader = head::Reader::default();
        let mut until = None;
        let timeout = self.settings.timeouts.client_header;
        poll_fn(|cx| {
            if let Poll::Ready(head) = self.shared.borrow_mut().poll_head(cx, &mut reader) {
                return Poll::Ready(head);
            }
            let until = *until.get_or_insert_with(|| Instant::now() + timeout);
            ready!(self.deadline.poll(cx, until));
            Poll::Ready(Err(Failure::HeaderTimeout))
        })
        .await
    }

    /// Hands the request over and waits for what becomes of it, or for the client to leave.
    async fn serve(&mut self, head: Head, outcome: &mut Outcome) -> Reply {
        let exchange = self.shared.borrow_mut().begin_exchange(head.framing, head.expects_continue);
        let body = match head.framing {
            Framing::Length(0) => RequestBody::Empty,
            _ => RequestBody::Http1(Body::new(self.shared, exchange)),
        };
        let mut request = Request::new(body);
        *request.method_mut() = head.method;
        *request.uri_mut() = head.uri;
        *request.version_mut() = head.version;
        *request.headers_mut() = head.headers;

        let mut served = pin!(self.service.serve(request, outcome));
        poll_fn(|cx| {
            if let Poll::Ready(reply) = served.as_mut().poll(cx) {
                return Poll::Ready(reply);
            }
            let mut inbound = self.shared.borrow_mut();
            if inbound.poll_closed(cx).is_ready() {
                return Poll::Ready(Reply::Failed(Failure::ClientGone));
            }
            inbound.body_failure().map_or(Poll::Pending, |f| Poll::Ready(Reply::Failed(f)))
        })
        .await
    }

    /// Sends the answer, then counts and logs the request.
    async fn finish(&mut self, asker: Asker, reply: Reply, outcome: Outcome) -> Next {
        let mut out = Outbound::new(self.state.buffers.take());
        let (mut told, (mut next, mut failure)) = match reply {
            Reply::Response(response) => {
                let status = response.status().as_u16();
                (Some(status), self.answer(&asker, &mut out, response, None).await)
            }
            Reply::Failed(failure) => {
                let failure = self.shared.borrow().body_failure().unwrap_or(failure);
                (None, self.refuse(&asker, &mut out, failure, &outcome).await)
            }
            Reply::Switch { head, upstream, idle } => {
                let status = head.status().as_u16();
                let idle = idle.unwrap_or(self.settings.timeouts.upstream_read);
                let (bytes, failure) = self.switch(&mut out, &head, upstream, idle).await;
                self.log(&asker, status, bytes, &outcome, failure);
                return Next::Close;
            }
        };
        if told.is_some()
            && out.is_unsent()
            && let Some(reason) = failure
        {
            // The answer failed before any of it was sent.
            told = None;
            (next, failure) = self.refuse(&asker, &mut out, reason, &outcome).await;
        }
        let status = told.or_else(|| failure.map(|f| f.status().as_u16())).unwrap_or_default();
        let bytes = (self.shared.borrow().received(), out.sent());
        self.log(&asker, status, bytes, &outcome, failure);
        self.state.buffers.give(out.into_buffer());
        next
    }

    /// One of our own answers.
    async fn refuse(
        &mut self,
        asker: &Asker,
        out: &mut Outbound,
        failure: Failure,
        outcome: &Outcome,
    ) -> (Next, Option<Failure>) {
        if failure == Failure::ClientGone {
            return (Next::Close, Some(failure));
        }
        let mut response = respond::failure(failure, asker.grpc);
        outcome.complete(Some(failure), response.headers_mut());
        let (next, lost) = self.answer(asker, out, response, Some(failure)).await;
        (next, lost.or(Some(failure)))
    }

    async fn answer(
        &mut self,
        asker: &Asker,
        out: &mut Outbound,
        response: Response<ReplyBody>,
        failure: Option<Failure>,
    ) -> (Next, Option<Failure>) {
        let (head, body) = response.into_parts();
        let asked = Asked {
            version: asker.version,
            head_only: asker.is_head(),
            keep_alive: asker.keep_alive
                && !failure.is_some_and(Failure::closes)
                && !self.is_last()
                && self.shared.borrow().body_ends_within(DRAINED),
        };
        let keep_alive = out.head(&head, body.size_hint().exact(), asked, &self.state.clock);
        drop(head);
        self.shared.borrow_mut().cancel_interim();
        if let Err(failure) = self.send(out, body).await {
            return (Next::Close, Some(failure));
        }
        self.shared.borrow_mut().end_exchange();
        let next = if keep_alive {
            if self.drain_body().await { Next::Request } else { Next::Linger }
        } else if failure.is_some_and(Failure::closes) || !self.shared.borrow().is_clean() {
            Next::Linger
        } else {
            Next::Close
        };
        (next, None)
    }

    /// While the worker drains: whether no request has come behind this one. Those that a client has
    /// sent already are answered.
    fn is_last(&self) -> bool {
        self.state.context.drain.is_cancelled() && !self.shared.borrow().has_request()
    }

    /// Writes the encoded head and the body, piece by piece as the upstream gives it and the
    /// client takes it.
    async fn send(&mut self, out: &mut Outbound, body: ReplyBody) -> Result<(), Failure> {
        let mut body = pin!(body);
        let mut ended = out.is_ended();
        let mut patient = true;
        let mut stall = Stall::new(self.settings.timeouts.client_send);
        poll_fn(|cx| {
            loop {
                while !ended && out.has_room() {
                    match body.as_mut().poll_frame(cx) {
                        Poll::Ready(Some(frame)) => match frame?.into_data() {
                            Ok(data) => {
                                out.push(data)?;
                                ended = out.is_ended();
                            }
                            Err(frame) => {
                                out.finish(frame.trailers_ref())?;
                                ended = true;
                            }
                        },
                        Poll::Ready(None) => {
                            out.finish(None)?;
                            ended = true;
                        }
                        Poll::Pending => break,
                    }
                }
                let mut inbound = self.shared.borrow_mut();
                if out.has_bytes() {
                    // Often the first piece of the body is a moment behind the head: let the task
                    // that reads it run once, and save a write.
                    if !ended && out.is_unsent() && out.has_room() && std::mem::take(&mut patient) {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    let mut poll = inbound.poll_interim(cx);
                    if let Poll::Ready(Ok(())) = poll {
                        poll = out.poll_write(inbound.io(), cx);
                    }
                    match poll {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(_)) => return Poll::Ready(Err(Failure::ClientGone)),
                        Poll::Pending => {
                            ready!(stall.poll(cx, self.deadline, out.written()));
                            return Poll::Ready(Err(Failure::ClientGone));
                        }
                    }
                    continue;
                }
                match inbound.io().poll_flush(cx) {
                    Poll::Ready(Ok(())) if ended => return Poll::Ready(Ok(())),
                    Poll::Ready(Ok(())) => {
                        if inbound.poll_closed(cx).is_ready() {
                            return Poll::Ready(Err(Failure::ClientGone));
                        }
                        return Poll::Pending;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Failure::ClientGone)),
                    Poll::Pending => {
                        ready!(stall.poll(cx, self.deadline, out.written()));
                        return Poll::Ready(Err(Failure::ClientGone));
                    }
                }
            }
        })
        .await
    }

    /// Reads the short rest of a body that nobody wanted; false = it did not come.
    async fn drain_body(&mut self) -> bool {
        if self.shared.borrow().body_is_done() {
            return true;
        }
        let until = Instant::now() + LINGER;
        poll_fn(|cx| {
            loop {
                match self.shared.borrow_mut().poll_body(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                    Poll::Ready(None) => return Poll::Ready(true),
                    Poll::Pending => return self.deadline.poll(cx, until).map(|()| false),
                }
            }
        })
        .await
    }

    /// Relays the head of the new protocol, then bytes both ways. Returns the bytes of both.
    async fn switch(
        &mut self,
        out: &mut Outbound,
        head: &Response<()>,
        upstream: Tunnel<RequestBody>,
        idle: Duration,
    ) -> ((u64, u64), Option<Failure>) {
        out.switching_head(head, &self.state.clock);
        self.shared.borrow_mut().cancel_interim();
        if let Err(failure) = self.send(out, ReplyBody::Empty).await {
            return ((0, 0), Some(failure));
        }
        self.shared.borrow_mut().end_exchange();
        let client = Client::new(self.shared);
        (upgrade::relay(client, upstream, idle).await, None)
    }

    async fn linger(&mut self) {
        let until = Instant::now() + LINGER;
        let mut shut = false;
        poll_fn(|cx| {
            let mut inbound = self.shared.borrow_mut();
            if !shut {
                shut = inbound.poll_shutdown(cx).is_ready();
            }
            if shut && inbound.poll_discard(cx).is_ready() {
                return Poll::Ready(());
            }
            self.deadline.poll(cx, until)
        })
        .await;
    }

    fn log(
        &self,
        asker: &Asker,
        status: u16,
        (received, sent): (u64, u64),
        outcome: &Outcome,
        failure: Option<Failure>,
    ) {
        self.state.finished(&Entry {
            connection: self.connection,
            version: asker.version,
            method: asker.line.as_ref().map(|(method, _)| method),
            uri: asker.line.as_ref().map(|(_, uri)| uri),
            host: asker.host.as_ref(),
            referer: asker.kept.referer.as_ref(),
            user_agent: asker.kept.user_agent.as_ref(),
            status,
            received,
            sent,
            duration: asker.started.elapsed(),
            outcome,
            failure,
        });
    }
}

// === impl Asker ===

impl Asker {
    fn of(head: &Head, wants: Wants) -> Self {
        Self {
            started: Instant::now(),
            version: head.version,
            line: Some((head.method.clone(), head.uri.clone())),
            host: head.headers.get(HOST).cloned(),
            kept: Kept::of(&head.headers, wants),
            keep_alive: head.keep_alive,
            grpc: respond::is_grpc(&head.headers),
        }
    }

    /// A client whose request could not be read.
    fn unknown() -> Self {
        Self {
            started: Instant::now(),
            version: Version::HTTP_11,
            line: None,
            host: None,
            kept: Kept::default(),
            keep_alive: false,
            grpc: false,
        }
    }

    fn is_head(&self) -> bool {
        self.line.as_ref().is_some_and(|(method, _)| *method == Method::HEAD)
    }
}

/// Timeout between two writes that a slow client takes.
struct Stall {
    timeout: Duration,
    written: u64,
    until: Option<Instant>,
}

// === impl Stall ===

impl Stall {
    fn new(timeout: Duration) -> Self {
        Self { timeout, written: 0, until: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>, deadline: &mut Deadline, written: u64) -> Poll<()> {
        if self.until.is_none() || written != self.written {
            self.written = written;
            self.until = Some(Instant::now() + self.timeout);
        }
        self.until.map_or(Poll::Pending, |until| deadline.poll(cx, until))
    }
}
