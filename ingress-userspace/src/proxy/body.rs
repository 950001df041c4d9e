//! The two body types of the request path: what a client sends and what it gets.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::error::Failure;
use super::{http1, http2};
use crate::upstream::ResponseBody;

#[cfg(test)]
pub(crate) mod scripted;

/// Body of a request, from whatever protocol the client speaks. Limits and timeouts are applied
/// where it is made, so that a reader sees either data or a [`Failure`].
#[derive(Debug, Default)]
pub enum RequestBody {
    #[default]
    Empty,
    Full(Bytes),
    Http1(http1::Body),
    Http2(http2::Body),
}

/// Body of an answer: ours or the pod's.
#[derive(Debug, Default)]
pub enum ReplyBody {
    #[default]
    Empty,
    Full(Bytes),
    Upstream(ResponseBody<RequestBody>),
    #[cfg(test)]
    Scripted(scripted::Scripted),
}

// === impl RequestBody ===

impl RequestBody {
    /// The limit of a route instead of `limits.request_body`, in bytes; 0 = none. To be called
    /// before anything is read.
    pub fn set_limit(&mut self, limit: u64) {
        match self {
            Self::Empty | Self::Full(_) => {}
            Self::Http1(body) => body.set_limit(limit),
            Self::Http2(body) => body.set_limit(limit),
        }
    }

    /// Whether the length that the client announces is beyond the limit.
    pub fn announces_too_much(&self) -> bool {
        match self {
            Self::Empty | Self::Full(_) => false,
            Self::Http1(body) => body.announces_too_much(),
            Self::Http2(body) => body.announces_too_much(),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let data = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Self::Http1(body) => body.poll_frame(cx),
            Self::Http2(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

// === impl ReplyBody ===

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let data = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            #[cfg(test)]
            Self::Scripted(body) => body.poll_frame(cx),
            Self::Upstream(body) => Pin::new(body).poll_frame(cx).map_err(Failure::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Upstream(body) => body.is_end_stream(),
            #[cfg(test)]
            Self::Scripted(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Upstream(body) => body.size_hint(),
            #[cfg(test)]
            Self::Scripted(_) => SizeHint::default(),
        }
    }
}
