//! The body of an endpoint's answer.
//!
//! Reading it drives the connection that it comes from. At its end that connection goes back to the
//! pool; dropped before, it is closed. A body that breaks off ends with an error, never with a
//! clean end, so that the client's connection is aborted too.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::http1::Http1;
use super::http2::Stream;
use super::pool::{Endpoint, Outgoing, Pool};
use super::{Error, Policy};

#[derive(Debug)]
pub struct ResponseBody<B: Outgoing> {
    incoming: Incoming,
    source: Source<B>,
    policy: Rc<Policy>,
}

#[derive(Debug)]
pub(super) enum Source<B: Outgoing> {
    Http1(Lease<B>),
    Http2 {
        stream: Stream<B>,
        _visit: Visit<B>,
    },
    /// All is read.
    Finished,
}

/// An HTTP/1 connection that is in use.
#[derive(Debug)]
pub(super) struct Lease<B: Outgoing> {
    pub(super) connection: Box<Http1<B>>,
    pub(super) visit: Visit<B>,
    pub(super) pool: Rc<Pool<B>>,
}

/// Counts a request on its endpoint as long as it lives.
#[derive(Debug)]
pub(super) struct Visit<B: Outgoing> {
    pub(super) endpoint: Rc<Endpoint<B>>,
}

// === impl ResponseBody ===

impl<B: Outgoing> ResponseBody<B> {
    pub(super) fn new(incoming: Incoming, source: Source<B>, policy: Rc<Policy>) -> Self {
        let mut body = Self { incoming, source, policy };
        if body.incoming.is_end_stream() {
            body.finish();
        }
        body
    }

    fn finish(&mut self) {
        if let Source::Http1(lease) = std::mem::replace(&mut self.source, Source::Finished) {
            lease.give_back(&self.policy);
        }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Self { incoming, source, policy } = self;
        let mut incoming = Pin::new(incoming);
        // The first poll says that data is wanted, or takes what is there.
        if let Poll::Ready(frame) = incoming.as_mut().poll_frame(cx) {
            return Poll::Ready(frame.map(|f| f.map_err(Error::from)));
        }
        match source {
            Source::Http1(lease) => {
                let driven = lease.connection.drive(cx);
                if let Poll::Ready(frame) = incoming.poll_frame(cx) {
                    let frame = frame.map(|f| {
                        f.map_err(|error| match driven {
                            Poll::Ready(Err(reason)) => reason,
                            _ => error.into(),
                        })
                    });
                    return Poll::Ready(frame);
                }
                match driven {
                    Poll::Ready(Ok(())) => Poll::Ready(Some(Err(Error::Closed))),
                    Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
                    Poll::Pending => {
                        lease.connection.poll_expired(policy, cx).map(|error| Some(Err(error)))
                    }
                }
            }
            Source::Http2 { stream, .. } => {
                stream.watch.poll_expired(&stream.meter, policy, cx).map(|error| Some(Err(error)))
            }
            Source::Finished => Poll::Ready(None),
        }
    }
}

impl<B: Outgoing> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if matches!(this.source, Source::Finished) {
            return Poll::Ready(None);
        }
        let polled = this.poll_source(cx);
        match &polled {
            Poll::Ready(None) => this.finish(),
            Poll::Ready(Some(Ok(_))) if this.incoming.is_end_stream() => this.finish(),
            Poll::Ready(Some(Ok(_))) => {
                if let Source::Http2 { stream, .. } = &mut this.source {
                    stream.watch.rest();
                }
            }
            // The connection is in an unknown state: dropped with its lease.
            Poll::Ready(Some(Err(_))) => this.source = Source::Finished,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.source, Source::Finished) || self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if matches!(self.source, Source::Finished) {
            return SizeHint::with_exact(0);
        }
        self.incoming.size_hint()
    }
}

// === impl Lease ===

impl<B: Outgoing> Lease<B> {
    fn give_back(self, policy: &Policy) {
        self.pool.put(&self.visit.endpoint, self.connection, policy);
    }
}

// === impl Visit ===

impl<B: Outgoing> Visit<B> {
    pub(super) fn new(endpoint: Rc<Endpoint<B>>) -> Self {
        endpoint.in_flight.set(endpoint.in_flight.get() + 1);
        Self { endpoint }
    }
}

impl<B: Outgoing> Drop for Visit<B> {
    fn drop(&mut self) {
        self.endpoint.in_flight.set(self.endpoint.in_flight.get() - 1);
    }
}
