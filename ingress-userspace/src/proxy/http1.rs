//! HTTP/1 towards the clients: a strict server connection of our own.
//!
//! One task per connection, nothing of it shared with another thread. [`head`] and [`chunk`] are
//! the pure readers, [`inbound`] is what the connection and the request body read from the same
//! socket, [`outbound`] encodes and writes answers, [`connection`] runs the requests one by one.
//! An idle connection holds no buffer and no request state. What serves a request comes in as a
//! [`Service`]; every answer of our own comes from the failure table.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use self::connection::{Active, After};
use self::deadline::Deadline;
use self::inbound::{Inbound, Shared};
use super::body::RequestBody;
use super::request::{Connection, Outcome, Reply};
use super::worker::WorkerState;

pub mod chunk;
mod client;
mod connection;
mod deadline;
pub mod head;
mod inbound;
mod outbound;

pub use inbound::Body;

/// The byte stream of a client: plain or TLS.
pub trait Io: AsyncRead + AsyncWrite + Unpin {}

/// What answers the requests of a connection.
pub trait Service {
    fn serve(
        &self,
        request: Request<RequestBody>,
        outcome: &mut Outcome,
    ) -> impl Future<Output = Reply>;
}

/// Why an idle connection goes on or ends.
enum Idle {
    Request,
    Over,
}

/// Serves a connection until one side ends it.
pub async fn serve_connection<T, S>(
    io: T,
    state: Rc<WorkerState>,
    connection: Rc<Connection>,
    service: S,
) where
    T: Io + 'static,
    S: Service,
{
    let settings = Rc::clone(&state.context.settings());
    let shared = Inbound::shared(io, &state, &settings);
    let mut deadline = Deadline::default();
    let mut farewell = pin!(state.context.farewell.cancelled());
    let mut requests = 0;
    let mut until = Instant::now() + settings.timeouts.client_header;
    loop {
        let idle = poll_fn(|cx| {
            if let Poll::Ready(asked) = shared.borrow_mut().poll_request(cx) {
                return Poll::Ready(if asked { Idle::Request } else { Idle::Over });
            }
            // A client that has just connected is about to ask: it is still served.
            if requests > 0 && farewell.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Idle::Over);
            }
            deadline.poll(cx, until).map(|()| Idle::Over)
        });
        if let Idle::Over = idle.await {
            break;
        }
        let active = Active {
            shared: &shared,
            state: &state,
            settings: &settings,
            connection: &connection,
            service: &service,
            deadline: &mut deadline,
            requests: &mut requests,
        };
        // Boxed: an idle connection does not pay for the state of a request.
        match Box::pin(active.run()).await {
            After::Idle => until = Instant::now() + settings.timeouts.keep_alive,
            After::Close => break,
        }
    }
    close(&shared, &connection).await;
}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// Ends what still reads the request body, and tells a TLS client that the end is meant.
async fn close<T: Io + 'static>(shared: &Shared<T>, connection: &Connection) {
    shared.borrow_mut().end_exchange();
    let held_by_body = Rc::strong_count(shared) > 1;
    if held_by_body || connection.protocol == crate::config::PortProtocol::Https {
        // One try: a client that does not take the close has lost it.
        poll_fn(|cx| {
            let _ = shared.borrow_mut().poll_shutdown(cx);
            Poll::Ready(())
        })
        .await;
    }
}

#[cfg(test)]
mod tests;
