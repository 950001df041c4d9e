//! The connections of the administration, all of them bounded.
//!
//! Each connection ends after [`LIFETIME`] whatever it does, and a head has to come within [`HEAD`].
//! At most [`CONNECTIONS`] are open on the socket and as many on the address; one more ends the
//! oldest, so that clients that are slow or stuck keep nobody out. All work for an answer is done
//! before its first byte is sent, and the answers that wait for their clients have at most
//! [`WAITING`] bytes and one answer more: the oldest of them go first.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
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

/// Bytes of answers that clients have not taken yet, of each way in.
const WAITING: usize = 64 << 20;

/// Opened, not yet running.
pub(super) struct Server {
    place: Option<Place>,
    listen: Option<SocketAddr>,
    shared: Arc<Shared>,
    stop: CancellationToken,
    /// Closes the address alone.
    leave: CancellationToken,
}

// === impl Server ===

impl Server {
    /// `None` when the configuration has neither socket nor address.
    pub(super) fn open(
        config: &AdminConfig,
        shared: Arc<Shared>,
        stop: CancellationToken,
        leave: CancellationToken,
    ) -> io::Result<Option<Self>> {
        let place = match config.socket.path() {
            Some(path) => Some(Place::take(path, config.group.as_deref()).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?),
            None => None,
        };
        let open = place.is_some() || config.listen.is_some();
        Ok(open.then_some(Self { place, listen: config.listen, shared, stop, leave }))
    }

    /// Until it is told to stop; connections end with it.
    pub(super) fn run(self, runtime: &Runtime) {
        let Self { place, listen, shared, stop, leave } = self;
        let by_socket = Door::new(Way::Socket, shared.clone(), CancellationToken::new());
        let by_address = Door::new(Way::Address, shared, leave.clone());
        LocalSet::new().block_on(runtime, async {
            let socket = async {
                match &place {
                    Some(place) => by_socket.socket(&place.listener).await,
                    None => std::future::pending().await,
                }
            };
            let address = async {
                match listen {
                    Some(address) => {
                        tokio::select! {
                            () = leave.cancelled() => {}
                            () = by_address.address(address) => {}
                        }
                    }
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
    /// Each connection ends after the answer that is under way.
    leave: CancellationToken,
    /// Oldest first.
    open: Rc<RefCell<VecDeque<Open>>>,
}

struct Open {
    task: AbortHandle,
    waiting: Arc<AtomicUsize>,
}

/// An answer on its way: counted until its last byte has left.
struct Waiting {
    answer: Bytes,
    count: Arc<AtomicUsize>,
}

// === impl Door ===

impl Door {
    fn new(way: Way, shared: Arc<Shared>, leave: CancellationToken) -> Self {
        Self { way, shared, leave, open: Rc::default() }
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
        open.retain(|connection| !connection.task.is_finished());
        if open.len() >= CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.task.abort();
        }
        let (way, shared, leave) = (self.way, self.shared.clone(), self.leave.clone());
        let waiting: Arc<AtomicUsize> = Arc::default();
        let (count, all) = (waiting.clone(), self.open.clone());
        let connection = spawn_local(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let (shared, count, all) = (shared.clone(), count.clone(), all.clone());
                async move {
                    let answer = answer::to(&shared, way, request).await;
                    Ok::<_, Infallible>(answer.map(|body| waiting_for(&all, body, count)))
                }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .max_buf_size(HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), service);
            // A client that breaks off or is late has only itself to tell.
            let _ = timeout(LIFETIME, until(connection, &leave)).await;
        });
        open.push_back(Open { task: connection.abort_handle(), waiting });
    }
}

/// The connection's whole life, which is cut to the answer under way by `leave`.
async fn until<T, S>(connection: http1::Connection<TokioIo<T>, S>, leave: &CancellationToken)
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    S: HttpService<Incoming, ResBody = Full<Bytes>>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = leave.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Makes room for an answer by ending the oldest connections whose answers are not taken.
fn waiting_for(
    open: &RefCell<VecDeque<Open>>,
    answer: Bytes,
    count: Arc<AtomicUsize>,
) -> Full<Bytes> {
    let mut total: usize =
        open.borrow().iter().map(|connection| connection.waiting.load(Ordering::Relaxed)).sum();
    for connection in &*open.borrow() {
        if total + answer.len() <= WAITING {
            break;
        }
        let waits = connection.waiting.load(Ordering::Relaxed);
        if waits > 0 && !Arc::ptr_eq(&connection.waiting, &count) {
            connection.task.abort();
            total -= waits;
        }
    }
    count.fetch_add(answer.len(), Ordering::Relaxed);
    Full::new(Bytes::from_owner(Waiting { answer, count }))
}

// === impl Waiting ===

impl AsRef<[u8]> for Waiting {
    fn as_ref(&self) -> &[u8] {
        &self.answer
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.count.fetch_sub(self.answer.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Open {
        let task = spawn_local(std::future::pending::<()>()).abort_handle();
        Open { task, waiting: Arc::default() }
    }

    #[tokio::test]
    async fn answers_that_nobody_takes_make_room_for_new_ones() {
        LocalSet::new()
            .run_until(async {
                let open = RefCell::new(VecDeque::from_iter((0..4).map(|_| connection())));
                let count = |index: usize| open.borrow()[index].waiting.clone();
                let answer = || Bytes::from(vec![0; WAITING / 2]);
                let first = waiting_for(&open, answer(), count(0));
                let second = waiting_for(&open, answer(), count(1));
                drop(second);
                let third = waiting_for(&open, answer(), count(2));
                let fourth = waiting_for(&open, answer(), count(3));
                tokio::task::yield_now().await;
                let ended: Vec<bool> =
                    open.borrow().iter().map(|connection| connection.task.is_finished()).collect();
                assert_eq!(ended, [true, false, false, false], "the oldest with bytes goes");
                drop((first, third, fourth));
                assert!((0..4).all(|index| count(index).load(Ordering::Relaxed) == 0));
            })
            .await;
    }
}
