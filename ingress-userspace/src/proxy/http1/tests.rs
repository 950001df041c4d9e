//! Conversations over a stream in memory, in paused time.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::config::{Config, PortProtocol};
use crate::proxy::body::ReplyBody;
use crate::proxy::body::scripted::{Scripted, Step};
use crate::proxy::request::{Outcome, Reply};
use crate::proxy::worker::fixture::state;
use crate::proxy::{Failure, Settings};

mod answers;
mod bodies;
mod endings;
mod smuggling;

/// One connection and what is behind it.
struct Talk {
    io: DuplexStream,
    seen: Seen,
    state: Rc<WorkerState>,
    server: JoinHandle<()>,
}

/// `METHOD target body` of each request that was served, in order.
type Seen = Rc<RefCell<Vec<String>>>;

/// A service that answers by path.
struct Backend {
    seen: Seen,
    /// Requests that are being served.
    running: Rc<Cell<usize>>,
}

struct Running(Rc<Cell<usize>>);

// === impl Talk ===

impl Talk {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::on(duplex(64 << 10), change)
    }

    fn on((io, server): (DuplexStream, DuplexStream), change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::from(&Config::default());
        change(&mut settings);
        let state = Rc::new(state(settings));
        let seen = Seen::default();
        let backend = Backend { seen: seen.clone(), running: Rc::default() };
        let served = serve_connection(server, state.clone(), Rc::new(connection()), backend);
        Self { io, seen, state, server: spawn_local(served) }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The server may have closed: what it answered is looked at instead.
        let _ = self.io.write_all(bytes.as_ref()).await;
    }

    /// Reads until the text ends like this.
    async fn until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            let mut piece = BytesMut::new();
            let n = self.io.read_buf(&mut piece).await.unwrap();
            assert!(n > 0, "closed after {:?}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&piece);
        }
        String::from_utf8(text).unwrap()
    }

    /// Everything until the server closes.
    async fn rest(&mut self) -> String {
        let mut text = Vec::new();
        self.io.read_to_end(&mut text).await.unwrap();
        String::from_utf8(text).unwrap()
    }

    /// One answer after which the connection goes on.
    async fn ask(&mut self, bytes: &str) -> String {
        self.send(bytes).await;
        self.until("\r\n\r\nok\n").await
    }

    fn seen(&self) -> Vec<String> {
        self.seen.borrow().clone()
    }

    fn failures(&self, failure: Failure) -> u64 {
        self.state.counters.failures[failure.index()].value()
    }
}

// === impl Backend ===

impl Service for Backend {
    fn serve(&self, request: Request<RequestBody>, _: &mut Outcome) -> impl Future<Output = Reply> {
        let seen = self.seen.clone();
        let running = Running::new(&self.running);
        async move {
            let (head, body) = request.into_parts();
            let read = !head.uri.path().starts_with("/unread");
            let body = if read { body.collect().await } else { Ok(Default::default()) };
            let reply = match body {
                Ok(body) => {
                    let trailers = body.trailers().map_or(0, HeaderMap::len);
                    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
                    let text = match trailers {
                        0 => format!("{} {} {text}", head.method, head.uri),
                        n => format!("{} {} {text} +{n}", head.method, head.uri),
                    };
                    seen.borrow_mut().push(text.trim_end().to_owned());
                    answer(&head).await
                }
                // As an upstream connection tells it: without the reason.
                Err(_) => Reply::Failed(Failure::UpstreamClosed),
            };
            drop(running);
            reply
        }
    }
}

async fn answer(head: &Parts) -> Reply {
    let mut response = Response::new(ReplyBody::Full(Bytes::from_static(b"ok\n")));
    let data = |text: &'static str| Step::Data(Bytes::from_static(text.as_bytes()));
    match head.uri.path() {
        "/slow" => sleep(Duration::from_secs(10)).await,
        "/no-content" | "/unread-no-content" => {
            *response.status_mut() = http::StatusCode::NO_CONTENT;
            response.headers_mut().insert("content-length", HeaderValue::from_static("3"));
        }
        "/not-modified" => {
            *response.status_mut() = http::StatusCode::NOT_MODIFIED;
            response.headers_mut().insert("content-length", HeaderValue::from_static("3"));
        }
        "/sized" => {
            response.headers_mut().insert("content-length", HeaderValue::from_static("77"));
            *response.body_mut() = ReplyBody::Scripted(Scripted::new([data("short")]));
        }
        "/own-fields" => {
            for (name, value) in [
                ("connection", "x-private"),
                ("keep-alive", "timeout=5"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "h2c"),
                ("server", "theirs"),
                ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
                ("x-other", "kept"),
            ] {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
        }
        "/stream" => {
            let mut trailers = HeaderMap::new();
            trailers.insert("checksum", HeaderValue::from_static("1"));
            trailers.insert("content-length", HeaderValue::from_static("1"));
            *response.body_mut() = ReplyBody::Scripted(Scripted::new([
                data("one"),
                Step::Pause(Duration::from_secs(1)),
                data("twotwotwotwotwotwo"),
                Step::Trailers(trailers),
            ]));
        }
        "/endless" => {
            let wait = Step::Pause(Duration::from_secs(1_000_000));
            *response.body_mut() = ReplyBody::Scripted(Scripted::new([data("one"), wait]));
        }
        "/breaks-at-once" => {
            let fail = Step::Fail(Failure::UpstreamClosed);
            *response.body_mut() = ReplyBody::Scripted(Scripted::new([fail]));
        }
        "/breaks" => {
            *response.body_mut() = ReplyBody::Scripted(Scripted::new([
                data("one"),
                Step::Pause(Duration::from_secs(1)),
                Step::Fail(Failure::UpstreamClosed),
            ]));
        }
        "/large" => *response.body_mut() = ReplyBody::Full(Bytes::from(vec![b'x'; 1 << 20])),
        "/unread-fails" | "/fails" => return Reply::Failed(Failure::NoRoute),
        _ => {}
    }
    Reply::Response(response)
}

// === impl Running ===

impl Running {
    fn new(number: &Rc<Cell<usize>>) -> Self {
        number.set(number.get() + 1);
        Self(number.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

fn connection() -> Connection {
    let (peer, local) = ("192.0.2.1:4000", "198.51.100.1:80");
    Connection::new(peer.parse().unwrap(), local.parse().unwrap(), PortProtocol::Http, None)
}

/// Runs a test with its tasks on this thread.
async fn local(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n")
}

fn post(path: &str, fields: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n{body}")
}

/// Number of answers in a text that has no `HTTP/1.1` in its bodies.
fn answers(text: &str) -> usize {
    text.matches("HTTP/1.1 ").count()
}

#[test]
fn an_idle_connection_is_small() {
    let state = Rc::new(state(Settings::from(&Config::default())));
    let shared = size_of::<RefCell<Inbound<tokio::net::TcpStream>>>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _context = runtime.enter();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    stream.set_nonblocking(true).unwrap();
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    let backend = Backend { seen: Seen::default(), running: Rc::default() };
    let task = serve_connection(stream, state, Rc::new(connection()), backend);
    let task = size_of_val(&task) + shared + size_of::<Connection>();
    // The runtime adds some 600 bytes of task, timer and registration.
    assert!(task <= 1500, "{task} bytes");
}
