//! The writing half of a connection: encodes an answer and writes it with few system calls.
//!
//! Head and first body bytes leave in one write. A body whose length is known keeps it and is
//! never turned into chunks; one of unknown length is chunked, or ends with the connection for an
//! HTTP/1.0 client (RFC 9112 6).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, SERVER, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, StatusCode, Version, response};
use tokio::io::AsyncWrite;

use crate::proxy::Failure;
use crate::proxy::worker::Clock;

/// Body pieces up to this size are copied behind what is already encoded.
const COPIED: usize = 4 << 10;
/// Encoded bytes that are enough for one write.
const FULL: usize = 16 << 10;

/// One answer on its way.
#[derive(Debug)]
pub(super) struct Outbound {
    /// Encoded, in order before `data`.
    bytes: BytesMut,
    /// A large piece of the body, written from where it is.
    data: Bytes,
    /// Line end behind `data`.
    tail: &'static [u8],
    framing: Framing,
    /// Body bytes, without framing.
    sent: u64,
    /// Bytes that the socket took.
    written: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Empty,
    Length(u64),
    Chunked,
    UntilClose,
}

/// What of the request decides how its answer looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub version: Version,
    pub head_only: bool,
    pub keep_alive: bool,
}

// === impl Outbound ===

impl Outbound {
    pub(super) fn new(buffer: BytesMut) -> Self {
        Self {
            bytes: buffer,
            data: Bytes::new(),
            tail: &[],
            framing: Framing::Empty,
            sent: 0,
            written: 0,
        }
    }

    /// Encodes the head. `exact` is the length of the body where it is known. Returns whether the
    /// connection can be used again after this answer.
    pub(super) fn head(
        &mut self,
        head: &response::Parts,
        exact: Option<u64>,
        asked: Asked,
        clock: &Clock,
    ) -> bool {
        // What an answer that failed has left here is not sent.
        self.bytes.clear();
        self.data = Bytes::new();
        self.tail = &[];
        self.sent = 0;
        let bodyless = asked.head_only
            || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        self.framing = match exact.or_else(|| declared_length(&head.headers)) {
            _ if bodyless => Framing::Empty,
            Some(length) => Framing::Length(length),
            None if asked.version == Version::HTTP_11 => Framing::Chunked,
            None => Framing::UntilClose,
        };
        let keep_alive = asked.keep_alive && self.framing != Framing::UntilClose;

        self.status_line(head.status);
        let keeps_length = bodyless && head.status != StatusCode::NO_CONTENT;
        for (name, value) in &head.headers {
            if !is_ours(name) || (name == CONTENT_LENGTH && keeps_length) {
                self.field(name.as_str(), value.as_bytes());
            }
        }
        self.date_and_server(&head.headers, clock);
        match self.framing {
            Framing::Length(length) => {
                let mut digits = itoa::Buffer::new();
                self.field("content-length", digits.format(length).as_bytes());
            }
            Framing::Chunked => self.field("transfer-encoding", b"chunked"),
            Framing::Empty | Framing::UntilClose => {}
        }
        match (keep_alive, asked.version) {
            (false, _) => self.field("connection", b"close"),
            (true, Version::HTTP_10) => self.field("connection", b"keep-alive"),
            (true, _) => {}
        }
        self.bytes.extend_from_slice(b"\r\n");
        keep_alive
    }

    /// Encodes the head of an answer after which the connection speaks another protocol.
    pub(super) fn switching_head(&mut self, head: &http::Response<()>, clock: &Clock) {
        self.bytes.clear();
        self.framing = Framing::Empty;
        self.status_line(head.status());
        for (name, value) in head.headers() {
            if !is_ours(name) || name == UPGRADE {
                self.field(name.as_str(), value.as_bytes());
            }
        }
        self.date_and_server(head.headers(), clock);
        self.bytes.extend_from_slice(b"connection: upgrade\r\n\r\n");
    }

    /// Whether the body is complete as encoded.
    pub(super) fn is_ended(&self) -> bool {
        matches!(self.framing, Framing::Empty | Framing::Length(0))
    }

    /// Whether another piece of the body may be encoded before the next write.
    pub(super) fn has_room(&self) -> bool {
        self.data.is_empty() && self.bytes.len() < FULL
    }

    pub(super) fn has_bytes(&self) -> bool {
        !self.bytes.is_empty() || !self.data.is_empty() || !self.tail.is_empty()
    }

    /// Nothing has left yet, so another answer can still take the place of this one.
    pub(super) fn is_unsent(&self) -> bool {
        self.written == 0
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Encodes a piece of the body.
    pub(super) fn push(&mut self, mut data: Bytes) -> Result<(), Failure> {
        let mut tail: &'static [u8] = &[];
        match &mut self.framing {
            Framing::Empty => return Ok(()),
            _ if data.is_empty() => return Ok(()),
            Framing::Length(left) => {
                if data.len() as u64 > *left {
                    return Err(Failure::BadResponse("body longer than its length"));
                }
                *left -= data.len() as u64;
            }
            Framing::Chunked => {
                write_hex(&mut self.bytes, data.len());
                tail = b"\r\n";
            }
            Framing::UntilClose => {}
        }
        self.sent += data.len() as u64;
        if data.len() <= COPIED {
            self.bytes.extend_from_slice(&data);
            self.bytes.extend_from_slice(tail);
            data = Bytes::new();
            tail = &[];
        }
        self.data = data;
        self.tail = tail;
        Ok(())
    }

    /// Encodes the end of the body. Trailer fields need chunks; else they are left out.
    pub(super) fn finish(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Failure> {
        match self.framing {
            Framing::Empty | Framing::Length(0) | Framing::UntilClose => Ok(()),
            Framing::Length(_) => Err(Failure::UpstreamClosed),
            Framing::Chunked => {
                self.bytes.extend_from_slice(b"0\r\n");
                for (name, value) in trailers.into_iter().flatten() {
                    if !is_ours(name) && name != TRAILER {
                        self.field(name.as_str(), value.as_bytes());
                    }
                }
                self.bytes.extend_from_slice(b"\r\n");
                Ok(())
            }
        }
    }

    /// Writes until nothing is left.
    pub(super) fn poll_write<T: AsyncWrite + ?Sized>(
        &mut self,
        mut io: Pin<&mut T>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.has_bytes() {
            let written = if self.data.is_empty() && self.tail.is_empty() {
                ready!(io.as_mut().poll_write(cx, &self.bytes))?
            } else {
                let parts =
                    [IoSlice::new(&self.bytes), IoSlice::new(&self.data), IoSlice::new(self.tail)];
                let parts = if self.bytes.is_empty() { &parts[1..] } else { &parts[..] };
                ready!(io.as_mut().poll_write_vectored(cx, parts))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, written: usize) {
        self.written += written as u64;
        let head = written.min(self.bytes.len());
        if head == self.bytes.len() {
            self.bytes.clear();
        } else {
            self.bytes.advance(head);
        }
        let data = (written - head).min(self.data.len());
        self.data.advance(data);
        self.tail = &self.tail[written - head - data..];
    }

    /// The buffer, for the pool.
    pub(super) fn into_buffer(self) -> BytesMut {
        self.bytes
    }

    fn status_line(&mut self, status: StatusCode) {
        self.bytes.extend_from_slice(b"HTTP/1.1 ");
        self.bytes.extend_from_slice(status.as_str().as_bytes());
        self.bytes.extend_from_slice(b" ");
        self.bytes.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn date_and_server(&mut self, headers: &HeaderMap, clock: &Clock) {
        if !headers.contains_key(DATE) {
            self.bytes.extend_from_slice(b"date: ");
            clock.http_date(&mut self.bytes);
            self.bytes.extend_from_slice(b"\r\n");
        }
        if !headers.contains_key(SERVER) {
            self.field("server", b"genkan");
        }
    }

    fn field(&mut self, name: &str, value: &[u8]) {
        self.bytes.reserve(name.len() + value.len() + 4);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// Fields that belong to this connection and are written by us alone.
fn is_ours(name: &HeaderName) -> bool {
    *name == CONTENT_LENGTH
        || *name == CONNECTION
        || *name == TRANSFER_ENCODING
        || *name == UPGRADE
        || *name == "keep-alive"
        || *name == "proxy-connection"
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn write_hex(out: &mut BytesMut, mut size: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 2 * size_of::<usize>() + 2];
    let mut at = text.len() - 2;
    text[at..].copy_from_slice(b"\r\n");
    loop {
        at -= 1;
        text[at] = DIGITS[size % 16];
        size /= 16;
        if size == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}
