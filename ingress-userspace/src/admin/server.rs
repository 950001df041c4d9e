//! The connections of the administration, all of them bounded.
//!
//! Each connection ends after [`LIFETIME`] whatever it does, and a head has to come within [`HEAD`].
//! At most [`CONNECTIONS`] are open on the socket and as many on the address; one more ends the
//! oldest, so that clients that are slow or stuck keep nobody out. All work for an answer is done
//! before its first byte is sent.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio::task::{AbortHandle, LocalSet, spawn_local};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::answer::{self, Way};
use super::socket::Place;
use crate::config::admin::AdminConfig;

const CONNECTIONS: usize = 16;
const LIFETIME: Duration = Duration::from_secs(60);
const HEAD: Duration = Duration::from_secs(5);
/// The smallest buffer that hyper takes: more head than any client of ours sends.
const HEAD_BYTES: usize = 8 << 10;
/// Pause after an accept or bind that failed: what it lacks comes back by itself or not at all.
const PAUSE: Duration = Duration::from_secs(1);

/// Opened, not yet running.
pub(super) struct Server {
    place: Option<Place>,
    listen: Option<SocketAddr>,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

// === impl Server ===

impl Server {
    /// `None` when the configuration has neither socket nor address.
    pub(super) fn open(
        config: &AdminConfig,
        shared: Arc<Shared>,
        stop: CancellationToken,
    ) -> io::Result<Option<Self>> {
        let place = match config.socket.path() {
            Some(path) => Some(Place::take(path, config.group.as_deref()).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?),
            None => None,
        };
        let open = place.is_some() || config.listen.is_some();
        Ok(open.then_some(Self { place, listen: config.listen, shared, stop }))
    }

    /// Until it is told to stop; connections end with it.
    pub(super) fn run(self, runtime: &Runtime) {
        let Self { place, listen, shared, stop } = self;
        let (by_socket, by_address) =
            (Door::new(Way::Socket, shared.clone()), Door::new(Way::Address, shared));
        LocalSet::new().block_on(runtime, async {
            let socket = async {
                match &place {
                    Some(place) => by_socket.socket(&place.listener).await,
                    None => std::future::pending().await,
                }
            };
            let address = async {
                match listen {
                    Some(address) => by_address.address(address).await,
                    None => std::future::pending().await,
                }
            };
            // One way in goes on without the other.
            let both = async { tokio::join!(socket, address) };
            tokio::select! {
                () = stop.cancelled() => {}
                _ = both => {}
            }
        });
    }
}

/// One way in, with the connections that came by it.
struct Door {
    way: Way,
    shared: Arc<Shared>,
    /// Oldest first.
    open: RefCell<VecDeque<AbortHandle>>,
}

// === impl Door ===

impl Door {
    fn new(way: Way, shared: Arc<Shared>) -> Self {
        Self { way, shared, open: RefCell::default() }
    }

    /// Ends when the socket cannot be used at all.
    async fn socket(&self, listener: &std::os::unix::net::UnixListener) {
        let listener = match listener.try_clone().and_then(UnixListener::from_std) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "the socket does not answer"),
        };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => self.serve(stream),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// Waits for an address that another process still has.
    async fn address(&self, address: SocketAddr) {
        let mut told = false;
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(error) if !told => {
                    tracing::warn!(%address, %error, "admin.listen: tried again until it is free");
                    told = true;
                }
                Err(_) => {}
            }
            sleep(PAUSE).await;
        };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => self.serve(stream),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    fn serve<T>(&self, stream: T)
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let mut open = self.open.borrow_mut();
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let (way, shared) = (self.way, self.shared.clone());
        let connection = spawn_local(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let shared = shared.clone();
                async move { Ok::<_, Infallible>(answer::to(&shared, way, request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .max_buf_size(HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), service);
            // A client that breaks off or is late has only itself to tell.
            let _ = timeout(LIFETIME, connection).await;
        });
        open.push_back(connection.abort_handle());
    }
}
