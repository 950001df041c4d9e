//! What one line of the access log can say.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{HeaderValue, Method, Uri, Version};

use crate::config::PortProtocol;
use crate::config::access_log::Variable;
use crate::proxy::error::Failure;
use crate::proxy::request::{Connection, Outcome};
use crate::proxy::worker::Clock;
use crate::routing::Cluster;

/// What happened with one request.
#[derive(Debug)]
pub struct Entry<'a> {
    pub connection: &'a Connection,
    pub version: Version,
    /// Absent when no request head could be read.
    pub method: Option<&'a Method>,
    pub uri: Option<&'a Uri>,
    pub host: Option<&'a HeaderValue>,
    /// Absent also when the line does not want them.
    pub referer: Option<&'a HeaderValue>,
    pub user_agent: Option<&'a HeaderValue>,
    pub status: u16,
    /// Body bytes from and to the client.
    pub received: u64,
    pub sent: u64,
    pub duration: Duration,
    pub outcome: &'a Outcome,
    pub failure: Option<Failure>,
}

/// An entry with what is looked up for it.
pub(super) struct Values<'a> {
    pub(super) entry: &'a Entry<'a>,
    /// As it is now, when the line wants it: its number is never used for another one.
    pub(super) cluster: Option<&'a Cluster>,
    pub(super) worker: usize,
    pub(super) clock: &'a Clock,
}

/// Where a value is written, which decides how it is escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Json,
    Text,
}

// === impl Values ===

impl Values<'_> {
    /// False, and nothing written: the request has no such value.
    pub(super) fn write(&self, variable: Variable, place: Place, out: &mut Vec<u8>) -> bool {
        let Entry { connection, outcome, .. } = self.entry;
        let handshake = connection.handshake;
        let route = outcome.route.as_deref();
        let endpoint = outcome.tried.endpoint;
        match variable {
            Variable::Time => quoted(place, out, |out| self.clock.rfc3339(out)),
            Variable::TimeLocal => quoted(place, out, |out| self.clock.local(out)),
            Variable::Client => quoted(place, out, |out| socket(out, connection.peer)),
            Variable::ClientAddress => quoted(place, out, |out| ip(out, connection.peer.ip())),
            Variable::Vip => quoted(place, out, |out| socket(out, connection.local)),
            Variable::Sni => text(place, out, connection.sni.as_deref()),
            Variable::TlsVersion => text(place, out, handshake.map(|h| h.version_label())),
            Variable::TlsCipher => text(place, out, handshake.map(|h| h.cipher)),
            Variable::Protocol => text(place, out, Some(protocol(self.entry.version))),
            Variable::Scheme => text(place, out, Some(scheme(connection.protocol))),
            Variable::Method => text(place, out, self.entry.method.map(Method::as_str)),
            Variable::Host => bytes(place, out, self.host()),
            Variable::Path => text(place, out, self.path()),
            Variable::Request => self.request(place, out),
            Variable::Status => number(out, self.entry.status.into()),
            Variable::Received => number(out, self.entry.received),
            Variable::Sent => number(out, self.entry.sent),
            Variable::DurationUs => number(out, micros(self.entry.duration)),
            Variable::Duration => seconds(out, Some(self.entry.duration)),
            Variable::UpstreamUs => outcome.upstream.is_some_and(|time| number(out, micros(time))),
            Variable::Upstream => seconds(out, outcome.upstream),
            Variable::Route => text(place, out, route.map(|route| &*route.id)),
            Variable::Namespace => text(place, out, route.map(|route| &*route.namespace)),
            Variable::Ingress => text(place, out, route.map(|route| &*route.ingress)),
            Variable::Service => text(place, out, self.cluster.map(|cluster| &*cluster.service)),
            Variable::Cluster => text(place, out, self.cluster.map(|cluster| &*cluster.name)),
            Variable::Endpoint => {
                endpoint.is_some_and(|address| quoted(place, out, |out| socket(out, address)))
            }
            Variable::Pod => {
                let mut endpoints = self.cluster.iter().flat_map(|cluster| &*cluster.endpoints);
                let tried = endpoints.find(|known| Some(known.address) == endpoint);
                text(place, out, tried.and_then(|known| known.pod.as_deref()))
            }
            Variable::Attempts => {
                outcome.tried.count > 1 && number(out, outcome.tried.count.into())
            }
            Variable::RequestId => {
                let id = &outcome.request_id[..];
                bytes(place, out, (!id.is_empty()).then_some(id))
            }
            Variable::Referer => bytes(place, out, self.entry.referer.map(HeaderValue::as_bytes)),
            Variable::UserAgent => {
                bytes(place, out, self.entry.user_agent.map(HeaderValue::as_bytes))
            }
            Variable::Worker => number(out, self.worker as u64),
            Variable::Failure => text(place, out, self.entry.failure.map(Failure::label)),
            Variable::Reason => {
                self.entry.failure.is_some_and(|failure| shown(place, out, &failure))
            }
        }
    }

    fn host(&self) -> Option<&[u8]> {
        let authority = || self.entry.uri.and_then(Uri::authority).map(|a| a.as_str().as_bytes());
        self.entry.host.map(HeaderValue::as_bytes).or_else(authority)
    }

    fn path(&self) -> Option<&str> {
        self.entry.uri.and_then(Uri::path_and_query).map(|path| path.as_str())
    }

    fn request(&self, place: Place, out: &mut Vec<u8>) -> bool {
        let Some(method) = self.entry.method else { return false };
        quoted(place, out, |out| {
            escaped(place, out, method.as_str().as_bytes());
            out.push(b' ');
            escaped(place, out, self.path().unwrap_or_default().as_bytes());
            out.push(b' ');
            out.extend_from_slice(protocol(self.entry.version).as_bytes());
        })
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

fn scheme(protocol: PortProtocol) -> &'static str {
    match protocol {
        PortProtocol::Http => "http",
        PortProtocol::Https => "https",
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn number(out: &mut Vec<u8>, value: u64) -> bool {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    true
}

fn seconds(out: &mut Vec<u8>, duration: Option<Duration>) -> bool {
    let Some(duration) = duration else { return false };
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    write!(out, "{seconds}.{millis:03}").expect("writing to memory does not fail");
    true
}

/// Without the formatting machinery, which costs more than the rest of the line.
fn socket(out: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(address) => ip(out, IpAddr::V4(*address.ip())),
        SocketAddr::V6(address) => {
            out.push(b'[');
            ip(out, IpAddr::V6(*address.ip()));
            out.push(b']');
        }
    }
    out.push(b':');
    number(out, address.port().into());
}

fn ip(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        IpAddr::V6(address) => {
            write!(out, "{address}").expect("writing to memory does not fail");
        }
    }
}

/// For values whose text needs no escaping.
fn shown(place: Place, out: &mut Vec<u8>, value: &dyn std::fmt::Display) -> bool {
    quoted(place, out, |out| {
        write!(out, "{value}").expect("writing to memory does not fail");
    })
}

fn text(place: Place, out: &mut Vec<u8>, value: Option<&str>) -> bool {
    bytes(place, out, value.map(str::as_bytes))
}

fn bytes(place: Place, out: &mut Vec<u8>, value: Option<&[u8]>) -> bool {
    value.is_some_and(|value| quoted(place, out, |out| escaped(place, out, value)))
}

fn quoted(place: Place, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> bool {
    if place == Place::Json {
        out.push(b'"');
    }
    write(out);
    if place == Place::Json {
        out.push(b'"');
    }
    true
}

/// Whatever a client sent becomes printable ASCII: in JSON as code points below 256, else as
/// nginx writes it.
fn escaped(place: Place, out: &mut Vec<u8>, mut value: &[u8]) {
    let is_plain = |byte: &u8| matches!(byte, 0x20..=0x7e) && *byte != b'"' && *byte != b'\\';
    loop {
        // Almost every value is one run of plain characters.
        let plain = value.iter().position(|byte| !is_plain(byte)).unwrap_or(value.len());
        out.extend_from_slice(&value[..plain]);
        let Some((&byte, rest)) = value[plain..].split_first() else { return };
        let written = match (place, byte) {
            (Place::Json, b'"' | b'\\') => {
                out.extend_from_slice(&[b'\\', byte]);
                Ok(())
            }
            (Place::Json, _) => write!(out, "\\u{byte:04x}"),
            (Place::Text, _) => write!(out, "\\x{byte:02X}"),
        };
        written.expect("writing to memory does not fail");
        value = rest;
    }
}
