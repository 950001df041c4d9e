//! The client's byte stream, which hyper drives and we close.
//!
//! hyper drops what it was given as soon as the last byte is in the socket. Closed at that moment,
//! the socket answers whatever the client still sends with a reset, and the kernel throws away what
//! the client has not got yet; HTTP/2 clients always send something, a WINDOW_UPDATE for what they
//! have taken. So the stream is shared, and outlives hyper's connection (RFC 9112 9.6 says the same
//! of HTTP/1).

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// Room for what is read and forgotten.
const ROOM: usize = 4 << 10;

/// A handle to the stream.
#[derive(Debug)]
pub(super) struct Socket<T> {
    shared: Rc<RefCell<Shared<T>>>,
}

#[derive(Debug)]
struct Shared<T> {
    io: T,
    /// Bytes were written that may not have left this process.
    behind: bool,
    /// Looks since any were.
    looks: u32,
}

// === impl Socket ===

impl<T: AsyncRead + AsyncWrite + Unpin> Socket<T> {
    pub(super) fn new(io: T) -> Self {
        Self { shared: Rc::new(RefCell::new(Shared { io, behind: false, looks: 0 })) }
    }

    /// Whether what hyper has written waits here for the client to read.
    pub(super) fn is_behind(&self) -> bool {
        self.shared.borrow().behind
    }

    /// True: the client has not read anything for so many looks.
    pub(super) fn look(&self, patience: u32) -> bool {
        let mut shared = self.shared.borrow_mut();
        if !shared.behind {
            return false;
        }
        shared.looks += 1;
        shared.looks > patience
    }

    /// Ends our side, then reads and forgets until the client has ended its own: as long as it sends
    /// something every `pause`, `longest` and `most` bytes in all.
    pub(super) async fn close(self, pause: Duration, longest: Duration, most: usize) {
        let begun = Instant::now();
        let mut timer = pin!(sleep_until(begun + pause.min(longest)));
        let (mut shut, mut ended, mut read) = (false, false, 0);
        poll_fn(|cx| {
            let io = &mut self.shared.borrow_mut().io;
            if !shut {
                match Pin::new(&mut *io).poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => shut = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
            while !ended {
                let mut room = [0; ROOM];
                let mut room = ReadBuf::new(&mut room);
                match Pin::new(&mut *io).poll_read(cx, &mut room) {
                    Poll::Ready(Ok(())) if room.filled().is_empty() => ended = true,
                    Poll::Ready(Ok(())) => {
                        read += room.filled().len();
                        if read > most {
                            return Poll::Ready(());
                        }
                        timer.as_mut().reset((Instant::now() + pause).min(begun + longest));
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => break,
                }
            }
            if shut && ended {
                return Poll::Ready(());
            }
            timer.as_mut().poll(cx)
        })
        .await;
    }
}

impl<T> Clone for Socket<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

// === impl Shared ===

impl<T> Shared<T> {
    fn wrote(&mut self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(count)) if *count > 0) {
            (self.behind, self.looks) = (true, 0);
        }
    }
}

// === impl AsyncRead and AsyncWrite ===

impl<T: AsyncRead + Unpin> AsyncRead for Socket<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.shared.borrow_mut().io).poll_read(cx, room)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Socket<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut shared = self.shared.borrow_mut();
        let written = Pin::new(&mut shared.io).poll_write(cx, bytes);
        shared.wrote(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut shared = self.shared.borrow_mut();
        let written = Pin::new(&mut shared.io).poll_write_vectored(cx, slices);
        shared.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.shared.borrow().io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.shared.borrow_mut();
        ready!(Pin::new(&mut shared.io).poll_flush(cx))?;
        shared.behind = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.shared.borrow_mut().io).poll_shutdown(cx)
    }
}
