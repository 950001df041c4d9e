//! From a listener to a served connection: which port of which VIP, TLS or not, which protocol.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use http::Request;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::Failure;
use super::body::RequestBody;
use super::counters::VipCounters;
use super::http1::{self, Service};
use super::http2;
use super::request::{self, Connection, Outcome, Reply};
use super::worker::WorkerState;
use crate::config::PortProtocol;
use crate::net::descriptors::Descriptors;
use crate::tls;

/// Pause after an accept that failed for want of descriptors or memory: connections that end in
/// the meantime make room, and trying on would only burn the CPU that they need.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// How long a draining worker accepts what was a handshake in flight: a SYN+ACK that is lost is sent
/// again after this time.
const HANDSHAKE: Duration = Duration::from_secs(1);

/// Accepts the connections of one worker and starts their tasks.
pub(super) struct Acceptor {
    listeners: Vec<TcpListener>,
    opened: CancellationToken,
    descriptors: Descriptors,
    tls: tls::Acceptor,
    state: Rc<WorkerState>,
}

/// The requests of one connection, given to the phases of [`request`].
struct Requests {
    state: Rc<WorkerState>,
    connection: Rc<Connection>,
}

// === impl Acceptor ===

impl Acceptor {
    /// Must be called in the runtime of the worker.
    pub(super) fn new(
        listeners: Vec<std::net::TcpListener>,
        opened: CancellationToken,
        tls: tls::Acceptor,
        state: Rc<WorkerState>,
    ) -> io::Result<Self> {
        let listener = |listener: std::net::TcpListener| {
            listener.set_nonblocking(true)?;
            // Accepted sockets inherit it: one system call less for each.
            SockRef::from(&listener).set_tcp_nodelay(true)?;
            TcpListener::from_std(listener)
        };
        let listeners = listeners.into_iter().map(listener).collect::<io::Result<_>>()?;
        Ok(Self { listeners, opened, descriptors: Descriptors::of_process()?, tls, state })
    }

    pub(super) fn state(&self) -> &Rc<WorkerState> {
        &self.state
    }

    /// Runs until the worker drains and no connection waits or is about to wait in a listener, or
    /// until another process accepts from the same listeners. Dropping them takes them out of the
    /// socket map, unless another process has them.
    pub(super) async fn run(self, handed_over: &AtomicBool) {
        let mut drained = pin!(self.state.context.drain.cancelled());
        tokio::select! {
            () = self.opened.cancelled() => {}
            () = &mut drained => {}
        }
        let mut first = 0;
        let mut last_call: Option<Pin<Box<Sleep>>> = None;
        loop {
            // Each listener has its turn: a flood at one VIP does not keep the others waiting.
            first = (first + 1) % self.listeners.len().max(1);
            let accepted = poll_fn(|cx| {
                if handed_over.load(Ordering::Acquire) {
                    return Poll::Ready(None);
                }
                let (before, from) = self.listeners.split_at(first);
                for listener in from.iter().chain(before) {
                    if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                        return Poll::Ready(Some(accepted));
                    }
                }
                if last_call.is_none() {
                    ready!(drained.as_mut().poll(cx));
                    if handed_over.load(Ordering::Acquire) {
                        return Poll::Ready(None);
                    }
                }
                let last_call = last_call.get_or_insert_with(|| Box::pin(sleep(HANDSHAKE)));
                last_call.as_mut().poll(cx).map(|()| None)
            });
            match accepted.await {
                None => return,
                Some(Ok((stream, peer))) => {
                    let scarce = self.descriptors.are_scarce(&stream);
                    self.accepted(stream, peer);
                    if scarce {
                        self.wait_for_room().await;
                    }
                }
                Some(Err(error)) if is_of_one_connection(&error) => {}
                Some(Err(error)) => {
                    tracing::warn!("connections cannot be accepted: {error}");
                    self.wait_for_room().await;
                }
            }
        }
    }

    /// Waits until connections that ended have made room. Those that come meanwhile wait in the
    /// listeners.
    async fn wait_for_room(&self) {
        self.state.counters.accept_failures.add(1);
        tracing::warn!("file descriptors are scarce: new connections wait");
        loop {
            sleep(EXHAUSTED).await;
            let probe = self.listeners.first().map(|listener| self.descriptors.have_room(listener));
            if probe.unwrap_or(true) || self.state.context.drain.is_cancelled() {
                return;
            }
        }
    }

    fn accepted(&self, stream: TcpStream, peer: SocketAddr) {
        let Ok(local) = stream.local_addr() else { return };
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let settings = self.state.context.settings();
        let Some(protocol) = settings.ports.get(&local).copied() else {
            self.state.counters.unknown_destination.add(1);
            return;
        };
        if !settings.admits(local.ip(), peer.ip()) {
            self.state.counters.denied.add(1);
            return;
        }
        if self.state.open.number() >= settings.limits.connections {
            self.state.counters.failed(Failure::Overloaded);
            return;
        }
        let open = self.state.open.open();
        let vip = self.state.counters.vips.of(local.ip());
        vip.connections.add(1);
        let state = self.state.clone();
        let tls = self.tls.clone();
        spawn_local(async move {
            let served = async {
                match protocol {
                    PortProtocol::Http => {
                        let connection = Connection::new(peer, local, protocol, None);
                        let connection = connection.counted_by(vip);
                        http1(stream, &state, connection).await;
                    }
                    // Boxed: plain connections do not pay for its size.
                    PortProtocol::Https => {
                        Box::pin(https(stream, &tls, &state, (peer, local), vip)).await;
                    }
                }
            };
            if AssertUnwindSafe(served).catch_unwind().await.is_err() {
                state.counters.panics.add(1);
            }
            drop(open);
        });
    }
}

async fn https(
    stream: TcpStream,
    tls: &tls::Acceptor,
    state: &Rc<WorkerState>,
    (peer, local): (SocketAddr, SocketAddr),
    vip: Arc<VipCounters>,
) {
    let settings = state.context.settings();
    let (patience, strict) = (settings.timeouts.client_header, settings.tls.strict_sni);
    drop(settings);
    // Boxed: only as long as the handshake lasts.
    let handshake = Box::pin(tokio::time::timeout(patience, tls.accept(stream, strict)));
    let Ok(Ok(handshaken)) = handshake.await else {
        state.counters.handshake_failures.add(1);
        return;
    };
    state.counters.shaken_hands(handshaken.handshake);
    let connection = Connection::new(peer, local, PortProtocol::Https, handshaken.sni)
        .with_handshake(handshaken.handshake)
        .counted_by(vip);
    match handshaken.protocol {
        tls::Protocol::Http1 => http1(handshaken.stream, state, connection).await,
        tls::Protocol::Http2 => {
            let connection = Rc::new(connection);
            // Boxed: HTTP/1 connections do not pay for its size.
            let served = http2::serve_connection(handshaken.stream, state.clone(), connection);
            Box::pin(served).await;
        }
    }
}

async fn http1<T: http1::Io + 'static>(stream: T, state: &Rc<WorkerState>, connection: Connection) {
    let connection = Rc::new(connection);
    let requests = Requests { state: state.clone(), connection: connection.clone() };
    http1::serve_connection(stream, state.clone(), connection, requests).await;
}

/// Errors of a connection that ended while it waited; everything else is want of something.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | TimedOut)
}

// === impl Requests ===

impl Service for Requests {
    fn serve(
        &self,
        request: Request<RequestBody>,
        outcome: &mut Outcome,
    ) -> impl Future<Output = Reply> {
        request::serve(&self.state.context, &self.connection, request, outcome)
    }
}
