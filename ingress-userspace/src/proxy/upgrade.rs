//! After 101: bytes flow both ways until both ends have closed.
//!
//! Byte-transparent. One side's end is passed on as a half-close while the other direction goes
//! on. A direction holds a buffer only while it has bytes to write.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, sleep_until};

const ROOM: usize = 16 << 10;

/// One direction.
struct Half {
    buffer: BytesMut,
    copied: u64,
    ended: bool,
    shut: bool,
}

/// Relays until both directions have ended, one of them fails, or nothing moves for `idle`.
/// Returns the bytes that went to the upstream and to the client.
pub async fn relay<A, B>(client: A, upstream: B, idle: Duration) -> (u64, u64)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut client, mut upstream) = (client, upstream);
    let (mut up, mut down) = (Half::new(), Half::new());
    let mut moved = Instant::now();
    let mut timer = pin!(sleep_until(moved + idle));
    poll_fn(|cx| {
        let before = up.copied + down.copied;
        let first = up.poll(cx, &mut client, &mut upstream);
        let second = down.poll(cx, &mut upstream, &mut client);
        if let (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) = (&first, &second) {
            return Poll::Ready(());
        }
        if matches!(first, Poll::Ready(Err(_))) || matches!(second, Poll::Ready(Err(_))) {
            return Poll::Ready(());
        }
        if up.copied + down.copied != before {
            moved = Instant::now();
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            let until = moved + idle;
            if timer.deadline() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    })
    .await;
    (up.copied, down.copied)
}

// === impl Half ===

impl Half {
    fn new() -> Self {
        Self { buffer: BytesMut::new(), copied: 0, ended: false, shut: false }
    }

    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            while !self.buffer.is_empty() {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.buffer))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.buffer.advance(written);
                self.copied += written as u64;
            }
            if self.ended {
                if !self.shut {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.shut = true;
                }
                return Poll::Ready(Ok(()));
            }
            self.buffer.reserve(ROOM);
            match pin!(from.read_buf(&mut self.buffer)).poll(cx)? {
                Poll::Ready(0) => self.ended = true,
                Poll::Ready(_) => {}
                Poll::Pending => {
                    self.buffer = BytesMut::new();
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    return Poll::Pending;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
