use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;
use crate::testing::ca::TestCa;

/// Sends one HTTP/1 request with `Connection: close` and reads to the end.
fn exchange(backend: &Backend, path: &str, fields: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(backend.address())?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn echoes_the_request_with_the_pod_name() {
    let backend = Backend::http1("pod-a");
    let text = exchange(&backend, "/x?y=1", "X-Test: 1\r\n").unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("x-pod: pod-a\r\n"), "{text}");
    let json = text.split_once("\r\n\r\n").unwrap().1;
    let echo: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!((&echo["path"], &echo["query"]), (&"/x".into(), &"y=1".into()));
    assert_eq!(echo["headers"]["x-test"][0], "1");
    assert_eq!(backend.last_request().uri.path(), "/x");
    assert_eq!(backend.connections(), 1);
}

#[test]
fn sends_informational_heads_before_the_answer() {
    let backend = Backend::http1("pod-a");
    backend.on("/hints", Answer::bytes("ok").with_informational(103, &[("link", "</a.css>")]));
    let text = exchange(&backend, "/hints", "").unwrap();
    assert!(text.starts_with("HTTP/1.1 103 Informational\r\nlink: </a.css>\r\n\r\nHTTP/1.1 200"));
}

#[test]
fn sends_trailers_to_a_client_that_takes_them() {
    let backend = Backend::http1("pod-a");
    let answer = Answer::bytes("ok").with_header("trailer", "x-end").with_trailer("x-end", "1");
    backend.on("/t", answer);
    let text = exchange(&backend, "/t", "TE: trailers\r\n").unwrap();
    assert!(text.ends_with("2\r\nok\r\n0\r\nx-end: 1\r\n\r\n"), "{text:?}");
}

#[test]
fn breaks_the_connection_where_the_script_says() {
    let backend = Backend::http1("pod-a");
    backend
        .on("/close", Answer::fault(Fault::CloseBeforeHead))
        .on("/reset", Answer::fault(Fault::ResetBeforeHead))
        .on("/close-after", Answer::fault(Fault::CloseAfter(10)))
        .on("/reset-after", Answer::fault(Fault::ResetAfter(10)));
    assert_eq!(exchange(&backend, "/close", "").unwrap(), "");
    let reset = exchange(&backend, "/reset", "").unwrap_err();
    assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    let text = exchange(&backend, "/close-after", "").unwrap();
    assert!(text.contains("content-length: 65536\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\nabcdefghij"), "{text}");
    let reset = exchange(&backend, "/reset-after", "").unwrap_err();
    assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    backend.wait_for_open_connections(0);
}

#[test]
fn speaks_http2_when_alpn_says_so() {
    let ca = TestCa::new();
    let backend = Backend::tls("pod-a", ca.issue(&["localhost"]).server_config(&["h2"]));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(backend.address()).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(ca.client_config(&["h2"]));
        let tls = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
                .await
                .unwrap();
        let connection = tokio::spawn(connection);
        let body = http_body_util::Empty::<Bytes>::new();
        let request = http::Request::get("https://localhost/").body(body).unwrap();
        let response = client.send_request(request).await.unwrap();
        connection.abort();
        response.status()
    });
    assert_eq!(status, 200);
    assert_eq!(backend.last_request().version, Version::HTTP_2);
}
