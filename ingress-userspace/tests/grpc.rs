//! gRPC through the proxy: HTTP/2 on both sides, trailers, streams that stay open.
#![allow(clippy::unwrap_used, reason = "tests panic where a promise is broken")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use genkan::testing::backend::{Answer, Backend};
use genkan::testing::ca::TestCa;
use genkan::testing::client::{self, PATIENCE};
use genkan::testing::deadline::eventually;
use genkan::testing::edge::Edge;
use h2::client::SendRequest;
use http::Request;

const HOST: &str = "grpc.example";

struct Site {
    edge: Edge,
    ca: TestCa,
    backend: Backend,
}

impl Site {
    fn new() -> Self {
        let (edge, ca, backend) = (Edge::start(), TestCa::new(), Backend::h2c("pod"));
        edge.apply(&ca.issue(&[HOST]).secret_yaml("default", "grpc"));
        edge.service("pod", Some("kubernetes.io/h2c"), &[backend.address()]);
        edge.ingress(HOST, "pod", &format!("tls: [{{hosts: [{HOST}], secretName: grpc}}]"));
        Self { edge, ca, backend }
    }

    async fn connect(&self) -> SendRequest<Bytes> {
        let stream =
            client::tls(self.edge.https(), self.ca.client_config(&["h2"]), HOST).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

fn call(method: &str) -> Request<()> {
    Request::post(format!("https://{HOST}{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "10S")
        .body(())
        .unwrap()
}

/// A length-prefixed message.
fn message(text: &str) -> Bytes {
    let mut out = vec![0];
    out.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    out.into()
}

#[tokio::test]
async fn a_unary_call_gets_its_status_in_trailers() {
    let site = Site::new();
    let answer = Answer::bytes(message("pong"))
        .with_header("content-type", "application/grpc")
        .with_trailer("grpc-status", "0")
        .with_trailer("grpc-message", "fine");
    site.backend.on("/test.Echo/Ping", answer);
    let (response, mut stream) =
        site.connect().await.send_request(call("/test.Echo/Ping"), false).unwrap();
    stream.send_data(message("ping"), true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let mut body = response.into_body();
    let mut data = Vec::new();
    while let Some(piece) = body.data().await {
        data.extend_from_slice(&piece.unwrap());
    }
    assert_eq!(data, message("pong"));
    let trailers = body.trailers().await.unwrap().unwrap();
    assert_eq!(
        (&trailers["grpc-status"], &trailers["grpc-message"]),
        (&http::HeaderValue::from_static("0"), &http::HeaderValue::from_static("fine"))
    );
    let seen = site.backend.last_request();
    assert_eq!(seen.headers["te"], "trailers");
    assert_eq!(seen.headers["grpc-timeout"], "10S");
    assert_eq!(seen.body, message("ping"));
}

#[tokio::test]
async fn messages_of_both_directions_pass_as_they_come() {
    let site = Site::new();
    site.backend.on("/test.Echo/Chat", Answer::mirror());
    let (response, mut stream) =
        site.connect().await.send_request(call("/test.Echo/Chat"), false).unwrap();
    stream.send_data(message("0"), false).unwrap();
    let response = tokio::time::timeout(PATIENCE, response).await.unwrap().unwrap();
    let mut body = response.into_body();
    for number in 0..20 {
        let piece = tokio::time::timeout(PATIENCE, body.data()).await.expect("no wait for more");
        let piece = piece.unwrap().unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        assert_eq!(piece, message(&number.to_string()));
        stream.send_data(message(&(number + 1).to_string()), number == 19).unwrap();
    }
}

#[tokio::test]
async fn an_answer_of_trailers_only_stays_one_header_block() {
    let site = Site::new();
    let answer = Answer::status(200)
        .with_header("content-type", "application/grpc")
        .with_header("grpc-status", "12");
    site.backend.on("/test.Echo/Missing", answer);
    let (response, _stream) =
        site.connect().await.send_request(call("/test.Echo/Missing"), true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "12");
    assert!(response.body().is_end_stream());
}

#[tokio::test]
async fn our_own_failures_are_statuses_of_grpc() {
    let site = Site::new();
    site.edge.service("none", Some("kubernetes.io/h2c"), &[]);
    site.edge.ingress("none.example", "none", "");
    let mut request = call("/test.Echo/Ping");
    *request.uri_mut() = "https://none.example/test.Echo/Ping".parse().unwrap();
    let (response, _stream) = site.connect().await.send_request(request, true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["grpc-status"], "14", "UNAVAILABLE");
    assert!(response.body().is_end_stream());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_call_is_cancelled_at_the_endpoint() {
    let edge = Edge::start();
    let ca = TestCa::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    edge.apply(&ca.issue(&[HOST]).secret_yaml("default", "grpc"));
    edge.service("pod", Some("kubernetes.io/h2c"), &[listener.local_addr().unwrap()]);
    edge.ingress(HOST, "pod", &format!("tls: [{{hosts: [{HOST}], secretName: grpc}}]"));
    let reset = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
        let polled = async { std::future::poll_fn(|cx| respond.poll_reset(cx)).await.unwrap() };
        tokio::select! {
            reason = polled => reason,
            _ = connection.accept() => panic!("the connection ended"),
        }
    });
    let stream = client::tls(edge.https(), ca.client_config(&["h2"]), HOST).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let (response, mut stream) = sender.send_request(call("/test.Echo/Slow"), false).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    stream.send_reset(h2::Reason::CANCEL);
    assert_eq!(tokio::time::timeout(PATIENCE, reset).await.unwrap().unwrap(), h2::Reason::CANCEL);
    assert!(response.await.is_err());
}

/// grpc-go's interop programs, both ends official, the proxy between.
#[test]
fn the_official_interop_cases_pass() {
    let Some(directory) = std::env::var_os("GENKAN_INTEROP_DIR").map(PathBuf::from) else {
        println!("SKIPPED: the_official_interop_cases_pass: GENKAN_INTEROP_DIR is not set");
        assert!(std::env::var_os("GENKAN_TEST_STRICT").is_none(), "GENKAN_TEST_STRICT is set");
        return;
    };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _server = Running(
        Command::new(directory.join("server"))
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let endpoint = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    eventually("the server listens", || std::net::TcpStream::connect(endpoint).is_ok());
    let (edge, ca) = (Edge::builder().config(|c| c.limits.request_body = 0).start(), TestCa::new());
    edge.apply(&ca.issue(&[HOST]).secret_yaml("default", "grpc"));
    edge.service("pod", Some("kubernetes.io/h2c"), &[endpoint]);
    edge.ingress(HOST, "pod", &format!("tls: [{{hosts: [{HOST}], secretName: grpc}}]"));
    let roots = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(roots.path(), ca.pem()).unwrap();
    for case in [
        "empty_unary",
        "large_unary",
        "client_streaming",
        "server_streaming",
        "ping_pong",
        "empty_stream",
        "custom_metadata",
        "status_code_and_message",
        "special_status_message",
        "unimplemented_method",
        "unimplemented_service",
        "cancel_after_begin",
        "cancel_after_first_response",
        "timeout_on_sleeping_server",
    ] {
        let output = Command::new(directory.join("client"))
            .args(["--use_tls=true", "--use_test_ca=true", "--server_host=127.0.0.1"])
            .arg(format!("--server_host_override={HOST}"))
            .arg(format!("--server_port={}", edge.https().port()))
            .arg(format!("--ca_file={}", roots.path().display()))
            .arg(format!("--test_case={case}"))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{case}: {errors}");
    }
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
