//! One of the two proxies: how it is asked, and what is heard from it.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use genkan::config::Compat;
use genkan::testing::backend::{Backend, Recorded};
use genkan::testing::deadline::DEADLINE;
use genkan::testing::edge::Edge;
use genkan::testing::story::{Ingress, Request};
use http::HeaderMap;

use super::case::{Ask, Case, HOST};
use super::nginx::Nginx;

pub(crate) enum Side<'a> {
    Nginx(&'a Nginx),
    Genkan(&'a Edge),
}

/// The answer to one request and what the pod saw of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    status: u16,
    fields: Fields,
    pod: Vec<Seen>,
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    line: String,
    fields: Fields,
    body: String,
}

/// The chosen fields, with all their values.
#[derive(Debug, PartialEq, Eq)]
struct Fields(Vec<(&'static str, Vec<String>)>);

/// Our side with the Ingress of the case.
pub(crate) fn edge(case: &Case, pod: &Backend) -> Edge {
    let edge = Edge::builder()
        .config(|config| {
            config.compat = Compat::Nginx;
            config.headers.allowed_custom = vec!["X-Frame-Options".into(), "X-Team".into()];
        })
        .start();
    edge.service(pod.pod(), None, &[pod.address()]);
    let mut ingress = Ingress::new("parity");
    for (key, value) in &case.annotations {
        ingress = ingress.annotation(&format!("nginx.ingress.kubernetes.io/{key}"), value);
    }
    for &(path, kind) in &case.paths {
        ingress = ingress.path(Some(HOST), path, kind, pod.pod());
    }
    edge.apply_anyway(&format!("{}---\n{}", case.objects, ingress.yaml()));
    edge
}

/// Sends the requests of a case one after the other. The time is that of all of them.
pub(crate) fn hear(case: &Case, side: &Side<'_>, pod: &Backend) -> (Vec<Heard>, Duration) {
    let address = side.address();
    let mut held = Vec::new();
    // The first connection may wait for nginx to start.
    let began = Instant::now();
    let mut heard = Vec::new();
    for ask in &case.asks {
        pod.clear_requests();
        let (status, headers) = match ask {
            Ask::Send(request) => send(side, request),
            Ask::Hold(path) => {
                let (status, stream) = hold(address, path);
                held.push(stream);
                (status, HeaderMap::new())
            }
        };
        let fields = Fields::of(&headers, case.answer_fields, address);
        let seen = pod.requests();
        let pod = seen.iter().map(|seen| Seen::of(seen, case.seen_fields, address)).collect();
        heard.push(Heard { status, fields, pod });
    }
    (heard, began.elapsed())
}

fn send(side: &Side<'_>, request: &Request) -> (u16, HeaderMap) {
    let answer = request.send_here(side.address());
    let answer = answer.unwrap_or_else(|error| panic!("{request:?}: {error:#}\n{}", side.log()));
    (answer.status, answer.headers)
}

/// Sends a GET and reads the head of the answer; the rest stays where it is.
fn hold(address: SocketAddr, path: &str) -> (u16, TcpStream) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n").unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status line: {line:?}")), stream)
}

// === impl Side ===

impl Side<'_> {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Nginx(nginx) => nginx.address(),
            Self::Genkan(edge) => edge.http(),
        }
    }

    fn log(&self) -> String {
        match self {
            Self::Nginx(nginx) => nginx.output(),
            Self::Genkan(_) => String::new(),
        }
    }
}

// === impl Heard ===

impl Heard {
    pub(crate) fn status(&self) -> u16 {
        self.status
    }
}

// === impl Seen ===

impl Seen {
    fn of(recorded: &Recorded, fields: &[&'static str], side: SocketAddr) -> Self {
        Self {
            line: format!("{} {}", recorded.method, recorded.uri),
            fields: Fields::of(&recorded.headers, fields, side),
            body: String::from_utf8_lossy(&recorded.body).into_owned(),
        }
    }
}

// === impl Fields ===

impl Fields {
    /// The port of each side is its own; both are called `PORT`.
    fn of(headers: &HeaderMap, names: &[&'static str], side: SocketAddr) -> Self {
        let port = side.port().to_string();
        let text = |value: &http::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).replace(&port, "PORT")
        };
        let values = |name: &str| headers.get_all(name).iter().map(text).collect();
        Self(names.iter().map(|&name| (name, values(name))).collect())
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, values) in &self.0 {
            write!(f, " {name}={values:?}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}, pod:", self.status, self.fields)?;
        if self.pod.is_empty() {
            f.write_str(" nothing")?;
        }
        for seen in &self.pod {
            write!(f, " {}{} {:?};", seen.line, seen.fields, seen.body)?;
        }
        Ok(())
    }
}
