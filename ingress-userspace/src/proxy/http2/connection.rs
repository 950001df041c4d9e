//! One connection: how long it waits for its client, and how it ends.
//!
//! Everything is polled in one place, so that the connection knows what hyper has opened and what
//! still waits to be taken. It closes in order: GOAWAY, what runs is finished and has left this
//! process, then the socket is shut and read until the client has closed as well.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

use super::socket::Socket;
use super::streams::Streams;
use super::{builder, exchange};
use crate::config::Timeouts;
use crate::proxy::request::Connection;
use crate::proxy::worker::WorkerState;

/// How long a client may take to say goodbye: to answer the GOAWAY, then to close.
const GOODBYE: Duration = Duration::from_secs(5);
/// What a client that has broken the protocol may send before it reads our GOAWAY: bytes. A flood
/// ends with a reset.
const LAST_WORDS: usize = 1 << 20;
/// The connection looks after its streams so many times in `timeouts.client_send`.
const LOOKS: u32 = 4;
const SHORTEST_LOOK: Duration = Duration::from_millis(20);

/// Why the connection takes no more streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// GOAWAY is out; what runs is finished.
    Draining,
    /// Nothing runs any more; the client has until then to close. What it sent before it saw the
    /// GOAWAY is still served.
    Leaving(Instant),
}

/// How a connection came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// In order; the client may not have read yet what it was sent last.
    Said,
    /// The client has broken the protocol, or is gone; there may be a GOAWAY to read.
    Failed,
    /// The client does not stop, or takes nothing: whatever waits for it goes.
    Cut,
}

/// Serves a connection until one side ends it.
pub async fn serve_connection<T>(io: T, state: Rc<WorkerState>, connection: Rc<Connection>)
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let socket = Socket::new(io);
    let patience = state.context.settings().timeouts.client_send;
    match converse(&socket, state, connection).await {
        Over::Said => socket.close(GOODBYE, patience.max(GOODBYE), usize::MAX).await,
        Over::Failed => socket.close(GOODBYE, GOODBYE, LAST_WORDS).await,
        Over::Cut => {}
    }
}

async fn converse<T>(socket: &Socket<T>, state: Rc<WorkerState>, connection: Rc<Connection>) -> Over
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let settings = Rc::clone(&state.context.settings());
    let streams = Streams::new();
    let service = service_fn(|request| {
        let (state, connection, stream) = (state.clone(), connection.clone(), streams.begin());
        async move { Ok::<_, Infallible>(exchange(state, connection, stream, request).await) }
    });
    let io = TokioIo::new(socket.clone());
    let mut served = pin!(builder(&settings, &state).serve_connection(io, service));
    let mut drained = pin!(state.context.drain.cancelled());
    let mut timer = pin!(sleep_until(Instant::now() + settings.timeouts.client_header));
    let Timeouts { client_send, keep_alive, .. } = settings.timeouts;
    let look = (client_send / LOOKS).clamp(SHORTEST_LOOK, keep_alive.max(SHORTEST_LOOK));
    let patience = u32::try_from(client_send.as_millis() / look.as_millis()).unwrap_or(u32::MAX);
    let mut looking = false;
    let mut last_seen = 0;
    let mut end = None;
    let mut last_welcome = u64::MAX;
    let is_busy = || streams.open() > 0 || socket.is_behind();
    poll_fn(|cx| {
        loop {
            if end.is_none()
                && (drained.as_mut().poll(cx).is_ready()
                    || streams.opened() >= settings.limits.keep_alive_requests)
            {
                end = Some(End::Draining);
                served.as_mut().graceful_shutdown();
            }
            if end.is_some() && last_welcome == u64::MAX {
                // As many as may have been on their way.
                last_welcome = streams.opened() + u64::from(settings.limits.http2_streams);
            }
            if streams.opened() > last_welcome {
                // The client does not listen to the GOAWAY, and h2 waits for it to answer a PING.
                return Poll::Ready(Over::Cut);
            }
            while timer.as_mut().poll(cx).is_ready() {
                let was_looking = std::mem::replace(&mut looking, is_busy());
                let now = Instant::now();
                let next = match end {
                    _ if looking => {
                        if streams.look(patience) || socket.look(patience) {
                            // Dropping the connection ends its streams, and what they hold upstream.
                            return Poll::Ready(Over::Cut);
                        }
                        now + look
                    }
                    Some(End::Leaving(until)) if now >= until => return Poll::Ready(Over::Said),
                    Some(End::Leaving(until)) => until,
                    // Something has happened since: idle counts from about now.
                    None if was_looking || streams.opened() != last_seen => now + keep_alive,
                    _ => {
                        served.as_mut().graceful_shutdown();
                        let until = now + GOODBYE;
                        end = Some(End::Leaving(until));
                        until
                    }
                };
                last_seen = streams.opened();
                timer.as_mut().reset(next);
            }
            if let Poll::Ready(result) = served.as_mut().poll(cx) {
                return Poll::Ready(if result.is_ok() { Over::Said } else { Over::Failed });
            }
            if looking || !is_busy() {
                return Poll::Pending;
            }
            looking = true;
            timer.as_mut().reset(Instant::now() + look);
        }
    })
    .await
}

#[cfg(test)]
mod tests;
