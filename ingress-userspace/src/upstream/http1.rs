//! An HTTP/1.1 connection to an endpoint, driven by whoever waits for it.
//!
//! hyper's connection future is polled in place, by the request that uses the connection: no task,
//! no wake-up through a queue. Between requests nobody polls it; [`Http1::usable`] looks once
//! before it is used again, and finds the end of a connection that the endpoint has closed.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::body::Visit;
use super::counters::Opened;
use super::io::{Io, Tunnel};
use super::meter::{Meter, Metered, SendBody, Watch};
use super::pool::Outgoing;
use super::retry;
use super::{Error, Policy};

#[derive(Debug)]
pub(super) struct Http1<B: Outgoing> {
    sender: http1::SendRequest<SendBody<B>>,
    connection: http1::Connection<TokioIo<Metered>, SendBody<B>>,
    /// hyper's connection future has ended; it must not be polled again.
    ended: bool,
    meter: Rc<Meter>,
    watch: Watch,
    /// Requests sent so far.
    pub(super) requests: u64,
    pub(super) opened: Instant,
    counted: Opened,
    /// End of the last request.
    pub(super) used: Instant,
}

/// A request that got no answer.
#[derive(Debug)]
pub(super) struct Lost<B> {
    pub(super) error: Error,
    /// The request, when it may be sent again.
    pub(super) again: Option<Box<Request<B>>>,
}

// === impl Http1 ===

impl<B: Outgoing> Http1<B> {
    pub(super) async fn open(
        io: Io,
        policy: &Policy,
        now: Instant,
        counted: Opened,
    ) -> Result<Box<Self>, Error> {
        let meter = Rc::new(Meter::default());
        let io = TokioIo::new(Metered { io, meter: meter.clone() });
        let headers = usize::try_from(policy.limits.upstream_headers).unwrap_or(usize::MAX);
        let (sender, connection) =
            http1::Builder::new().max_header_size(headers).handshake(io).await?;
        Ok(Box::new(Self {
            sender,
            connection,
            ended: false,
            meter,
            watch: Watch::default(),
            requests: 0,
            opened: now,
            counted,
            used: now,
        }))
    }

    /// Whether a request can be sent now. Notices a connection that was closed while idle, as far
    /// as the kernel has told.
    pub(super) fn usable(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop())).is_pending() && self.sender.is_ready()
    }

    /// Sends the request and waits for the head of the answer.
    pub(super) async fn send(
        &mut self,
        request: Request<B>,
        policy: &Policy,
    ) -> Result<Response<Incoming>, Lost<B>> {
        let reused = self.requests > 0;
        let keep_head =
            reused && request.body().is_end_stream() && retry::idempotent(request.method());
        self.requests += 1;
        self.meter.begin(!request.body().is_end_stream(), keep_head);
        self.watch.rest();

        let mut request = request.map(|body| SendBody::new(body, self.meter.clone()));
        *request.version_mut() = Version::HTTP_11;
        let mut answer = pin!(self.sender.try_send_request(request));
        let Self { connection, ended, meter, watch, .. } = self;
        let answered = poll_fn(|cx| {
            let driven = drive(connection, ended, cx);
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer.map_err(|e| Lost::unanswered(e, meter)));
            }
            match driven {
                Poll::Ready(Ok(())) => Poll::Ready(Err(Lost::finally(Error::Closed))),
                Poll::Ready(Err(error)) => Poll::Ready(Err(Lost::finally(meter.explain(error)))),
                Poll::Pending => {
                    watch.poll_expired(meter, policy, cx).map(|error| Err(Lost::finally(error)))
                }
            }
        })
        .await;

        answered.map_err(|mut lost| {
            let stale = matches!(lost.error, Error::Closed) && meter.nothing_received();
            if lost.again.is_none() && stale {
                lost.again = meter.kept_head().and_then(retry::read_back).map(Box::new);
            }
            lost
        })
    }

    /// Lets the connection read and write. Ready = it is over.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        drive(&mut self.connection, &mut self.ended, cx).map_err(|e| self.meter.explain(e))
    }

    /// To be polled when the body of the answer is pending. Ready = the wait took too long.
    pub(super) fn poll_expired(&mut self, policy: &Policy, cx: &mut Context<'_>) -> Poll<Error> {
        self.watch.poll_expired(&self.meter, policy, cx)
    }

    /// Whether the connection can go back to the pool: the exchange is complete both ways.
    pub(super) fn reusable(&self) -> bool {
        !self.ended && self.sender.is_ready()
    }

    /// The stream itself, after an answer of 101.
    pub(super) async fn into_tunnel(
        mut self: Box<Self>,
        visit: Visit<B>,
    ) -> Result<Tunnel<B>, Error> {
        poll_fn(|cx| self.drive(cx)).await?;
        let Self { connection, counted, .. } = *self;
        let parts = connection.into_parts();
        Ok(Tunnel::new(parts.read_buf, parts.io.into_inner().io, counted, visit))
    }
}

// === impl Lost ===

impl<B: Outgoing> Lost<B> {
    pub(super) fn finally(error: Error) -> Self {
        Self { error, again: None }
    }

    /// hyper gives back a request of which it has not written a byte.
    pub(super) fn unanswered(
        mut failed: TrySendError<Request<SendBody<B>>>,
        meter: &Meter,
    ) -> Self {
        let again = failed.take_message().map(|r| Box::new(r.map(SendBody::into_inner)));
        Self { error: meter.explain(failed.into_error()), again }
    }
}

/// Whether an answer ends HTTP on its connection.
pub(super) fn switches<T>(response: &Response<T>) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS
}

fn drive<B: Outgoing>(
    connection: &mut http1::Connection<TokioIo<Metered>, SendBody<B>>,
    ended: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<hyper::Result<()>> {
    if *ended {
        return Poll::Ready(Ok(()));
    }
    // Without shutdown: dropping the socket closes it, and after 101 it lives on.
    let over = ready!(connection.poll_without_shutdown(cx));
    *ended = true;
    Poll::Ready(over)
}
