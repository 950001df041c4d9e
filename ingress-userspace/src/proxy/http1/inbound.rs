//! The reading half of a connection: the socket, its buffer, and the body that is being received.
//!
//! Shared by the connection and by the [`Body`] of its current request, both on one thread: the
//! body reads from the socket when the upstream asks for data, so a slow upstream slows the client
//! by TCP alone. Limits and timeouts of the body are applied here.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Io;
use super::chunk;
use super::head::{self, Framing, Head};
use crate::config::Limits;
use crate::proxy::worker::{Buffers, WorkerState};
use crate::proxy::{Failure, Settings};

pub(super) type Shared<T> = Rc<RefCell<Inbound<T>>>;

const EMPTY_LINE: &[u8] = b"\r\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Least room for a read; less would cost a system call for few bytes.
const LEAST_ROOM: usize = 4 << 10;
const LARGEST_READ: usize = 256 << 10;
/// Bytes of later requests that are read while one is served. TCP holds the rest.
const PIPELINED: usize = 16 << 10;

pub(super) struct Inbound<T: ?Sized> {
    buffer: BytesMut,
    buffers: Rc<Buffers>,
    /// Room of the next read; grows while bodies fill it.
    room: usize,
    limits: Limits,
    body_timeout: std::time::Duration,
    /// Bytes that the current body may have, 0 = no limit: that of the settings, or of the route.
    body_limit: u64,
    /// Number of the request that owns the body; a [`Body`] of an earlier one reads nothing.
    exchange: u64,
    body: State,
    /// Body bytes received, without framing.
    received: u64,
    expects_continue: bool,
    /// What is left to write of `100 Continue`.
    interim: &'static [u8],
    timer: Option<Pin<Box<Sleep>>>,
    /// Bytes have come since the timer was set.
    progress: bool,
    /// Waits for the end of the body: the connection.
    owner: Option<Waker>,
    /// Waits for data: who forwards the body.
    reader: Option<Waker>,
    io: T,
}

/// The body of a request, read from the client's socket by whoever polls it.
pub struct Body {
    inbound: Rc<RefCell<Inbound<dyn Io>>>,
    exchange: u64,
}

#[derive(Debug)]
enum State {
    Done,
    Length(u64),
    Chunked(Box<chunk::Reader>),
    Failed(Failure),
}

// === impl Inbound ===

impl<T: Io> Inbound<T> {
    pub(super) fn shared(io: T, state: &WorkerState, settings: &Settings) -> Shared<T> {
        Rc::new(RefCell::new(Self {
            buffer: BytesMut::new(),
            buffers: state.buffers.clone(),
            room: LEAST_ROOM,
            limits: settings.limits,
            body_timeout: settings.timeouts.client_body,
            body_limit: settings.limits.request_body,
            exchange: 0,
            body: State::Done,
            received: 0,
            expects_continue: false,
            interim: &[],
            timer: None,
            progress: false,
            owner: None,
            reader: None,
            io,
        }))
    }
}

impl<T: Io + ?Sized> Inbound<T> {
    /// Waits until a request begins; false = the client closed.
    pub(super) fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            if self.has_request() {
                return Poll::Ready(true);
            }
            if self.buffer.len() == EMPTY_LINE.len() {
                self.buffer.clear();
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(false),
                Ok(_) => {}
            }
        }
    }

    /// Whether a request has begun. The empty line that some clients send too much after a body
    /// (RFC 9112 2.2) does not begin one.
    pub(super) fn has_request(&self) -> bool {
        !EMPTY_LINE.starts_with(&self.buffer)
    }

    /// Reads on until the head is complete. `None` = the client closed before.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut head::Reader,
    ) -> Poll<Result<Option<Head>, Failure>> {
        loop {
            if let Some(head) = reader.read(&mut self.buffer, &self.limits)? {
                return Poll::Ready(Ok(Some(head)));
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(Ok(None)),
                Ok(_) => {}
            }
        }
    }

    /// The body that follows a head. Must be called for each request.
    pub(super) fn begin_exchange(&mut self, framing: Framing, expects_continue: bool) -> u64 {
        self.exchange += 1;
        self.received = 0;
        self.body_limit = self.limits.request_body;
        self.body = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Box::default()),
        };
        self.expects_continue = expects_continue && !self.body_is_done();
        self.exchange
    }

    /// From here on the body belongs to the connection: an upstream that still reads sees the end.
    pub(super) fn end_exchange(&mut self) {
        self.exchange += 1;
        self.owner = None;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    pub(super) fn body_is_done(&self) -> bool {
        matches!(self.body, State::Done)
    }

    /// Whether the client has nothing more on its way that we know of.
    pub(super) fn is_clean(&self) -> bool {
        self.body_is_done() && self.buffer.is_empty()
    }

    /// Whether the rest of the body is so short that it is cheaper to read it than to close.
    pub(super) fn body_ends_within(&self, bytes: u64) -> bool {
        match self.body {
            State::Done => true,
            State::Length(left) => left <= bytes && !self.expects_continue,
            State::Chunked(_) | State::Failed(_) => false,
        }
    }

    pub(super) fn body_failure(&self) -> Option<Failure> {
        match self.body {
            State::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Ready when the client is gone. While a body is being received its reader sees that.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.body {
            State::Done => {}
            State::Failed(_) => return Poll::Pending,
            State::Length(_) | State::Chunked(_) => {
                if !self.owner.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                    self.owner = Some(cx.waker().clone());
                }
                return Poll::Pending;
            }
        }
        while self.buffer.len() < PIPELINED {
            match ready!(self.poll_fill(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }

    /// Reads body bytes for the owner of the current exchange.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let polled = self.poll_frame(cx);
        match &polled {
            Poll::Pending => {
                if !self.reader.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                    self.reader = Some(cx.waker().clone());
                }
            }
            Poll::Ready(ready) => {
                if let Some(Err(failure)) = ready {
                    self.body = State::Failed(*failure);
                }
                if matches!(self.body, State::Done | State::Failed(_)) {
                    self.timer = None;
                    if let Some(owner) = self.owner.take() {
                        owner.wake();
                    }
                }
            }
        }
        polled
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Poll::Ready(Some(Ok(frame)));
            }
            if self.body_is_done() {
                return Poll::Ready(None);
            }
            if std::mem::take(&mut self.expects_continue) && self.buffer.is_empty() {
                self.interim = CONTINUE;
            }
            if ready!(self.poll_interim(cx)).is_err() {
                return Poll::Ready(Some(Err(Failure::ClientGone)));
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => {
                    return Poll::Ready(Some(Err(Failure::ClientGone)));
                }
                Poll::Ready(Ok(_)) => self.progress = true,
                Poll::Pending => {
                    ready!(self.poll_timer(cx));
                    return Poll::Ready(Some(Err(Failure::BodyTimeout)));
                }
            }
        }
    }

    /// Whether what came and what is announced are more than the body may have.
    fn announces_too_much(&self) -> bool {
        let State::Length(left) = self.body else { return false };
        self.body_limit != 0 && self.received.saturating_add(left) > self.body_limit
    }

    /// What the buffer holds of the body.
    fn take_frame(&mut self) -> Result<Option<Frame<Bytes>>, Failure> {
        if self.announces_too_much() {
            return Err(Failure::BodyTooLarge);
        }
        match &mut self.body {
            State::Done => Ok(None),
            State::Failed(failure) => Err(*failure),
            State::Length(_) if self.buffer.is_empty() => Ok(None),
            State::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(self.buffer.len());
                *left -= length as u64;
                if *left == 0 {
                    self.body = State::Done;
                }
                self.received += length as u64;
                Ok(Some(Frame::data(self.buffer.split_to(length).freeze())))
            }
            State::Chunked(reader) => match reader.read(&mut self.buffer, &self.limits)? {
                chunk::Step::More => Ok(None),
                chunk::Step::Data(data) => {
                    self.received += data.len() as u64;
                    if self.body_limit != 0 && self.received > self.body_limit {
                        return Err(Failure::BodyTooLarge);
                    }
                    Ok(Some(Frame::data(data)))
                }
                chunk::Step::End(trailers) => {
                    self.body = State::Done;
                    Ok((!trailers.is_empty()).then(|| Frame::trailers(trailers)))
                }
            },
        }
    }

    /// Writes what is left of `100 Continue`.
    pub(super) fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.interim.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.interim.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, self.interim)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(written) => self.interim = &self.interim[written..],
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// The final answer comes first: no `100 Continue` any more, unless half of it is out.
    pub(super) fn cancel_interim(&mut self) {
        if self.interim.len() == CONTINUE.len() {
            self.interim = &[];
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let at = || Instant::now() + self.body_timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at())));
        if std::mem::take(&mut self.progress) {
            timer.as_mut().reset(at());
        }
        timer.as_mut().poll(cx)
    }

    /// Reads once. The buffer comes from the worker's pool and goes back when it stays empty.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.capacity() == 0 {
            self.buffer = self.buffers.take();
        }
        if self.buffer.capacity() - self.buffer.len() < LEAST_ROOM {
            self.buffer.reserve(self.room);
        }
        let room = self.buffer.capacity() - self.buffer.len();
        let read = pin!(self.io.read_buf(&mut self.buffer)).poll(cx);
        match read {
            Poll::Ready(Ok(n)) if n == room => self.room = (room * 2).min(LARGEST_READ),
            Poll::Pending if self.buffer.is_empty() => {
                self.room = LEAST_ROOM;
                self.buffers.give(std::mem::take(&mut self.buffer));
            }
            _ => {}
        }
        read
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Reads and forgets. Ready when the client has closed.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.buffer.clear();
            match ready!(self.poll_fill(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
    }

    pub(super) fn io(&mut self) -> Pin<&mut T> {
        Pin::new(&mut self.io)
    }

    /// Bytes that came behind the request, for the protocol that follows it.
    pub(super) fn take_buffered(&mut self) -> Bytes {
        std::mem::take(&mut self.buffer).freeze()
    }
}

impl<T: ?Sized> Drop for Inbound<T> {
    fn drop(&mut self) {
        if self.buffer.capacity() > 0 {
            self.buffers.give(std::mem::take(&mut self.buffer));
        }
    }
}

// === impl Body ===

impl Body {
    pub(super) fn new<T: Io + 'static>(inbound: &Shared<T>, exchange: u64) -> Self {
        Self { inbound: inbound.clone(), exchange }
    }

    pub(in crate::proxy) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let mut inbound = self.inbound.borrow_mut();
        if inbound.exchange != self.exchange {
            return Poll::Ready(Some(Err(Failure::ClientGone)));
        }
        inbound.poll_body(cx)
    }

    /// Another limit for this body; 0 = none.
    pub(in crate::proxy) fn set_limit(&mut self, limit: u64) {
        let mut inbound = self.inbound.borrow_mut();
        if inbound.exchange == self.exchange {
            inbound.body_limit = limit;
        }
    }

    pub(in crate::proxy) fn announces_too_much(&self) -> bool {
        let inbound = self.inbound.borrow();
        inbound.exchange == self.exchange && inbound.announces_too_much()
    }

    pub(in crate::proxy) fn is_end_stream(&self) -> bool {
        let inbound = self.inbound.borrow();
        inbound.exchange == self.exchange && inbound.body_is_done()
    }

    pub(in crate::proxy) fn size_hint(&self) -> SizeHint {
        let inbound = self.inbound.borrow();
        match inbound.body {
            _ if inbound.exchange != self.exchange => SizeHint::default(),
            State::Done => SizeHint::with_exact(0),
            State::Length(left) => SizeHint::with_exact(left),
            State::Chunked(_) | State::Failed(_) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}
