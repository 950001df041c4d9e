//! Hostile clients against a real worker, with a raw endpoint behind it that writes down every byte.
//!
//! Oracle: a refused request never reaches the endpoint and ends the connection; an accepted one
//! reaches it once, with one framing; what came as a body is never a request.
#![allow(clippy::unwrap_used, reason = "a failure of test support is the failure of the test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use genkan::testing::edge::Edge;

const PATIENCE: Duration = Duration::from_secs(10);
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

/// An endpoint that reads requests by the letter and answers each with `ok`.
struct RawEndpoint {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

#[derive(Debug, Clone)]
struct Request {
    line: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

// === impl RawEndpoint ===

impl RawEndpoint {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let all = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, requests) = (stream.unwrap(), all.clone());
                std::thread::spawn(move || serve(stream, &requests));
            }
        });
        Self { address, requests }
    }

    fn take(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

// === impl Request ===

impl Request {
    fn values(&self, name: &str) -> Vec<&str> {
        let same = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }
}

fn serve(stream: TcpStream, requests: &Mutex<Vec<Request>>) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader) {
        requests.lock().unwrap().push(request);
        writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n").unwrap();
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let line = read_line(reader)?;
    let mut request = Request { line, fields: Vec::new(), body: Vec::new() };
    loop {
        let line = read_line(reader)?;
        let Some((name, value)) = line.split_once(':') else {
            assert_eq!(line, "");
            break;
        };
        request.fields.push((name.to_owned(), value.trim().to_owned()));
    }
    let lengths = request.values("content-length");
    let chunked = request.values("transfer-encoding");
    match (&lengths[..], &chunked[..]) {
        ([], []) => {}
        ([length], []) => {
            request.body = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut request.body).ok()?;
        }
        ([], ["chunked"]) => loop {
            let size = usize::from_str_radix(&read_line(reader)?, 16).unwrap();
            let mut chunk = vec![0; size];
            reader.read_exact(&mut chunk).ok()?;
            assert_eq!(read_line(reader)?, "");
            if size == 0 {
                break;
            }
            request.body.extend_from_slice(&chunk);
        },
        both => panic!("more than one framing: {both:?}"),
    }
    Some(request)
}

fn read_line(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    Some(line.strip_suffix("\r\n").expect("a line ends with CRLF").to_owned())
}

fn edge() -> (Edge, RawEndpoint) {
    let (edge, endpoint) = (Edge::start(), RawEndpoint::start());
    edge.service("raw", None, &[endpoint.address]);
    edge.ingress("a.example", "raw", "");
    (edge, endpoint)
}

/// Sends the bytes and reads to the end of the connection.
fn converse(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Both may fail when the server has already closed; the answer counts.
    let _ = stream.write_all(bytes);
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let _ = stream.shutdown(Shutdown::Both);
    String::from_utf8_lossy(&text).into_owned()
}

fn statuses(text: &str) -> Vec<&str> {
    text.match_indices("HTTP/1.1 ").map(|(at, _)| &text[at + 9..at + 12]).collect()
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /p HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n{body}")
}

#[test]
fn r9_what_has_two_readings_never_reaches_an_endpoint() {
    let (edge, endpoint) = edge();
    let chunked = "Transfer-Encoding: chunked\r\n";
    let cases = [
        ("400", post(&format!("Content-Length: 6\r\n{chunked}"), "0\r\n\r\nG")),
        ("400", post(&format!("{chunked}Content-Length: 6\r\n"), "0\r\n\r\nG")),
        ("400", post("Content-Length: 0\r\nContent-Length: 0\r\n", "")),
        ("400", post("Content-Length: 0, 0\r\n", "")),
        ("400", post("Content-Length: +0\r\n", "")),
        ("400", post("Content-Length: 00\r\n", "")),
        ("400", post("Content-Length: 0x0\r\n", "")),
        ("400", post("Content-Length: 18446744073709551616\r\n", "")),
        ("400", post("Content-Length : 0\r\n", "")),
        ("400", post(&format!("{chunked}{chunked}"), "0\r\n\r\n")),
        ("400", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n")),
        ("400", post("Transfer-Encoding: \tchunked,\r\n", "0\r\n\r\n")),
        ("400", post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n")),
        ("400", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n")),
        ("501", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")),
        ("400", post("X: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        ("400", post("X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        ("400", post("X : y\r\n", "")),
        ("400", post(": y\r\n", "")),
        ("400", post("X\0: y\r\n", "")),
        ("400", post("Host: b.example\r\n", "")),
        ("417", post("Expect: 101\r\nContent-Length: 9\r\n", "")),
        ("400", post(chunked, "5\nhello\r\n0\r\n\r\n")),
        ("400", post(chunked, "5\r\nhello0\r\n\r\n")),
        ("400", post(chunked, "ffffffffffffffffffff\r\nhello\r\n0\r\n\r\n")),
        ("400", post(chunked, "5 ;x\r\nhello\r\n0\r\n\r\n")),
        ("400", post(chunked, "0\r\nContent-Length: 5\r\n\r\n")),
        ("400", "GET http://u@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned()),
        ("400", "GET / HTTP/1.1\r\n\r\n".to_owned()),
        ("400", "GET /a b HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned()),
        ("400", "GET /a#b HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned()),
        ("501", "CONNECT a.example:80 HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned()),
        ("505", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
    ];
    for (status, request) in &cases {
        let text = converse(edge.http(), format!("{request}{SMUGGLED}").as_bytes());
        assert_eq!(statuses(&text), [*status], "{request:?}\n{text}");
        assert!(text.contains("connection: close\r\n"), "{request:?}\n{text}");
        // A body that turns out bad may have begun to flow; no request is complete.
        let reached = endpoint.take();
        assert!(reached.is_empty(), "{request:?} became {reached:?}");
    }
}

#[test]
fn r9_what_is_accepted_reaches_the_endpoint_once_with_one_framing() {
    let (edge, endpoint) = edge();
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let chunk = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let length = format!("Content-Length: {}\r\n", hidden.len());
    let get_with_body = format!("GET /p HTTP/1.1\r\nHost: a.example\r\n{length}\r\n{hidden}");
    let absolute = "GET http://a.example/p HTTP/1.1\r\nHost: b.example\r\n\r\n".to_owned();
    let cases = [
        (post(&length, hidden), hidden),
        (post("Transfer-Encoding: chunked\r\n", &chunk), hidden),
        (post("Transfer-Encoding: Chunked\r\n", &chunk.replacen("\r\n", ";x=y\r\n", 1)), hidden),
        (post("Transfer-Encoding: chunked\r\nConnection: transfer-encoding\r\n", &chunk), hidden),
        (post(&format!("{length}Connection: content-length\r\n"), hidden), hidden),
        (post(&format!("{length}Expect: 100-continue\r\n"), hidden), hidden),
        (get_with_body, hidden),
        (absolute, ""),
    ];
    for (request, body) in &cases {
        let text = converse(edge.http(), format!("{request}{SMUGGLED}").as_bytes());
        assert_eq!(statuses(&text), ["200", "200"], "{request:?}\n{text}");
        let reached = endpoint.take();
        assert_eq!(reached.len(), 2, "{request:?} became {reached:?}");
        assert_eq!(String::from_utf8_lossy(&reached[0].body), *body);
        assert!(reached[0].line.ends_with(" /p HTTP/1.1"), "{reached:?}");
        assert!(reached[1].line.starts_with("GET /smuggled "), "{reached:?}");
        for request in &reached {
            assert_eq!(request.values("host"), ["a.example"]);
            assert!(request.values("expect").is_empty());
        }
    }
}

#[test]
fn r8_limits_hold_on_the_wire() {
    let (edge, endpoint) = edge();
    let cases = [
        ("414", format!("GET /{} HTTP/1.1\r\nHost: a.example\r\n\r\n", "x".repeat(9000))),
        ("431", post(&format!("X: {}\r\n", "y".repeat(40_000)), "")),
        ("431", post(&"X: y\r\n".repeat(101), "")),
        ("413", post("Content-Length: 1048577\r\n", "")),
    ];
    for (status, request) in &cases {
        let text = converse(edge.http(), request.as_bytes());
        assert_eq!(statuses(&text), [*status], "{text}");
        assert!(endpoint.take().is_empty());
    }
}

#[test]
fn the_answer_arrives_at_a_client_that_is_still_sending() {
    let (edge, _endpoint) = edge();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(edge.http()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = post("Content-Length: 2000000\r\n", &"x".repeat(200_000));
        let _ = stream.write_all(request.as_bytes());
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413");
    }
}
