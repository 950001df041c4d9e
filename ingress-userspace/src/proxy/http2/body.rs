//! The bodies of a stream: the client's with its limits, ours with its report.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::record::Record;
use super::streams::{Piece, Stream};
use crate::proxy::body::ReplyBody;
use crate::proxy::{Failure, Settings, trailer};

/// The body of a request: 413 beyond the limit, 408 when the client pauses too long.
pub struct Body {
    incoming: Incoming,
    /// Bytes that may still come.
    left: Option<u64>,
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// Data has come since the timer was set.
    progress: bool,
    received: Rc<Cell<u64>>,
    /// Trailer fields that are taken.
    most_trailers: usize,
}

/// The body of an answer. Tells the connection how it goes on, and the record how it ended.
#[derive(Debug)]
pub(super) struct Reported {
    body: ReplyBody,
    record: Record,
    stream: Stream,
}

// === impl Body ===

impl Body {
    pub(super) fn new(incoming: Incoming, settings: &Settings, received: Rc<Cell<u64>>) -> Self {
        let Settings { limits, timeouts, .. } = settings;
        Self {
            incoming,
            left: (limits.request_body != 0).then_some(limits.request_body),
            timeout: timeouts.client_body,
            timer: None,
            progress: true,
            received,
            most_trailers: limits.request_header_count,
        }
    }

    pub(in crate::proxy) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.progress = true;
                Poll::Ready(Some(self.take(frame)))
            }
            // Reset by the client, or by h2 for a body that breaks the protocol.
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(Failure::ClientGone))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                ready!(self.poll_timer(cx));
                Poll::Ready(Some(Err(Failure::BodyTimeout)))
            }
        }
    }

    /// Another limit for this body, before any of it was read; 0 = none.
    pub(in crate::proxy) fn set_limit(&mut self, limit: u64) {
        self.left = (limit != 0).then_some(limit);
    }

    pub(in crate::proxy) fn announces_too_much(&self) -> bool {
        self.left.is_some_and(|left| self.incoming.size_hint().lower() > left)
    }

    pub(in crate::proxy) fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub(in crate::proxy) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Failure> {
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.received.set(self.received.get() + length);
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(length).ok_or(Failure::BodyTooLarge)?;
        }
        match frame.into_trailers() {
            Ok(trailers) => trailer::keep(trailers, self.most_trailers).map(Frame::trailers),
            Err(data) => Ok(data),
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = || Instant::now() + self.timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until())));
        if std::mem::take(&mut self.progress) {
            timer.as_mut().reset(until());
        }
        timer.as_mut().poll(cx)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("incoming", &self.incoming).finish_non_exhaustive()
    }
}

// === impl Reported ===

impl Reported {
    pub(super) fn new(body: ReplyBody, mut record: Record, stream: Stream) -> Self {
        if body.is_end_stream() {
            record.complete();
        }
        Self { body, record, stream }
    }
}

impl http_body::Body for Reported {
    type Data = Piece;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, Failure>>> {
        let this = &mut *self;
        let polled = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &polled {
            Some(Ok(frame)) => {
                this.record.sent(frame.data_ref().map_or(0, Bytes::len));
                if this.body.is_end_stream() || frame.is_trailers() {
                    this.record.complete();
                }
            }
            // hyper resets the stream: the client must not take a part for the whole.
            Some(Err(failure)) => this.record.failed(*failure),
            None => this.record.complete(),
        }
        let stream = &this.stream;
        Poll::Ready(polled.map(|frame| frame.map(|f| f.map_data(|bytes| stream.piece(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
