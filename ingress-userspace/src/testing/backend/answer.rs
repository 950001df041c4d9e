//! How the fake upstream answers a path: plain values, composed by methods.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// An answer. [`Answer::echo`] is what paths without a script get.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) informational: Vec<Bytes>,
    pub(super) delay: Duration,
    pub(super) before_body: bool,
    pub(super) chunked: bool,
    pub(super) pace: Duration,
    pub(super) fault: Option<Fault>,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    /// JSON that says who answered and what arrived.
    Echo,
    Bytes(Bytes),
    /// The request body, streamed back as it arrives.
    Mirror,
}

/// Where the connection (HTTP/2: the stream) breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// FIN before any byte of the response.
    CloseBeforeHead,
    /// RST before any byte of the response.
    ResetBeforeHead,
    /// FIN after the head and this many bytes of the body.
    CloseAfter(usize),
    /// RST after the head and this many bytes of the body.
    ResetAfter(usize),
    /// The connection stays, but nothing comes any more after this many bytes of the body.
    StallAfter(usize),
}

// === impl Answer ===

impl Answer {
    /// 200 with JSON: `pod`, `method`, `path`, `query`, `headers`, `protocol`, `body_bytes`.
    pub fn echo() -> Self {
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            content: Content::Echo,
            trailers: None,
            informational: Vec::new(),
            delay: Duration::ZERO,
            before_body: false,
            chunked: false,
            pace: Duration::ZERO,
            fault: None,
        }
    }

    pub fn bytes(body: impl Into<Bytes>) -> Self {
        Self { content: Content::Bytes(body.into()), ..Self::echo() }
    }

    /// `count` bytes of a repeating pattern.
    pub fn size(count: usize) -> Self {
        let body: Vec<u8> = (b'a'..=b'z').cycle().take(count).collect();
        Self::bytes(body)
    }

    pub fn status(status: u16) -> Self {
        Self { status: StatusCode::from_u16(status).unwrap(), ..Self::bytes(Bytes::new()) }
    }

    /// Streams the request body back as it arrives.
    pub fn mirror() -> Self {
        Self { content: Content::Mirror, ..Self::echo() }
    }

    pub fn fault(fault: Fault) -> Self {
        Self { fault: Some(fault), ..Self::size(64 << 10) }
    }

    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = StatusCode::from_u16(status).unwrap();
        self
    }

    /// Adds a header field; a repeated name gives a repeated field.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        self
    }

    #[must_use]
    pub fn with_trailer(mut self, name: &str, value: &str) -> Self {
        let trailers = self.trailers.get_or_insert_default();
        trailers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        self
    }

    /// Time between the request and the head of the answer.
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// An informational response before the answer, HTTP/1 only.
    #[must_use]
    pub fn with_informational(mut self, status: u16, fields: &[(&str, &str)]) -> Self {
        let mut head = format!("HTTP/1.1 {status} Informational\r\n");
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.informational.push(head.into());
        self
    }

    /// No Content-Length: chunks on HTTP/1.
    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// Time between pieces (of 16 KiB or less) of the body.
    #[must_use]
    pub fn with_pace(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// Answers without reading the request body.
    #[must_use]
    pub fn before_body(mut self) -> Self {
        self.before_body = true;
        self
    }

    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }
}
