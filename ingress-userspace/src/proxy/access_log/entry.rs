//! One line of the access log.

use std::io::Write as _;
use std::time::Duration;

use http::{HeaderValue, Method, Uri, Version};

use crate::proxy::error::Failure;
use crate::proxy::request::{Connection, Outcome};
use crate::proxy::worker::Clock;

/// What happened with one request. Absent fields are left out of the line.
#[derive(Debug)]
pub struct Entry<'a> {
    pub connection: &'a Connection,
    pub version: Version,
    /// Absent when no request head could be read.
    pub method: Option<&'a Method>,
    pub uri: Option<&'a Uri>,
    pub host: Option<&'a HeaderValue>,
    pub status: u16,
    /// Body bytes from and to the client.
    pub received: u64,
    pub sent: u64,
    pub duration: Duration,
    pub outcome: &'a Outcome,
    pub failure: Option<Failure>,
}

// === impl Entry ===

impl Entry<'_> {
    pub(super) fn write(&self, worker: usize, clock: &Clock, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"time":""#);
        clock.rfc3339(out);
        out.push(b'"');
        display(out, "client", &self.connection.peer);
        display(out, "vip", &self.connection.local);
        if let Some(sni) = &self.connection.sni {
            text(out, "sni", sni.as_bytes());
        }
        text(out, "protocol", protocol(self.version).as_bytes());
        if let Some(method) = self.method {
            text(out, "method", method.as_str().as_bytes());
        }
        if let Some(host) = self.host {
            text(out, "host", host.as_bytes());
        } else if let Some(authority) = self.uri.and_then(Uri::authority) {
            text(out, "host", authority.as_str().as_bytes());
        }
        if let Some(path) = self.uri.and_then(Uri::path_and_query) {
            text(out, "path", path.as_str().as_bytes());
        }
        number(out, "status", self.status.into());
        number(out, "received", self.received);
        number(out, "sent", self.sent);
        number(out, "duration_us", u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX));
        if let Some(route) = &self.outcome.route {
            text(out, "route", route.id.as_bytes());
        }
        if let Some(endpoint) = &self.outcome.endpoint {
            display(out, "endpoint", endpoint);
        }
        if self.outcome.attempts > 1 {
            number(out, "attempts", self.outcome.attempts.into());
        }
        number(out, "worker", worker as u64);
        if let Some(failure) = self.failure {
            text(out, "failure", failure.label().as_bytes());
            display(out, "reason", &failure);
        }
        out.extend_from_slice(b"}\n");
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    key(out, name);
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// For values whose text needs no escaping.
fn display(out: &mut Vec<u8>, name: &str, value: &dyn std::fmt::Display) {
    key(out, name);
    write!(out, "\"{value}\"").expect("writing to memory does not fail");
}

/// Whatever a client sent becomes one JSON string; bytes that are not ASCII are shown as code
/// points below 256.
fn text(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    key(out, name);
    out.push(b'"');
    for &byte in value {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x20..=0x7e => out.push(byte),
            _ => write!(out, "\\u{byte:04x}").expect("writing to memory does not fail"),
        }
    }
    out.push(b'"');
}
