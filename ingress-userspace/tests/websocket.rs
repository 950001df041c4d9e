//! WebSocket and other upgrades: the handshake is relayed, then bytes are not touched.
#![allow(clippy::unwrap_used, reason = "tests panic where a promise is broken")]

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use genkan::config::{BalanceConfig, Config};
use genkan::metrics::{Exposition, Form};
use genkan::testing::backend::{Answer, Backend};
use genkan::testing::ca::TestCa;
use genkan::testing::client::{self, PATIENCE};
use genkan::testing::deadline::eventually;
use genkan::testing::edge::Edge;
use genkan::upstream::UpstreamCounters;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

const HOST: &str = "ws.example";

fn edge_and_backend() -> (Edge, Backend) {
    let (edge, backend) = (Edge::start(), Backend::http1("pod"));
    edge.route(HOST, &backend);
    (edge, backend)
}

async fn open<T>(stream: T) -> WebSocketStream<T>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let request = format!("ws://{HOST}/chat").into_client_request().unwrap();
    tokio_tungstenite::client_async(request, stream).await.unwrap().0
}

async fn next<T>(socket: &mut WebSocketStream<T>) -> Message
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time").unwrap().unwrap()
}

#[tokio::test]
async fn messages_are_echoed_whatever_their_size() {
    let (edge, _backend) = edge_and_backend();
    let mut socket = open(TcpStream::connect(edge.http()).await.unwrap()).await;
    for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        let text = "x".repeat(size);
        socket.send(Message::text(text.clone())).await.unwrap();
        assert_eq!(next(&mut socket).await, Message::text(text));
        let bytes: Vec<u8> = (0..size).map(|n| n as u8).collect();
        socket.send(Message::binary(bytes.clone())).await.unwrap();
        assert_eq!(next(&mut socket).await, Message::binary(bytes));
    }
    socket.send(Message::Ping("p".into())).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Pong("p".into()));
    socket.close(None).await.unwrap();
    while let Some(message) = socket.next().await {
        assert!(matches!(message, Ok(Message::Close(_)) | Err(_)), "{message:?}");
    }
}

#[tokio::test]
async fn websockets_run_over_tls() {
    let (edge, backend) = (Edge::start(), Backend::http1("pod"));
    let ca = TestCa::new();
    edge.apply(&ca.issue(&[HOST]).secret_yaml("default", "ws"));
    edge.service("pod", Some("kubernetes.io/ws"), &[backend.address()]);
    edge.ingress(HOST, "pod", &format!("tls: [{{hosts: [{HOST}], secretName: ws}}]"));
    let stream = client::tls(edge.https(), ca.client_config(&["http/1.1"]), HOST).await.unwrap();
    let mut socket = open(stream).await;
    socket.send(Message::text("over TLS")).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::text("over TLS"));
}

/// Sends a handshake with these fields and reads the head of the answer.
async fn handshake(edge: &Edge, fields: &str) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(edge.http()).await.unwrap();
    let head = format!("GET /chat HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(tokio::time::timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    (String::from_utf8(answer).unwrap().to_lowercase(), stream)
}

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

#[tokio::test]
async fn the_handshake_is_relayed_with_its_fields() {
    let (edge, backend) = edge_and_backend();
    for connection in ["Upgrade", "keep-alive, Upgrade", "upgrade", "Keep-Alive,upgrade"] {
        let fields = format!("Connection: {connection}\r\nUpgrade: websocket\r\n{KEY}");
        let (answer, _stream) = handshake(&edge, &fields).await;
        assert!(answer.starts_with("http/1.1 101 "), "{connection}: {answer}");
        assert!(answer.contains("\r\nupgrade: websocket\r\n"), "{answer}");
        assert!(answer.contains("\r\nconnection: upgrade\r\n"), "{answer}");
        assert!(answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{answer}");
    }
    drop(backend);
}

#[tokio::test]
async fn the_answer_has_what_its_ingress_wants_of_answers() {
    let allow = |config: &mut Config| config.headers.allowed_custom = vec!["X-Team".to_owned()];
    let (edge, backend) = (Edge::builder().config(allow).start(), Backend::http1("pod"));
    edge.apply(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {namespace: default, name: own}\n\
         data: {X-Team: a}\n",
    );
    edge.service("pod", None, &[backend.address()]);
    edge.apply(&format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  namespace: default\n  \
         name: ws\n  annotations:\n    genkan.io/custom-headers: default/own\n    \
         genkan.io/enable-cors: \"true\"\nspec:\n  rules:\n  - host: {HOST}\n    \
         http: {{paths: [{{path: /, pathType: Prefix, \
         backend: {{service: {{name: pod, port: {{number: 80}}}}}}}}]}}\n"
    ));
    let fields = format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{KEY}");
    let (answer, _stream) = handshake(&edge, &fields).await;
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    for field in ["x-team: a", "access-control-allow-origin: *", "connection: upgrade"] {
        assert!(answer.contains(&format!("\r\n{field}\r\n")), "{field}: {answer}");
    }
}

#[tokio::test]
async fn without_a_complete_request_for_it_nothing_is_upgraded() {
    let (edge, backend) = edge_and_backend();
    for fields in [
        format!("Upgrade: websocket\r\n{KEY}"),
        format!("Connection: keep-alive\r\nUpgrade: websocket\r\n{KEY}"),
        format!("Connection: upgrade\r\n{KEY}"),
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
            .to_owned(),
    ] {
        let (answer, _stream) = handshake(&edge, &fields).await;
        assert!(answer.starts_with("http/1.1 200 "), "{fields}: {answer}");
        let seen = backend.last_request();
        for name in ["upgrade", "connection", "http2-settings"] {
            assert!(!seen.headers.contains_key(name), "{fields}: {name}");
        }
    }
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_answer() {
    let (edge, backend) = edge_and_backend();
    backend.on("/chat", Answer::status(403));
    let fields = format!("Connection: upgrade\r\nUpgrade: websocket\r\n{KEY}");
    let (answer, _stream) = handshake(&edge, &fields).await;
    assert!(answer.starts_with("http/1.1 403 "), "{answer}");
}

#[tokio::test]
async fn an_idle_tunnel_ends_after_the_read_timeout() {
    let edge =
        Edge::builder().config(|c| c.timeouts.upstream_read = Duration::from_millis(200)).start();
    let backend = Backend::http1("pod");
    edge.route(HOST, &backend);
    let fields = format!("Connection: upgrade\r\nUpgrade: websocket\r\n{KEY}");
    let (answer, mut stream) = handshake(&edge, &fields).await;
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 16])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn tunnels_outlive_live_edits() {
    let (edge, _backend) = edge_and_backend();
    let mut socket = open(TcpStream::connect(edge.http()).await.unwrap()).await;
    for number in 0..20 {
        edge.ingress(&format!("other{number}.example"), "pod", "");
        let text = format!("message {number}");
        socket.send(Message::text(text.clone())).await.unwrap();
        assert_eq!(next(&mut socket).await, Message::text(text));
    }
}

/// The line of the scrape about connections to endpoints in use.
fn busy(edge: &Edge) -> String {
    let mut exposition = Exposition::new(Form::OpenMetrics);
    UpstreamCounters::export(std::iter::once(&*edge.counters().upstream), &mut exposition);
    let text = exposition.finish();
    let line =
        text.lines().find(|line| line.starts_with("genkan_upstream_connections{state=\"busy"));
    line.unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_counts_on_its_endpoint_until_it_ends() {
    const REQUESTS: usize = 400;
    let edge = Edge::builder().config(|c| c.balance = BalanceConfig::LeastRequest).start();
    let backends = [Backend::http1("first"), Backend::http1("second")];
    edge.service("pod", None, &backends.each_ref().map(Backend::address));
    edge.ingress(HOST, "pod", "");
    let fields = format!("Connection: upgrade\r\nUpgrade: websocket\r\n{KEY}");
    let (answer, stream) = handshake(&edge, &fields).await;
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    assert_eq!(busy(&edge), "genkan_upstream_connections{state=\"busy\"} 1");

    let with_tunnel = backends.iter().position(|backend| backend.connections() > 0).unwrap();
    let mut sender = client::http1(edge.http()).await;
    for _ in 0..REQUESTS {
        sender.ready().await.unwrap();
        client::read(sender.send_request(client::get(HOST, "/")).await.unwrap()).await.unwrap();
    }
    // Chosen when both candidates are the busy one: a quarter, not half of the requests.
    let taken = backends[with_tunnel].requests().len();
    assert!(taken < REQUESTS * 3 / 8, "{taken} of {REQUESTS}");

    drop(stream);
    eventually("it ends", || busy(&edge).ends_with(" 0"));
}
