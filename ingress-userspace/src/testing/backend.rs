//! The fake upstream: a pod whose every answer can be scripted, and that remembers what arrived.
//!
//! HTTP/1.1, h2c or TLS (ALPN decides) on a thread and runtime of its own, so that it serves in the
//! network namespace of the thread that starts it. Paths without a script get a JSON echo;
//! upgrades are echoed (WebSocket messages, or bytes). Dropping it closes every connection.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hashbrown::HashMap;
use http::{HeaderMap, Method, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

mod answer;
mod body;
mod connection;
mod serve;

pub use answer::{Answer, Fault};
use connection::{Mischief, Stream};

/// A running fake upstream.
pub struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone)]
pub enum Protocol {
    Http1,
    /// HTTP/2 with prior knowledge, clear text.
    H2c,
    /// ALPN decides between HTTP/2 and HTTP/1.1.
    Tls(Arc<rustls::ServerConfig>),
}

/// A request as it arrived, complete with its body.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub method: Method,
    pub uri: Uri,
    pub version: Version,
    pub headers: HeaderMap,
    /// Empty for mirrored bodies and for answers that come before the body.
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
    /// Number of the connection that it came on, from 0.
    pub connection: usize,
}

struct Shared {
    pod: String,
    scripts: Mutex<HashMap<String, Answer>>,
    recorded: Mutex<Vec<Recorded>>,
    accepted: AtomicUsize,
    open: AtomicUsize,
}

/// Counts a connection as open for as long as it lives.
struct OpenGuard(Arc<Shared>);

// === impl Backend ===

impl Backend {
    /// HTTP/1.1 on an ephemeral port of 127.0.0.1.
    pub fn http1(pod: &str) -> Self {
        Self::start(pod, Protocol::Http1)
    }

    pub fn h2c(pod: &str) -> Self {
        Self::start(pod, Protocol::H2c)
    }

    pub fn tls(pod: &str, config: Arc<rustls::ServerConfig>) -> Self {
        Self::start(pod, Protocol::Tls(config))
    }

    pub fn start(pod: &str, protocol: Protocol) -> Self {
        Self::bind(pod, protocol, "127.0.0.1:0".parse().unwrap()).unwrap()
    }

    /// Listens on `address` in the network namespace of the calling thread.
    pub fn bind(pod: &str, protocol: Protocol, address: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            pod: pod.to_owned(),
            scripts: Mutex::default(),
            recorded: Mutex::default(),
            accepted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name(format!("backend {pod}")).spawn({
            let shared = shared.clone();
            move || {
                runtime.block_on(async {
                    let accepting = accept(listener, &protocol, &shared);
                    tokio::select! {
                        result = accepting => result.unwrap(),
                        _ = stopped => {}
                    }
                });
            }
        })?;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn pod(&self) -> &str {
        &self.shared.pod
    }

    /// From now on `path` (exact, without query) is answered so.
    pub fn on(&self, path: &str, answer: Answer) -> &Self {
        self.shared.scripts.lock().unwrap().insert(path.to_owned(), answer);
        self
    }

    /// All requests so far, in the order in which their bodies were complete.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.recorded.lock().unwrap().clone()
    }

    /// The newest request. Panics without one.
    pub fn last_request(&self) -> Recorded {
        self.requests().pop().expect("the backend got no request")
    }

    /// Waits until `count` requests have come. Panics after five seconds.
    pub fn wait_for_requests(&self, count: usize) -> Vec<Recorded> {
        wait_until("requests", || self.shared.recorded.lock().unwrap().len() >= count);
        self.requests()
    }

    pub fn clear_requests(&self) {
        self.shared.recorded.lock().unwrap().clear();
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Waits until this many connections are open. Panics after five seconds.
    pub fn wait_for_open_connections(&self, count: usize) {
        wait_until("open connections", || self.open_connections() == count);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

// === impl OpenGuard ===

impl OpenGuard {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Ordering::Relaxed);
        Self(shared.clone())
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn accept(
    listener: std::net::TcpListener,
    protocol: &Protocol,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        let (tcp, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            Some(_) = connections.join_next() => continue,
        };
        let _ = tcp.set_nodelay(true);
        let mischief = Arc::new(Mischief::default());
        let stream = Stream::new(tcp, mischief.clone());
        let number = shared.accepted.fetch_add(1, Ordering::Relaxed);
        let open = OpenGuard::new(shared);
        let (protocol, shared) = (protocol.clone(), shared.clone());
        connections.spawn(async move {
            let _open = open;
            let service = serve::Service { shared, mischief, connection: number };
            match protocol {
                Protocol::Http1 => http1(stream, service).await,
                Protocol::H2c => http2(stream, service).await,
                Protocol::Tls(config) => {
                    let Ok(tls) = TlsAcceptor::from(config).accept(stream).await else { return };
                    match tls.get_ref().1.alpn_protocol() {
                        Some(b"h2") => http2(tls, service).await,
                        _ => http1(tls, service).await,
                    }
                }
            }
        });
    }
}

async fn http1<S>(stream: S, service: serve::Service)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.half_close(true).title_case_headers(false);
    // Broken connections are part of the script.
    let _ = builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

async fn http2<S>(stream: S, service: serve::Service)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder.enable_connect_protocol();
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !done() {
        assert!(Instant::now() < deadline, "the backend waited too long for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(test)]
mod tests;
