//! The byte stream below hyper: what hyper itself can't do on purpose.
//!
//! Informational heads are put before the next write, and a connection that is to be reset gets a
//! zero linger time before it is closed.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Shared between a connection's stream and the service that answers on it.
#[derive(Debug, Default)]
pub(super) struct Mischief {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    before_next_write: Bytes,
    reset_on_close: bool,
}

pub(super) struct Stream {
    tcp: TcpStream,
    mischief: Arc<Mischief>,
}

// === impl Mischief ===

impl Mischief {
    pub(super) fn write_first(&self, bytes: Bytes) {
        self.state.lock().unwrap().before_next_write = bytes;
    }

    pub(super) fn reset_on_close(&self) {
        self.state.lock().unwrap().reset_on_close = true;
    }
}

// === impl Stream ===

impl Stream {
    pub(super) fn new(tcp: TcpStream, mischief: Arc<Mischief>) -> Self {
        Self { tcp, mischief }
    }

    fn write_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let pending = self.mischief.state.lock().unwrap().before_next_write.clone();
            if pending.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let written = ready!(Pin::new(&mut self.tcp).poll_write(cx, &pending))?;
            self.mischief.state.lock().unwrap().before_next_write.advance(written);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.mischief.state.lock().unwrap().reset_on_close {
            let _ = socket2::SockRef::from(&self.tcp).set_linger(Some(std::time::Duration::ZERO));
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.write_pending(cx))?;
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_pending(cx))?;
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.mischief.state.lock().unwrap().reset_on_close {
            // A FIN would come before the reset.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
