//! HTTP/1 end to end: real sockets, real upstream connections, real clients.
#![allow(clippy::unwrap_used, reason = "a failure of test support is the failure of the test")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use genkan::config::access_log::{AccessLogConfig, AccessLogTarget};
use genkan::proxy::Failure;
use genkan::proxy::access_log::AccessLog;
use genkan::testing::backend::{Answer, Backend};
use genkan::testing::deadline::{eventually, eventually_some};
use genkan::testing::edge::Edge;
use genkan::testing::require_tool;

const PATIENCE: Duration = Duration::from_secs(10);

fn edge() -> (Edge, Backend) {
    let (edge, backend) = (Edge::start(), Backend::http1("pod"));
    edge.route("a.example", &backend);
    (edge, backend)
}

fn connect(edge: &Edge) -> TcpStream {
    let stream = TcpStream::connect(edge.http()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let mut piece = [0; 4096];
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0, "closed after {:?}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&piece[..n]);
    }
    String::from_utf8(text).unwrap()
}

/// Standard output of a curl that succeeds.
fn curl(edge: &Edge, arguments: &[&str], path: &str, input: &[u8]) -> Vec<u8> {
    let address = edge.http();
    let mut child = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20", "--http1.1"])
        .arg("--resolve")
        .arg(format!("a.example:{}:{}", address.port(), address.ip()))
        .args(arguments)
        .arg(format!("http://a.example:{}{path}", address.port()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // curl may have its answer before it has read all of the input.
        scope.spawn(move || drop(stdin.write_all(input)));
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "curl: {}", output.status);
        output.stdout
    })
}

#[test]
fn one_upstream_connection_serves_a_kept_alive_client() {
    let (edge, backend) = edge();
    backend.on("/x", Answer::bytes("hello"));
    let mut client = connect(&edge);
    for _ in 0..5 {
        client.write_all(b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
        let answer = until(&mut client, "hello");
        assert!(answer.contains("content-length: 5\r\n"), "{answer}");
        assert!(answer.contains("server: ") && answer.contains("date: "), "{answer}");
    }
    assert_eq!(backend.requests().len(), 5);
    assert_eq!(backend.connections(), 1);
}

#[test]
fn curl_sends_and_gets_large_bodies_in_either_framing() {
    if !require_tool("curl") {
        return;
    }
    let (edge, backend) = edge();
    edge.set(|settings| settings.limits.request_body = 0);
    backend.on("/mirror", Answer::mirror());
    backend.on("/size", Answer::size(3 << 20));
    backend.on("/chunks", Answer::size(3 << 20).chunked());
    let body: Vec<u8> = (0..4u32 << 20).map(|n| (n % 251) as u8).collect();
    for framing in [&[][..], &["-H", "Transfer-Encoding: chunked"], &["-H", "Expect: 100-continue"]]
    {
        let arguments = [&["--data-binary", "@-"], framing].concat();
        assert!(curl(&edge, &arguments, "/mirror", &body) == body, "{framing:?}");
    }
    let sized = curl(&edge, &[], "/size", b"");
    assert_eq!(sized.len(), 3 << 20);
    assert!(curl(&edge, &[], "/chunks", b"") == sized);
    assert!(curl(&edge, &["--http1.0"], "/chunks", b"") == sized);
}

#[test]
fn curl_sees_head_and_bodyless_answers() {
    if !require_tool("curl") {
        return;
    }
    let (edge, backend) = edge();
    backend.on("/sized", Answer::bytes("hello"));
    backend.on("/none", Answer::status(204));
    backend.on("/same", Answer::status(304));
    let head = String::from_utf8(curl(&edge, &["--head"], "/sized", b"")).unwrap();
    assert!(head.to_lowercase().contains("content-length: 5\r\n"), "{head}");
    for (path, status) in [("/none", "204"), ("/same", "304")] {
        let code = curl(&edge, &["-o", "/dev/null", "-w", "%{http_code}"], path, b"");
        assert_eq!(String::from_utf8(code).unwrap(), status);
    }
}

#[test]
fn an_upgraded_connection_carries_bytes_until_both_sides_end() {
    let (edge, _backend) = edge();
    let mut client = connect(&edge);
    client
        .write_all(
            b"GET /raw HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
        )
        .unwrap();
    let head = until(&mut client, "\r\n\r\n").to_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("connection: upgrade\r\n"), "{head}");
    assert!(head.contains("upgrade: echo\r\n"), "{head}");
    let sent: Vec<u8> =
        (0..1u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut writer = client.try_clone().unwrap();
    let mut got = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        client.read_to_end(&mut got).unwrap();
    });
    assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
}

#[test]
fn a_request_ends_when_its_client_leaves() {
    let (edge, backend) = edge();
    backend.on("/slow", Answer::bytes("late").with_delay(Duration::from_secs(60)));
    let mut client = connect(&edge);
    client.write_all(b"GET /slow HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    backend.wait_for_requests(1);
    drop(client);
    let until = Instant::now() + PATIENCE;
    while edge.counters().failures[Failure::ClientGone.index()].value() == 0 {
        assert!(Instant::now() < until, "the request goes on");
        std::thread::yield_now();
    }
}

#[test]
fn a_slow_client_slows_the_endpoint() {
    let (edge, backend) = edge();
    backend.on("/large", Answer::size(64 << 20));
    let mut client = connect(&edge);
    client.write_all(b"GET /large HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    let mut piece = [0; 1000];
    client.read_exact(&mut piece).unwrap();
    // What has been read from the endpoint is in the sockets, not in memory of the worker: the
    // count of sent bytes is told when the answer ends.
    assert_eq!(edge.counters().sent.value(), 0);
    drop(client);
    backend.wait_for_open_connections(0);
}

#[test]
fn request_of_a_client_that_left_is_logged_with_its_route_and_endpoint() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("access.log");
    let to = AccessLogTarget::File(file.clone());
    let (log, _) = AccessLog::start(&AccessLogConfig { to, ..Default::default() }).unwrap();
    let edge = Edge::builder().access_log(log).start();
    let backend = Backend::http1("pod");
    backend.on("/slow", Answer::echo().with_delay(PATIENCE));
    edge.route("a.example", &backend);
    let mut client = connect(&edge);
    client.write_all(b"GET /slow HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    eventually("the request is at the pod", || !backend.requests().is_empty());
    drop(client);
    let line = eventually_some("the line is there", || {
        Some(std::fs::read_to_string(&file).ok()?.lines().next()?.to_owned())
    });
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["failure"], &line["status"]), (&"client_gone".into(), &499.into()));
    assert_eq!(line["route"], "default/a.example/rules[0].paths[0]");
    assert_eq!(line["endpoint"], backend.address().to_string());
}

#[test]
fn every_request_has_an_id_in_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("access.log");
    let to = AccessLogTarget::File(file.clone());
    let (log, _) = AccessLog::start(&AccessLogConfig { to, ..Default::default() }).unwrap();
    let edge = Edge::builder().access_log(log).start();
    let backend = Backend::http1("pod");
    edge.route("a.example", &backend);
    let mut ids = Vec::new();
    for (number, head) in [
        "GET / HTTP/1.1\r\nHost: a.example\r\n",
        "GET / HTTP/1.1\r\nHost: other.example\r\n",
        "GET / HTTP/1.1\r\nHost: other.example\r\nX-Request-ID: of-the-client\r\n",
        "GET /%zz HTTP/1.1\r\nHost: a.example\r\n",
        "no head at all\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = connect(&edge);
        client.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).unwrap();
        client.read_to_end(&mut Vec::new()).unwrap();
        let line = eventually_some("the line is there", || {
            Some(std::fs::read_to_string(&file).ok()?.lines().nth(number)?.to_owned())
        });
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        ids.push((
            line["status"].as_u64().unwrap(),
            line["request_id"].as_str().map(str::to_owned),
        ));
    }
    let statuses: Vec<u64> = ids.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [200, 404, 404, 400, 400]);
    let ids: Vec<Option<String>> = ids.into_iter().map(|(_, id)| id).collect();
    let sent = backend.requests()[0].headers["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(ids[0], Some(sent));
    assert_eq!(ids[2].as_deref(), Some("of-the-client"));
    for id in [&ids[1], &ids[3], &ids[4]] {
        assert_eq!(id.as_ref().map(String::len), Some(32), "{ids:?}");
    }
}
