//! The client's socket after a protocol switch: what came behind the request, then the stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Io;
use super::inbound::Shared;

pub(super) struct Client<T> {
    early: Bytes,
    shared: Shared<T>,
}

// === impl Client ===

impl<T: Io> Client<T> {
    pub(super) fn new(shared: &Shared<T>) -> Self {
        let early = shared.borrow_mut().take_buffered();
        Self { early, shared: shared.clone() }
    }
}

impl<T: Io> AsyncRead for Client<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return self.shared.borrow_mut().io().poll_read(cx, buf);
        }
        let length = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early[..length]);
        self.early.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<T: Io> AsyncWrite for Client<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.shared.borrow_mut().io().poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.borrow_mut().io().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.borrow_mut().io().poll_shutdown(cx)
    }
}
