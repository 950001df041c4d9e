//! The forwarding half: what the endpoint gets, what the client gets, and each failure between.
#![allow(clippy::unwrap_used, reason = "tests panic where a promise is broken")]

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use genkan::model::Kind;
use genkan::proxy::Failure;
use genkan::testing::backend::{Answer, Backend, Fault};
use genkan::testing::ca::TestCa;
use genkan::testing::client::{self, Body, ask, full, get};
use genkan::testing::deadline::eventually;
use genkan::testing::edge::Edge;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

#[path = "upstream/http2.rs"]
mod http2;
#[path = "upstream/pool.rs"]
mod pool;

const HOST: &str = "a.example";

fn edge_and_backend() -> (Edge, Backend) {
    let (edge, backend) = (Edge::start(), Backend::http1("pod"));
    edge.route(HOST, &backend);
    (edge, backend)
}

/// An endpoint that plays this text to each connection after it has read a request head.
fn scripted(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut byte) {
                        Ok(1) => head.push(byte[0]),
                        _ => return,
                    }
                }
                let _ = stream.write_all(answer);
                // Stays open until the proxy closes.
                let _ = stream.read(&mut [0; 64]);
            });
        }
    });
    address
}

fn failures(edge: &Edge, failure: Failure) -> u64 {
    edge.counters().failures[failure.index()].value()
}

#[track_caller]
fn assert_failed(edge: &Edge, failure: Failure) {
    eventually("the failure is counted", || failures(edge, failure) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_gets_the_request_as_it_was() {
    let (edge, backend) = edge_and_backend();
    let request = Request::put("/some/path?x=%2F&y")
        .header("host", "A.Example:8080")
        .header("user-agent", "Test/1.0 (x)")
        .header("x-forwarded-for", "10.0.0.1")
        .header("proxy", "evil")
        .body(full("hello"))
        .unwrap();
    let got = ask(edge.http(), request).await;
    assert_eq!(got.status, 200);
    let seen = backend.last_request();
    assert_eq!(seen.method, "PUT");
    assert_eq!(seen.uri, "/some/path?x=%2F&y");
    assert_eq!(seen.version, http::Version::HTTP_11);
    assert_eq!(seen.body, "hello");
    for (name, value) in [
        ("host", "A.Example:8080"),
        ("user-agent", "Test/1.0 (x)"),
        ("content-length", "5"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-original-forwarded-for", "10.0.0.1"),
        ("x-forwarded-host", "A.Example:8080"),
        ("x-forwarded-proto", "http"),
    ] {
        assert_eq!(seen.headers[name], value, "{name}");
    }
    assert_eq!(seen.headers["x-forwarded-port"], edge.http().port().to_string());
    assert!(!seen.headers.contains_key("proxy"));
    for name in ["server", "date", "content-type", "content-length"] {
        assert!(got.headers.contains_key(name), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d7_the_path_is_forwarded_in_the_form_that_was_routed() {
    let (edge, backend) = edge_and_backend();
    ask(edge.http(), get(HOST, "/a//b/./c/../d?q=/../x//y")).await;
    assert_eq!(backend.last_request().uri, "/a/b/d?q=/../x//y");
    for bad in ["/a%2fb", "/../x", "/a%00"] {
        assert_eq!(ask(edge.http(), get(HOST, bad)).await.status, 400, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c8_nothing_matches_is_404_without_version_strings() {
    let (edge, _backend) = edge_and_backend();
    let got = ask(edge.http(), get("other.example", "/")).await;
    assert_eq!(got.status, 404);
    assert_eq!(got.headers["server"], "genkan");
    assert!(!got.text().to_lowercase().contains("genkan"));
    assert_failed(&edge, Failure::NoRoute);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c9_no_endpoint_is_503() {
    let edge = Edge::start();
    edge.service("empty", None, &[]).ingress(HOST, "empty", "");
    edge.ingress("b.example", "missing", "");
    assert_eq!(ask(edge.http(), get(HOST, "/")).await.status, 503);
    assert_eq!(ask(edge.http(), get("b.example", "/")).await.status, 503);
    eventually("both are counted", || failures(&edge, Failure::NoEndpoint("")) == 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_connection_is_502() {
    let edge = Edge::start();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    edge.service("gone", None, &[free]).ingress(HOST, "gone", "");
    assert_eq!(ask(edge.http(), get(HOST, "/")).await.status, 502);
    assert_failed(&edge, Failure::Connect);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_connection_is_tried_elsewhere() {
    let (edge, backend) = (Edge::start(), Backend::http1("pod"));
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    edge.service("pod", None, &[free(), backend.address(), free()]).ingress(HOST, "pod", "");
    for _ in 0..9 {
        let post = Request::post("/").header("host", HOST).body(full("x")).unwrap();
        assert_eq!(ask(edge.http(), post).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_not_established_in_time_is_504() {
    let edge = Edge::builder()
        .config(|c| c.timeouts.upstream_connect = Duration::from_millis(100))
        .start();
    // A full accept queue: the kernel does not answer further SYNs.
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let fill = || {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address.into());
        socket
    };
    let _filled: Vec<_> = (0..8).map(|_| fill()).collect();
    edge.service("full", None, &[address]).ingress(HOST, "full", "");
    assert_eq!(ask(edge.http(), get(HOST, "/")).await.status, 504);
    assert_failed(&edge, Failure::ConnectTimeout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_does_not_answer_in_time_is_504() {
    let edge =
        Edge::builder().config(|c| c.timeouts.upstream_read = Duration::from_millis(100)).start();
    let backend = Backend::http1("pod");
    edge.route(HOST, &backend);
    backend.on("/slow", Answer::echo().with_delay(Duration::from_secs(30)));
    assert_eq!(ask(edge.http(), get(HOST, "/slow")).await.status, 504);
    assert_failed(&edge, Failure::ReadTimeout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_timeout_counts_between_reads_not_in_all() {
    let edge =
        Edge::builder().config(|c| c.timeouts.upstream_read = Duration::from_millis(500)).start();
    let backend = Backend::http1("pod");
    edge.route(HOST, &backend);
    let slow = Answer::size(8 * (16 << 10)).with_pace(Duration::from_millis(100));
    backend.on("/paced", slow);
    assert_eq!(ask(edge.http(), get(HOST, "/paced")).await.body.len(), 8 * (16 << 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_does_not_take_the_request_in_time_is_504() {
    let edge = Edge::builder()
        .config(|c| {
            c.timeouts.upstream_send = Duration::from_millis(200);
            c.limits.request_body = 0;
        })
        .start();
    // Accepts by its backlog and never reads.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    edge.service("deaf", None, &[listener.local_addr().unwrap()]).ingress(HOST, "deaf", "");
    let post = Request::post("/").header("host", HOST).body(full(vec![b'x'; 64 << 20])).unwrap();
    let mut sender = client::http1(edge.http()).await;
    if let Ok(response) = sender.send_request(post).await {
        assert_eq!(response.status(), 504);
    }
    assert_failed(&edge, Failure::SendTimeout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_closes_before_its_answer_is_502() {
    let (edge, backend) = edge_and_backend();
    for (path, fault) in [("/fin", Fault::CloseBeforeHead), ("/rst", Fault::ResetBeforeHead)] {
        backend.on(path, Answer::fault(fault));
        assert_eq!(ask(edge.http(), get(HOST, path)).await.status, 502, "{path}");
    }
    assert_failed(&edge, Failure::UpstreamClosed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_not_http_are_502() {
    let edge = Edge::start();
    let long = {
        let mut head = b"HTTP/1.1 200 OK\r\nx-long: ".to_vec();
        head.resize(80 << 10, b'a');
        head.extend_from_slice(b"\r\ncontent-length: 0\r\n\r\n");
        &*head.leak()
    };
    let cases: [&'static [u8]; 7] = [
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        long,
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let (name, host) = (format!("bad{number}"), format!("bad{number}.example"));
        edge.service(&name, None, &[scripted(case)]).ingress(&host, &name, "");
        let text = String::from_utf8_lossy(&case[..case.len().min(60)]).into_owned();
        assert_eq!(ask(edge.http(), get(&host, "/")).await.status, 502, "{text:?}");
        eventually(&text, || failures(&edge, Failure::BadResponse("")) > number as u64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_never_looks_complete() {
    let (edge, backend) = edge_and_backend();
    for (path, fault, chunked) in [
        ("/fin", Fault::CloseAfter(30_000), false),
        ("/rst", Fault::ResetAfter(30_000), false),
        ("/fin-chunked", Fault::CloseAfter(30_000), true),
    ] {
        let answer = Answer::fault(fault);
        backend.on(path, if chunked { answer.chunked() } else { answer });
        let mut sender = client::http1(edge.http()).await;
        match sender.send_request(get(HOST, path)).await {
            Ok(response) => assert!(client::read(response).await.is_err(), "{path}"),
            Err(error) => assert!(!error.is_timeout(), "{path}: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn informational_answers_do_no_harm() {
    let (edge, backend) = edge_and_backend();
    let answer = Answer::bytes("final")
        .with_informational(103, &[("link", "</a.css>; rel=preload")])
        .with_informational(100, &[]);
    backend.on("/early", answer);
    for _ in 0..3 {
        let got = ask(edge.http(), get(HOST, "/early")).await;
        assert_eq!((got.status.as_u16(), got.text().as_str()), (200, "final"));
        assert!(!got.headers.contains_key("link"));
    }
    assert_eq!(backend.connections(), 1, "the connection is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_a_body_keep_the_connection() {
    let (edge, backend) = edge_and_backend();
    backend.on("/204", Answer::status(204)).on("/304", Answer::status(304));
    let head = Request::head("/size").header("host", HOST).body(full("")).unwrap();
    backend.on("/size", Answer::size(100));
    assert_eq!(ask(edge.http(), get(HOST, "/204")).await.status, 204);
    assert_eq!(ask(edge.http(), get(HOST, "/304")).await.status, 304);
    let got = ask(edge.http(), head).await;
    assert_eq!((got.headers["content-length"].to_str().unwrap(), got.body.len()), ("100", 0));
    assert_eq!(ask(edge.http(), get(HOST, "/")).await.status, 200);
    assert_eq!(backend.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_pass_in_both_directions() {
    let (edge, backend) = edge_and_backend();
    backend.on(
        "/sum",
        Answer::size(10).chunked().with_header("trailer", "x-sum").with_trailer("x-sum", "42"),
    );
    let request = Request::get("/sum")
        .header("host", HOST)
        .header("te", "trailers")
        .header("connection", "te")
        .body(full(""))
        .unwrap();
    let got = ask(edge.http(), request).await;
    assert_eq!(got.trailers.unwrap()["x-sum"], "42");

    let mut trailers = HeaderMap::new();
    trailers.insert("x-up", "7".parse().unwrap());
    let frames = [Frame::data(Bytes::from("data")), Frame::trailers(trailers)];
    let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, std::io::Error>)));
    let request = Request::post("/")
        .header("host", HOST)
        .header("trailer", "x-up")
        .body(BodyExt::boxed(body));
    ask(edge.http(), request.unwrap()).await;
    let seen = backend.last_request();
    assert_eq!(seen.body, "data");
    assert_eq!(seen.trailers.unwrap()["x-up"], "7");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_streamed_while_it_is_sent() {
    let edge = Edge::builder().config(|c| c.limits.request_body = 0).start();
    let backend = Backend::http1("pod");
    edge.route(HOST, &backend);
    backend.on("/mirror", Answer::mirror());
    let (pieces, queue) = tokio::sync::mpsc::channel::<Bytes>(1);
    let body: Body = BodyExt::boxed(StreamBody::new(Pieces(queue)));
    let request = Request::post("/mirror").header("host", HOST).body(body).unwrap();
    let mut sender = client::http1(edge.http()).await;
    pieces.send(Bytes::from("first")).await.unwrap();
    let response = sender.send_request(request).await.unwrap();
    let mut body = response.into_body();
    for (number, next) in ["second", "third", ""].into_iter().enumerate() {
        let frame = tokio::time::timeout(client::PATIENCE, body.frame()).await.unwrap();
        let expected = ["first", "second", "third"][number];
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), expected);
        if !next.is_empty() {
            pieces.send(Bytes::from(next)).await.unwrap();
        }
    }
    drop(pieces);
    assert!(body.frame().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_slows_the_endpoint() {
    let (edge, backend) = edge_and_backend();
    const SIZE: usize = 64 << 20;
    backend.on("/big", Answer::size(SIZE));
    let mut sender = client::http1(edge.http()).await;
    let response = sender.send_request(get(HOST, "/big")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    // What is on its way is bounded by socket buffers, not by the answer.
    let held = resident_bytes();
    assert!(held < 800 << 20, "{held}");
    assert_eq!(client::read(response).await.unwrap().body.len(), SIZE);
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_pods_are_all_reached_in_a_hundred_requests() {
    for balance in ["round_robin", "least_request"] {
        let edge = Edge::builder()
            .workers(2)
            .config(|c| {
                if balance == "least_request" {
                    c.balance = genkan::config::BalanceConfig::LeastRequest;
                }
            })
            .start();
        let pods: Vec<_> = (0..10).map(|n| Backend::http1(&format!("pod-{n}"))).collect();
        let addresses: Vec<_> = pods.iter().map(Backend::address).collect();
        edge.service("pods", None, &addresses).ingress(HOST, "pods", "");
        let mut seen = HashSet::new();
        for _ in 0..100 {
            let got = ask(edge.http(), get(HOST, "/")).await;
            seen.insert(got.json()["pod"].as_str().unwrap().to_owned());
        }
        assert_eq!(seen.len(), 10, "{balance}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e5_an_endpoint_that_leaves_gets_no_new_request_and_finishes_the_old() {
    let edge = Edge::start();
    let (stays, leaves) = (Backend::http1("stays"), Backend::http1("leaves"));
    edge.service("pods", None, &[stays.address(), leaves.address()]).ingress(HOST, "pods", "");
    leaves.on("/slow", Answer::bytes("done").with_delay(Duration::from_millis(500)));
    stays.on("/slow", Answer::bytes("done").with_delay(Duration::from_millis(500)));
    let running: Vec<_> =
        (0..4).map(|_| tokio::spawn(ask(edge.http(), get(HOST, "/slow")))).collect();
    eventually("both are asked", || leaves.open_connections() == 2);
    edge.remove(Kind::EndpointSlice, "pods-1");
    for _ in 0..10 {
        assert_eq!(ask(edge.http(), get(HOST, "/")).await.json()["pod"], "stays");
    }
    for got in running {
        assert_eq!(got.await.unwrap().text(), "done");
    }
    leaves.wait_for_open_connections(0);
    assert!(stays.open_connections() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e7_app_protocol_chooses_what_is_spoken() {
    let ca = TestCa::new();
    let edge = Edge::builder().config(|c| c.tls.verify_upstream = Some(false)).start();
    let leaf = ca.issue(&["whatever.example"]);
    let cases = [
        (None, Backend::http1("http"), "HTTP/1.1"),
        (Some("kubernetes.io/h2c"), Backend::h2c("h2c"), "HTTP/2.0"),
        (Some("kubernetes.io/ws"), Backend::http1("ws"), "HTTP/1.1"),
        (Some("https"), Backend::tls("https", leaf.server_config(&["http/1.1"])), "HTTP/1.1"),
        (Some("unknown.example/x"), Backend::http1("unknown"), "HTTP/1.1"),
    ];
    for (protocol, backend, spoken) in &cases {
        let host = format!("{}.example", backend.pod());
        edge.service(backend.pod(), *protocol, &[backend.address()]);
        edge.ingress(&host, backend.pod(), "");
        for _ in 0..3 {
            let got = ask(edge.http(), get(&host, "/x?y")).await;
            assert_eq!(got.status, 200, "{protocol:?}");
            assert_eq!(got.json()["protocol"], *spoken, "{protocol:?}");
            assert_eq!(got.json()["path"], "/x");
        }
        assert_eq!(backend.connections(), 1, "{protocol:?} is kept");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d23_endpoints_are_verified_when_asked_for() {
    let (ca, other) = (TestCa::new(), TestCa::new());
    let edge = Edge::builder().upstream_roots(ca.roots()).start();
    let alpn = &["http/1.1"];
    let cases = [
        ("good", ca.issue(&["good.default.svc"]), 200),
        ("wrong-name", ca.issue(&["other.default.svc"]), 502),
        ("wrong-root", other.issue(&["wrong-root.default.svc"]), 502),
        ("expired", ca.issue_expired(&["expired.default.svc"]), 502),
    ];
    for (name, leaf, status) in cases {
        let backend = Backend::tls(name, leaf.server_config(alpn));
        edge.service(name, Some("https"), &[backend.address()]);
        edge.ingress(&format!("{name}.example"), name, "");
        let got = ask(edge.http(), get(&format!("{name}.example"), "/")).await;
        assert_eq!(got.status, status, "{name}");
    }
    eventually("all three are counted", || failures(&edge, Failure::UpstreamTls) == 3);
}

/// A body that ends when the test drops its sender.
struct Pieces(tokio::sync::mpsc::Receiver<Bytes>);

impl futures_util::Stream for Pieces {
    type Item = std::io::Result<Frame<Bytes>>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|p| Ok(Frame::data(p))))
    }
}
