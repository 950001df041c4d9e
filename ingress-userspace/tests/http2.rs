//! HTTP/2 towards clients: the same answers as HTTP/1, and what clients must not do.
#![allow(clippy::unwrap_used, reason = "tests panic where a promise is broken")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use genkan::proxy::Failure;
use genkan::testing::backend::{Answer, Backend, Fault};
use genkan::testing::ca::TestCa;
use genkan::testing::client::{self, Body, full};
use genkan::testing::deadline::eventually;
use genkan::testing::edge::Edge;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::SendRequest;
use tokio_rustls::client::TlsStream;

#[path = "http2/endings.rs"]
mod endings;
#[path = "http2/hostile.rs"]
mod hostile;

const HOST: &str = "a.example";

struct Site {
    edge: Edge,
    ca: TestCa,
    backend: Backend,
}

impl Site {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut genkan::config::Config)) -> Self {
        Self::towards(Backend::http1("pod"), None, change)
    }

    fn towards(
        backend: Backend,
        protocol: Option<&str>,
        change: impl FnOnce(&mut genkan::config::Config),
    ) -> Self {
        let edge = Edge::builder().config(change).start();
        let ca = TestCa::new();
        edge.apply(&ca.issue(&[HOST]).secret_yaml("default", "a"));
        edge.service("pod", protocol, &[backend.address()]);
        edge.ingress(HOST, "pod", &format!("tls: [{{hosts: [{HOST}], secretName: a}}]"));
        Self { edge, ca, backend }
    }

    async fn connect(&self) -> SendRequest<Body> {
        client::http2(self.edge.https(), self.ca.client_config(&["h2"]), HOST).await
    }

    async fn ask(&self, request: Request<Body>) -> client::Got {
        client::read(self.connect().await.send_request(request).await.unwrap()).await.unwrap()
    }

    /// A connection on which the test writes frames itself.
    async fn raw(&self) -> TlsStream<tokio::net::TcpStream> {
        client::tls(self.edge.https(), self.ca.client_config(&["h2"]), HOST).await.unwrap()
    }

    fn failures(&self, failure: Failure) -> u64 {
        self.edge.counters().failures[failure.index()].value()
    }
}

fn get(path: &str) -> Request<Body> {
    request(Method::GET, path).body(full("")).unwrap()
}

fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("https://{HOST}{path}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_gets_the_request_as_it_was() {
    let site = Site::new();
    let put = request(Method::PUT, "/p?q")
        .header("user-agent", "Test/2")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(full("hello"))
        .unwrap();
    let got = site.ask(put).await;
    assert_eq!(got.status, 200);
    assert_eq!(got.headers["server"], "genkan");
    assert!(got.headers.contains_key("date"));
    let seen = site.backend.last_request();
    assert_eq!(seen.uri, "/p?q");
    assert_eq!(seen.version, http::Version::HTTP_11);
    assert_eq!(seen.body, "hello");
    for (name, value) in [
        ("host", HOST),
        ("cookie", "a=1; b=2"),
        ("user-agent", "Test/2"),
        ("content-length", "5"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", HOST),
    ] {
        assert_eq!(seen.headers[name], value, "{name}");
    }
}

#[tokio::test]
async fn answers_of_our_own_come_from_the_same_table() {
    let site = Site::with(|c| {
        c.limits.request_body = 1000;
        c.limits.request_line = 200;
        c.limits.request_header_count = 20;
    });
    let long = format!("/{}", "x".repeat(300));
    let mut many = request(Method::GET, "/");
    for number in 0..30 {
        many = many.header(format!("x-{number}"), "1");
    }
    let cases = [
        (get(&long), 414),
        (many.body(full("")).unwrap(), 431),
        (request(Method::POST, "/").body(full(vec![0; 2000])).unwrap(), 413),
        (get("/a%2fb"), 400),
    ];
    for (request, status) in cases {
        let shown = request.uri().to_string();
        assert_eq!(site.ask(request).await.status, status, "{shown}");
    }
    let other = Request::get("https://other.example/").body(full("")).unwrap();
    assert_eq!(site.ask(other).await.status, 404);
    eventually("all are counted", || site.edge.counters().answers[3].value() == 5);
}

#[tokio::test]
async fn h7_authority_and_host_that_differ_are_400() {
    let site = Site::new();
    let differ = request(Method::GET, "/").header("host", "b.example").body(full("")).unwrap();
    assert_eq!(site.ask(differ).await.status, 400);
    let same = request(Method::GET, "/").header("host", "A.example").body(full("")).unwrap();
    assert_eq!(site.ask(same).await.status, 200);
}

#[tokio::test]
async fn connect_is_not_served() {
    let site = Site::new();
    let connect = Request::connect("a.example:443").body(full("")).unwrap();
    assert_eq!(site.ask(connect).await.status, 501);
}

#[tokio::test]
async fn a_body_without_length_is_limited_while_it_comes() {
    let site = Site::with(|c| c.limits.request_body = 100_000);
    let frames =
        (0..20).map(|_| Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![0; 10_000]))));
    let body: Body = BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames)));
    let got = site.ask(request(Method::POST, "/").body(body).unwrap()).await;
    assert_eq!(got.status, 413);
    eventually("it is counted", || site.failures(Failure::BodyTooLarge) == 1);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let site = Site::with(|c| c.timeouts.client_body = Duration::from_millis(100));
    let body: Body = BodyExt::boxed(StreamBody::new(futures_util::stream::pending::<
        std::io::Result<Frame<Bytes>>,
    >()));
    let got = site.ask(request(Method::POST, "/").body(body).unwrap()).await;
    assert_eq!(got.status, 408);
}

#[tokio::test]
async fn trailers_pass_in_both_directions() {
    let site = Site::towards(Backend::h2c("pod"), Some("kubernetes.io/h2c"), |_| {});
    site.backend.on("/t", Answer::size(10).with_trailer("x-sum", "42"));
    let mut trailers = HeaderMap::new();
    trailers.insert("x-up", "7".parse().unwrap());
    let frames = [Frame::data(Bytes::from("data")), Frame::trailers(trailers)];
    let body: Body = BodyExt::boxed(StreamBody::new(futures_util::stream::iter(
        frames.map(Ok::<_, std::io::Error>),
    )));
    let post = request(Method::POST, "/t").header("te", "trailers").body(body).unwrap();
    let got = site.ask(post).await;
    assert_eq!(got.trailers.unwrap()["x-sum"], "42");
    let seen = site.backend.last_request();
    assert_eq!(seen.headers["te"], "trailers");
    assert_eq!(seen.trailers.unwrap()["x-up"], "7");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_run_side_by_side() {
    let site = Site::new();
    site.backend.on("/slow", Answer::bytes("slow").with_delay(Duration::from_millis(300)));
    let mut sender = site.connect().await;
    let slow = tokio::spawn(sender.send_request(get("/slow")));
    for _ in 0..20 {
        assert_eq!(sender.send_request(get("/")).await.unwrap().status(), 200);
    }
    assert_eq!(slow.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn an_answer_that_breaks_off_resets_the_stream_only() {
    let site = Site::new();
    site.backend.on("/cut", Answer::fault(Fault::CloseAfter(20_000)));
    let mut sender = site.connect().await;
    let response = sender.send_request(get("/cut")).await.unwrap();
    assert!(client::read(response).await.is_err());
    assert_eq!(sender.send_request(get("/")).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_stream_ends_its_request_upstream() {
    let site = Site::new();
    let endpoint = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    site.edge.service("silent", None, &[endpoint.local_addr().unwrap()]);
    site.edge.ingress("silent.example", "silent", "");
    let mut sender = site.connect().await;
    let request = Request::get("https://silent.example/").body(full("")).unwrap();
    let asked = tokio::spawn(sender.send_request(request));
    let (mut stream, _) = endpoint.accept().await.unwrap();
    stream.readable().await.unwrap();
    asked.abort();
    let mut head = Vec::new();
    let end = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut head);
    let _ = tokio::time::timeout(client::PATIENCE, end).await.expect("the proxy closes");
    eventually("it is counted", || site.failures(Failure::ClientGone) == 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_take_its_answer_is_let_go() {
    let site = Site::with(|c| c.timeouts.client_send = Duration::from_millis(400));
    site.backend.on("/big", Answer::size(32 << 20));
    let mut sender = site.connect().await;
    let response = sender.send_request(get("/big")).await.unwrap();
    eventually("the connection upstream is let go", || site.backend.open_connections() == 0);
    assert!(client::read(response).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_closed() {
    let site = Site::with(|c| {
        c.timeouts.keep_alive = Duration::from_millis(200);
        c.timeouts.client_header = Duration::from_millis(200);
    });
    let mut sender = site.connect().await;
    assert_eq!(sender.send_request(get("/")).await.unwrap().status(), 200);
    eventually("it is closed", || sender.is_closed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_worker_finishes_what_runs() {
    let site = Site::new();
    site.backend.on("/slow", Answer::bytes("done").with_delay(Duration::from_millis(500)));
    let mut sender = site.connect().await;
    let running = tokio::spawn(sender.send_request(get("/slow")));
    eventually("it runs", || site.backend.open_connections() == 1);
    site.edge.worker(0).drain();
    let got = client::read(running.await.unwrap().unwrap()).await.unwrap();
    assert_eq!(got.text(), "done");
    eventually("the connection ends", || sender.is_closed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_serves_its_share_of_requests_only() {
    let site = Site::with(|c| c.limits.keep_alive_requests = 5);
    let mut sender = site.connect().await;
    for _ in 0..5 {
        assert_eq!(sender.send_request(get("/")).await.unwrap().status(), 200);
    }
    eventually("it is told to go", || sender.is_closed());
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused() {
    let site = Site::with(|c| c.limits.http2_streams = 3);
    site.backend.on("/slow", Answer::echo().with_delay(Duration::from_millis(200)));
    let (mut sender, connection) = h2::client::handshake(site.raw().await).await.unwrap();
    let connection = tokio::spawn(connection);
    let first = sender.send_request(get("/").map(drop), true).unwrap().0.await.unwrap();
    assert_eq!(first.status(), 200);
    assert_eq!(sender.current_max_send_streams(), 3);
    drop((sender, connection));
}

/// Opens streams and resets them at once, as many as the connection takes.
async fn rapid_resets(site: &Site) -> usize {
    let (mut sender, connection) = h2::client::handshake(site.raw().await).await.unwrap();
    tokio::spawn(connection);
    for number in 0..20_000 {
        if sender.clone().ready().await.is_err() {
            return number;
        }
        let Ok((_, mut stream)) = sender.send_request(get("/slow").map(drop), false) else {
            return number;
        };
        stream.send_reset(h2::Reason::CANCEL);
        if number % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    usize::MAX
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_end_the_connection() {
    let site = Site::new();
    site.backend.on("/slow", Answer::echo().with_delay(Duration::from_secs(60)));
    assert!(rapid_resets(&site).await < 20_000, "the flood is cut");
    assert_eq!(site.ask(get("/")).await.status, 200, "others are served");
}

#[tokio::test]
async fn forbidden_fields_and_targets_do_not_reach_an_endpoint() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let site = Site::new();
    // Literal header fields without indexing, HPACK by hand: h2 would not send them.
    let literal = |name: &str, value: &str| {
        let mut out = vec![0, u8::try_from(name.len()).unwrap()];
        out.extend_from_slice(name.as_bytes());
        out.push(u8::try_from(value.len()).unwrap());
        out.extend_from_slice(value.as_bytes());
        out
    };
    let good = [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", "/")];
    let cases: [&[(&str, &str)]; 9] = [
        &[("connection", "keep-alive")],
        &[("transfer-encoding", "chunked")],
        &[("upgrade", "websocket")],
        &[("te", "gzip")],
        &[("x-bad", "a\r\nb: c")],
        &[("x-nul", "a\0b")],
        &[("x bad", "1")],
        &[("X-Upper", "1")],
        &[("x:colon", "1")],
    ];
    for extra in cases {
        let mut block: Vec<u8> = good.iter().flat_map(|(n, v)| literal(n, v)).collect();
        block.extend(extra.iter().flat_map(|(n, v)| literal(n, v)));
        let mut stream = site.raw().await;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        // SETTINGS, then HEADERS with END_STREAM and END_HEADERS on stream 1.
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        let length = u8::try_from(block.len()).unwrap();
        stream.write_all(&[0, 0, length, 1, 5, 0, 0, 0, 1]).await.unwrap();
        stream.write_all(&block).await.unwrap();
        let mut kinds = Vec::new();
        let mut head = [0; 9];
        while stream.read_exact(&mut head).await.is_ok() {
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut payload = vec![0; length];
            stream.read_exact(&mut payload).await.unwrap();
            kinds.push(head[3]);
            // RST_STREAM, GOAWAY, or an answer.
            if [3, 7, 1].contains(&head[3]) {
                break;
            }
        }
        let last = kinds.last().copied();
        assert!(matches!(last, Some(3 | 7)), "{extra:?}: frames {kinds:?}");
    }
    assert!(site.backend.requests().is_empty());
}

#[tokio::test]
async fn a_header_list_that_is_too_long_is_431() {
    let site = Site::with(|c| c.limits.request_headers = 4096);
    let mut sender = site.connect().await;
    let long = request(Method::GET, "/").header("x", "y".repeat(8000)).body(full("")).unwrap();
    let response = sender.send_request(long).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    eventually("it is counted", || site.failures(Failure::HeadersTooLarge) == 1);
    assert!(site.backend.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_survive_live_edits() {
    let site = Arc::new(Site::new());
    let mut sender = site.connect().await;
    for number in 0..50 {
        site.edge.ingress(&format!("h{number}.example"), "pod", "");
        assert_eq!(sender.send_request(get("/")).await.unwrap().status(), 200);
    }
}
