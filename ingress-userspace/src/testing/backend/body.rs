//! The body of a scripted answer: pieces with a pace, trailers, and the fault where it breaks.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::answer::Fault;

const PIECE: usize = 16 << 10;

pub(super) type BodyError = Box<dyn std::error::Error + Send + Sync>;

pub(super) struct ScriptedBody {
    source: Source,
    trailers: Option<HeaderMap>,
    fault: Option<Fault>,
    /// Known length, told to the client unless the answer is chunked.
    length: Option<u64>,
    pace: Duration,
    sent: usize,
    waiting: Option<Pin<Box<Sleep>>>,
    /// The peer must see what was sent before the connection breaks.
    flushed: bool,
}

enum Source {
    Bytes(Bytes),
    Mirror(Incoming),
}

// === impl ScriptedBody ===

impl ScriptedBody {
    pub(super) fn bytes(bytes: Bytes, chunked: bool, pace: Duration) -> Self {
        let length = (!chunked).then_some(bytes.len() as u64);
        Self::new(Source::Bytes(bytes), length, pace)
    }

    pub(super) fn mirror(body: Incoming) -> Self {
        Self::new(Source::Mirror(body), None, Duration::ZERO)
    }

    pub(super) fn with(mut self, trailers: Option<HeaderMap>, fault: Option<Fault>) -> Self {
        if trailers.is_some() {
            self.length = None;
        }
        self.trailers = trailers;
        self.fault = fault;
        self
    }

    fn new(source: Source, length: Option<u64>, pace: Duration) -> Self {
        Self {
            source,
            trailers: None,
            fault: None,
            length,
            pace,
            sent: 0,
            waiting: None,
            flushed: false,
        }
    }

    /// What may still be sent before the fault.
    fn allowance(&self) -> usize {
        match self.fault {
            Some(Fault::CloseAfter(n) | Fault::ResetAfter(n) | Fault::StallAfter(n)) => {
                n.saturating_sub(self.sent)
            }
            Some(Fault::CloseBeforeHead | Fault::ResetBeforeHead) | None => usize::MAX,
        }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match &mut self.source {
            Source::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Source::Bytes(bytes) => {
                let piece = bytes.split_to(bytes.len().min(PIECE));
                Poll::Ready(Some(Ok(piece)))
            }
            Source::Mirror(body) => loop {
                match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                    None => return Poll::Ready(None),
                    Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(data)));
                        }
                    }
                }
            },
        }
    }
}

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
        }
        let allowance = self.allowance();
        if allowance == 0 {
            if matches!(self.fault, Some(Fault::StallAfter(_))) {
                return Poll::Pending;
            }
            if !self.flushed {
                // Time for hyper to write the head and what came before.
                self.flushed = true;
                self.waiting = Some(Box::pin(tokio::time::sleep(Duration::from_millis(20))));
                return self.poll_frame(cx);
            }
            return Poll::Ready(Some(Err("scripted fault".into())));
        }
        match ready!(self.poll_source(cx)) {
            Some(Ok(mut data)) => {
                data.truncate(allowance);
                self.sent += data.len();
                if !self.pace.is_zero() {
                    self.waiting = Some(Box::pin(tokio::time::sleep(self.pace)));
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => Poll::Ready(self.trailers.take().map(|fields| Ok(Frame::trailers(fields)))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Some(length) => SizeHint::with_exact(length.saturating_sub(self.sent as u64)),
            None => SizeHint::default(),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.fault.is_none()
            && self.trailers.is_none()
            && matches!(&self.source, Source::Bytes(bytes) if bytes.is_empty())
    }
}
