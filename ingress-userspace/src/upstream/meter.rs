//! What travels on an upstream connection, seen from both ends of hyper.
//!
//! hyper does not say whether it waits for the client's body, for room in the socket, or for the
//! answer; each wait has its own timeout. A [`Meter`] is shared by the stream below hyper
//! ([`Metered`]) and the body above it ([`SendBody`]) and knows. It also keeps the bytes of a
//! request head, so that a request lost on a stale connection can be sent again without every
//! request paying for a copy of its header map.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::io::Io;
use super::pool::Outgoing;
use super::{BoxError, Error, Policy};

/// A head that is longer is not kept: its request is not sent again.
const KEPT_HEAD: usize = 16 << 10;

#[derive(Default)]
pub(super) struct Meter {
    written: Cell<u64>,
    read: Cell<u64>,
    write_blocked: Cell<bool>,
    body: Cell<BodyState>,
    body_error: Cell<Option<BoxError>>,
    keep_head: Cell<bool>,
    head: RefCell<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum BodyState {
    /// hyper has data or may ask for more.
    Flowing,
    /// The client has to send first.
    Waiting,
    #[default]
    Done,
}

/// What is being waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// The client's own timeout runs, none of ours.
    Client,
    Send,
    Read,
}

/// A connection whose traffic is counted.
#[derive(Debug)]
pub(super) struct Metered {
    pub(super) io: Io,
    pub(super) meter: Rc<Meter>,
}

/// A request body whose state is known.
#[derive(Debug)]
pub(super) struct SendBody<B> {
    body: B,
    meter: Rc<Meter>,
}

/// What hyper is told of a failed request body; the reason is kept in the [`Meter`], because
/// hyper's HTTP/2 does not hand it back. An HTTP/2 endpoint sees its stream cancelled.
#[derive(Debug, thiserror::Error)]
#[error("request body failed")]
pub(super) struct BodyFailed(#[source] h2::Error);

/// The timeout of the current wait. Armed when something is pending and moved only when bytes have
/// travelled since: no timer call for a chunk that is already there.
#[derive(Debug, Default)]
pub(super) struct Watch {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: Option<(Wait, u64)>,
}

// === impl Meter ===

impl Meter {
    /// Begins a request; `keep_head` = remember its bytes for [`Self::kept_head`].
    pub(super) fn begin(&self, has_body: bool, keep_head: bool) {
        self.read.set(0);
        self.body.set(if has_body { BodyState::Flowing } else { BodyState::Done });
        self.keep_head.set(keep_head);
        self.head.borrow_mut().clear();
    }

    /// What became of the exchange, given what hyper says.
    pub(super) fn explain(&self, error: hyper::Error) -> Error {
        self.body_error.take().map_or_else(|| error.into(), Error::RequestBody)
    }

    pub(super) fn nothing_received(&self) -> bool {
        self.read.get() == 0
    }

    /// The request head as it was written, if it was kept whole.
    pub(super) fn kept_head(&self) -> Option<Vec<u8>> {
        let head = self.head.take();
        (self.keep_head.get() && head.ends_with(b"\r\n\r\n")).then_some(head)
    }

    pub(super) fn wait(&self) -> Wait {
        if self.write_blocked.get() {
            return Wait::Send;
        }
        match self.body.get() {
            BodyState::Waiting => Wait::Client,
            BodyState::Flowing => Wait::Send,
            BodyState::Done => Wait::Read,
        }
    }

    fn progress(&self) -> u64 {
        self.written.get().wrapping_add(self.read.get())
    }

    fn wrote(&self, bytes: &[u8]) {
        self.written.set(self.written.get() + bytes.len() as u64);
        if self.keep_head.get() {
            let mut head = self.head.borrow_mut();
            if head.len() + bytes.len() <= KEPT_HEAD {
                head.extend_from_slice(bytes);
            } else {
                self.keep_head.set(false);
            }
        }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter")
            .field("written", &self.written)
            .field("read", &self.read)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

// === impl Metered ===

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let meter = &self.meter;
        meter.read.set(meter.read.get() + (buf.filled().len() - before) as u64);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.meter.write_blocked.set(polled.is_pending());
        if let Poll::Ready(Ok(length)) = &polled {
            self.meter.wrote(&buf[..*length]);
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.meter.write_blocked.set(polled.is_pending());
        if let Poll::Ready(Ok(length)) = &polled {
            let mut left = *length;
            for buf in bufs {
                let taken = buf.len().min(left);
                self.meter.wrote(&buf[..taken]);
                left -= taken;
            }
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

// === impl SendBody ===

impl<B> SendBody<B> {
    pub(super) fn new(body: B, meter: Rc<Meter>) -> Self {
        Self { body, meter }
    }

    /// The body alone, for another connection.
    pub(super) fn into_inner(self) -> B {
        self.body
    }
}

impl<B> Body for SendBody<B>
where
    B: Outgoing,
{
    type Data = Bytes;
    type Error = BodyFailed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailed>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let state = match &polled {
            Poll::Pending => BodyState::Waiting,
            Poll::Ready(Some(Ok(_))) if !self.body.is_end_stream() => {
                // Counted here too: an HTTP/2 stream has no connection of its own to count on.
                self.meter.written.set(self.meter.written.get() + 1);
                BodyState::Flowing
            }
            Poll::Ready(_) => BodyState::Done,
        };
        self.meter.body.set(state);
        polled.map_err(|error| {
            self.meter.body_error.set(Some(error.into()));
            BodyFailed(h2::Reason::CANCEL.into())
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl Watch ===

impl Watch {
    /// To be polled when everything else is pending. Ready = the wait took too long.
    pub(super) fn poll_expired(
        &mut self,
        meter: &Meter,
        policy: &Policy,
        cx: &mut Context<'_>,
    ) -> Poll<Error> {
        let wait = meter.wait();
        let after = match wait {
            Wait::Client => {
                self.armed = None;
                return Poll::Pending;
            }
            Wait::Send => policy.timeouts.upstream_send,
            Wait::Read => policy.timeouts.upstream_read,
        };
        let mark = Some((wait, meter.progress()));
        let moved = self.armed != mark;
        self.armed = mark;
        ready!(self.sleep(moved, after).poll(cx));
        self.armed = None;
        Poll::Ready(if wait == Wait::Send { Error::SendTimeout } else { Error::ReadTimeout })
    }

    /// A new wait begins with the next pending poll.
    pub(super) fn rest(&mut self) {
        self.armed = None;
    }

    fn sleep(&mut self, moved: bool, after: Duration) -> Pin<&mut Sleep> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
        if moved {
            // Later deadlines of a registered timer are one atomic store in tokio.
            sleep.as_mut().reset(Instant::now() + after);
        }
        sleep.as_mut()
    }
}
