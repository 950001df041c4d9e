//! Steady traffic of real clients for the stories that change something under load.
//!
//! HTTP/1.1 clients that keep their connection or open a new one for each request, HTTP/2 clients
//! with several streams, gRPC streams and WebSocket sessions run until they are told to stop. Each
//! failed request and each connection that the other end closed is counted: a story's promise is
//! usually that both are zero.

mod clients;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// What the clients do.
#[derive(Clone)]
pub struct Mix {
    /// VIP and port for clear-text HTTP/1.1 and WebSocket.
    pub http: SocketAddr,
    /// VIP and port for HTTP/2 over TLS, with what the clients trust.
    pub https: Option<(SocketAddr, Arc<rustls::ClientConfig>)>,
    pub host: String,
    pub path: String,
    /// Path that answers with a WebSocket echo; `None` = no sessions.
    pub websocket_path: Option<String>,
    /// Path that mirrors messages and ends with the trailer `grpc-status: 0`.
    pub grpc_path: Option<String>,
    pub http1_clients: usize,
    /// Clients with a new connection for each request.
    pub fresh_clients: usize,
    pub http2_clients: usize,
    pub websockets: usize,
    pub grpc_streams: usize,
    /// How long a WebSocket session or a gRPC stream lasts; `None` = to the end.
    pub session: Option<Duration>,
    /// Whether the server may take its leave, announced: by `Connection: close` or GOAWAY. The
    /// client goes on over a new connection then. Otherwise that counts as closed.
    pub goodbyes: bool,
    /// Pause of a client between two requests: bounds the load of a shared machine.
    pub pause: Duration,
}

/// What happened so far.
#[derive(Debug, Default)]
pub struct Tally {
    pub requests: AtomicU64,
    /// Requests without an answer of 200, and messages without their echo.
    pub failed: AtomicU64,
    /// Connections that the server ended while the client still used them.
    pub closed: AtomicU64,
    /// Connections that ended as announced.
    pub goodbyes: AtomicU64,
    /// Of WebSocket sessions and gRPC streams.
    pub messages: AtomicU64,
    first_failure: std::sync::Mutex<Option<String>>,
}

/// Running clients; dropping it stops them.
pub struct Traffic {
    stop: CancellationToken,
    tally: Arc<Tally>,
    thread: Option<JoinHandle<()>>,
}

// === impl Mix ===

impl Mix {
    /// Nothing yet, to the address `http`.
    pub fn of(host: &str, http: SocketAddr) -> Self {
        Self {
            http,
            https: None,
            host: host.to_owned(),
            path: "/".to_owned(),
            websocket_path: None,
            grpc_path: None,
            http1_clients: 0,
            fresh_clients: 0,
            http2_clients: 0,
            websockets: 0,
            grpc_streams: 0,
            session: None,
            goodbyes: false,
            pause: Duration::from_millis(5),
        }
    }
}

// === impl Traffic ===

impl Traffic {
    /// Starts the clients on a thread that calls `enter` first: to step into the namespace of the
    /// client host.
    pub fn start(mix: Mix, enter: impl FnOnce() + Send + 'static) -> Self {
        let stop = CancellationToken::new();
        let tally = Arc::new(Tally::default());
        let thread = {
            let (stop, tally) = (stop.clone(), tally.clone());
            std::thread::Builder::new().name("traffic".to_owned()).spawn(move || {
                enter();
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap()
                    .block_on(clients::run(mix, stop, tally));
            })
        };
        Self { stop, tally, thread: Some(thread.unwrap()) }
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Waits until `count` more requests were answered, so that a change surely met traffic.
    pub fn wait_for_requests(&self, count: u64) {
        let goal = self.tally.requests.load(Ordering::Relaxed) + count;
        super::deadline::eventually("the clients made requests", || {
            self.tally.requests.load(Ordering::Relaxed) >= goal
        });
    }

    /// Lets each client finish its request and returns the tally.
    pub fn finish(mut self) -> Arc<Tally> {
        self.stop_and_join();
        self.tally.clone()
    }

    fn stop_and_join(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

// === impl Tally ===

impl Tally {
    pub fn fail(&self, what: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.first_failure.lock().unwrap().get_or_insert(what);
    }

    pub fn first_failure(&self) -> Option<String> {
        self.first_failure.lock().unwrap().clone()
    }

    /// Panics unless no request failed and no connection was closed.
    pub fn assert_untouched(&self) {
        let failure = self.first_failure();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        println!(
            "traffic: {} requests, {} messages, {} failed, {} connections closed, {} goodbyes",
            count(&self.requests),
            count(&self.messages),
            count(&self.failed),
            count(&self.closed),
            count(&self.goodbyes),
        );
        assert!(count(&self.requests) > 0, "no request was made");
        assert_eq!((count(&self.failed), count(&self.closed)), (0, 0), "first: {failure:?}");
    }
}
