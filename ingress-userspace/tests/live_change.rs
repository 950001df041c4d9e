//! A change reaches what it names and nothing else: the connections, pools and sessions of everything
//! else stay what they are, and what runs ends as it began.
#![allow(clippy::unwrap_used, reason = "a failure of test support is the failure of the test")]

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use genkan::model::Kind;
use genkan::testing::backend::{Answer, Backend};
use genkan::testing::ca::TestCa;
use genkan::testing::client::{self, ask, full, get, http1, read};
use genkan::testing::deadline::eventually;
use genkan::testing::edge::Edge;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const HOST: &str = "a.example";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_leaves_connections_pools_and_counts_of_other_hosts() {
    let edge = Edge::start();
    let [ours, other, third] = ["ours", "other", "third"].map(Backend::http1);
    edge.route(HOST, &ours).route("b.example", &other);
    let ca = TestCa::new();
    let mut client = http1(edge.http()).await;
    for edit in 0..20 {
        // Another host, its Service, its endpoints, a certificate; a host more.
        let pod = if edit % 2 == 0 { &third } else { &other };
        edge.service("other", None, &[pod.address()]);
        edge.apply(&ca.issue(&["b.example"]).secret_yaml("default", "b"));
        edge.ingress("b.example", "other", "tls: [{hosts: [b.example], secretName: b}]");
        edge.ingress(&format!("new-{edit}.example"), "other", "");
        let answer = read(client.send_request(get(HOST, "/")).await.unwrap()).await.unwrap();
        assert_eq!(answer.json()["pod"], "ours");
        client.ready().await.unwrap();
        assert_eq!(ask(edge.http(), get("new-0.example", "/")).await.json()["pod"], pod.pod());
    }
    assert_eq!(ours.connections(), 1, "one pooled connection for all requests");
    assert_eq!(ours.requests().len(), 20);
    eventually("every answer is counted", || edge.counters().answers[1].value() == 40);
    assert_eq!(edge.counters().connections.value(), 1 + 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_outlives_its_endpoint_and_its_route() {
    let edge = Edge::start();
    let (old, new) = (Backend::http1("old"), Backend::http1("new"));
    edge.service("pods", None, &[old.address()]).ingress(HOST, "pods", "");
    let mut tunnel = tokio::net::TcpStream::connect(edge.http()).await.unwrap();
    let upgrade =
        format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    tunnel.write_all(upgrade.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tunnel.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    type Edit<'a> = &'a dyn Fn() -> &'a Edge;
    let changes: [(u16, Edit<'_>); 3] = [
        (200, &|| edge.service("pods", None, &[new.address()])),
        (503, &|| edge.remove(Kind::EndpointSlice, "pods-0")),
        (404, &|| edge.remove(Kind::Ingress, HOST)),
    ];
    for (expected, change) in changes {
        change();
        assert_eq!(ask(edge.http(), get(HOST, "/")).await.status, expected);
        tunnel.write_all(b"still here").await.unwrap();
        let mut echo = [0; 10];
        tunnel.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"still here");
    }
    assert_eq!(new.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e5_streams_on_an_endpoint_that_leaves_are_finished() {
    let edge = Edge::start();
    let (stays, leaves) = (Backend::h2c("stays"), Backend::h2c("leaves"));
    let h2c = Some("kubernetes.io/h2c");
    edge.service("pods", h2c, &[leaves.address()]).ingress(HOST, "pods", "");
    leaves.on("/slow", Answer::size(64 << 10).with_pace(Duration::from_millis(100)));
    let running: Vec<_> =
        (0..4).map(|_| tokio::spawn(ask(edge.http(), get(HOST, "/slow")))).collect();
    eventually("the streams run", || leaves.requests().len() == 4);
    edge.service("pods", h2c, &[stays.address()]);
    for _ in 0..10 {
        assert_eq!(ask(edge.http(), get(HOST, "/")).await.json()["pod"], "stays");
    }
    for answer in running {
        assert_eq!(answer.await.unwrap().body.len(), 64 << 10);
    }
    leaves.wait_for_open_connections(0);
    assert_eq!(leaves.requests().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_ends_on_the_route_on_which_it_began() {
    let edge = Edge::start();
    let (old, new) = (Backend::http1("old"), Backend::http1("new"));
    edge.service("old", None, &[old.address()]).service("new", None, &[new.address()]);
    edge.ingress(HOST, "old", "");
    let (send, pieces) = tokio::sync::mpsc::channel::<Bytes>(1);
    let body: client::Body = BodyExt::boxed(StreamBody::new(Pieces(pieces)));
    let request = http::Request::post("/upload").header("host", HOST).body(body).unwrap();
    let running = tokio::spawn(ask(edge.http(), request));
    send.send("half of it, ".into()).await.unwrap();
    eventually("the request runs", || old.open_connections() == 1);
    edge.ingress(HOST, "new", "");
    assert_eq!(ask(edge.http(), get(HOST, "/")).await.json()["pod"], "new");
    send.send("and the rest".into()).await.unwrap();
    drop(send);
    let answer = running.await.unwrap();
    assert_eq!((answer.json()["pod"].as_str(), answer.status.as_u16()), (Some("old"), 200));
    assert_eq!(old.last_request().body, "half of it, and the rest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t16_connections_outlive_their_certificate() {
    let edge = Edge::start();
    let (ca, backend) = (TestCa::new(), Backend::http1("pod"));
    edge.service("pod", None, &[backend.address()]);
    edge.apply(&ca.issue(&[HOST]).secret_yaml("default", "a"));
    edge.ingress(HOST, "pod", &format!("tls: [{{hosts: [{HOST}], secretName: a}}]"));
    let mut http2 = client::http2(edge.https(), ca.client_config(&["h2"]), HOST).await;
    let http11 = client::tls(edge.https(), ca.client_config(&["http/1.1"]), HOST).await.unwrap();
    let mut http11 = client::http1_over(http11).await;
    let uri = format!("https://{HOST}/");
    for round in 0..5 {
        if round == 4 {
            edge.remove(Kind::Secret, "a");
        } else {
            edge.apply(&ca.issue(&[HOST]).secret_yaml("default", "a"));
        }
        let request = http::Request::get(&uri).body(full("")).unwrap();
        assert_eq!(http2.send_request(request).await.unwrap().status(), 200);
        http11.ready().await.unwrap();
        let answer = read(http11.send_request(get(HOST, "/")).await.unwrap()).await.unwrap();
        assert_eq!(answer.status, 200);
    }
    assert_eq!(edge.counters().connections.value(), 2);
}

/// A body that the test sends piece by piece.
struct Pieces(tokio::sync::mpsc::Receiver<Bytes>);

impl futures_util::Stream for Pieces {
    type Item = Result<Frame<Bytes>, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
