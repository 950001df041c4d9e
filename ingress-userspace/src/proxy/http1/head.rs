//! The strict reader of an HTTP/1 request head: bytes in, a [`Head`] or a [`Failure`] out.
//!
//! Pure: no I/O, no clock. Whatever two HTTP implementations could read differently is refused
//! instead of repaired (RFC 9112 2.2, 3.2, 5.1, 6.1-6.3): the connection then ends, because nobody
//! knows where the next request begins. The result does not depend on how the bytes were split
//! into reads.

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use memchr::memchr;

use crate::config::Limits;
use crate::proxy::Failure;

/// A request head that has exactly one reading.
#[derive(Debug)]
pub struct Head {
    pub method: Method,
    /// Origin form, or `*` of OPTIONS. The authority of an absolute-form target has replaced the
    /// `Host` field (RFC 9112 3.2.2).
    pub uri: Uri,
    pub version: Version,
    /// Without `Expect`, which is answered here.
    pub headers: HeaderMap,
    pub framing: Framing,
    /// Whether the client lets the connection live after this request.
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

/// How long the body of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
}

/// Where in a buffer the search for the end of the head goes on. One for each request.
#[derive(Debug, Default)]
pub struct Reader {
    /// Bytes before this hold no line end that was not looked at.
    scanned: usize,
    /// Start of the line that is being received.
    line: usize,
    /// End of the request line, behind its CRLF; 0 = not seen.
    fields: usize,
    count: usize,
}

// === impl Reader ===

impl Reader {
    /// Takes a complete head off the front of `buffer`; `None` = more bytes are needed.
    pub fn read(
        &mut self,
        buffer: &mut BytesMut,
        limits: &Limits,
    ) -> Result<Option<Head>, Failure> {
        let Some(end) = self.find_end(buffer, limits)? else { return Ok(None) };
        let start = skip_empty_line(buffer);
        let head = buffer.split_to(end).freeze();
        let (fields, count) = (self.fields, self.count);
        *self = Self::default();
        parse(&head, start, fields, count).map(Some)
    }

    /// The position behind the empty line that ends the head. Checks what has to be answered
    /// before the head is complete: line ends and limits.
    fn find_end(&mut self, buffer: &[u8], limits: &Limits) -> Result<Option<usize>, Failure> {
        let start = skip_empty_line(buffer);
        if buffer.get(start).is_some_and(|b| !is_token(*b) && *b != b'\r') {
            return Err(Failure::BadRequest("method"));
        }
        self.line = self.line.max(start);
        self.scanned = self.scanned.max(start);
        while let Some(at) = memchr(b'\n', &buffer[self.scanned..]) {
            let end = self.scanned + at + 1;
            let length = end - self.line;
            self.check_limits(start, end, limits)?;
            if length < 2 || buffer[end - 2] != b'\r' {
                return Err(Failure::BadRequest("line feed without carriage return"));
            }
            self.scanned = end;
            self.line = end;
            if self.fields == 0 {
                if length == 2 {
                    return Err(Failure::BadRequest("request line"));
                }
                self.fields = end;
            } else if length == 2 {
                return Ok(Some(end));
            } else {
                self.count += 1;
                if self.count > limits.request_header_count {
                    return Err(Failure::HeadersTooLarge);
                }
            }
        }
        self.scanned = buffer.len().max(self.scanned);
        self.check_limits(start, buffer.len(), limits)?;
        Ok(None)
    }

    fn check_limits(&self, start: usize, end: usize, limits: &Limits) -> Result<(), Failure> {
        let line_end = 2;
        if self.fields == 0 {
            if end.saturating_sub(start) as u64 > limits.request_line.saturating_add(line_end) {
                return Err(Failure::UriTooLong);
            }
        } else if (end - self.fields) as u64 > limits.request_headers.saturating_add(line_end) {
            return Err(Failure::HeadersTooLarge);
        }
        Ok(())
    }
}

/// One empty line before the request line is passed over (RFC 9112 2.2): some clients send a CRLF
/// too much after a body.
fn skip_empty_line(buffer: &[u8]) -> usize {
    if buffer.starts_with(b"\r\n") { 2 } else { 0 }
}

fn parse(head: &Bytes, start: usize, fields: usize, count: usize) -> Result<Head, Failure> {
    let (method, target, version) = request_line(head.slice(start..fields - 2))?;
    let mut headers = HeaderMap::with_capacity(count + 8);
    let mut line = fields;
    while let Some(at) = memchr(b'\n', &head[line..head.len() - 2]) {
        let end = line + at - 1;
        let (name, value) = field(head, line, end)?;
        headers.append(name, value);
        line = end + 2;
    }
    let authority = target_authority(&target)?;
    host(&mut headers, version, authority)?;
    let framing = framing(&headers, version)?;
    let expects_continue = expectation(&mut headers, version)?;
    let keep_alive = keep_alive(&headers, version);
    let uri = origin_form(&method, target)?;
    Ok(Head { method, uri, version, headers, framing, keep_alive, expects_continue })
}

fn request_line(line: Bytes) -> Result<(Method, Uri, Version), Failure> {
    let first = memchr(b' ', &line).ok_or(Failure::BadRequest("request line"))?;
    let method = &line[..first];
    if !method.iter().all(|b| is_token(*b)) {
        return Err(Failure::BadRequest("method"));
    }
    let method = Method::from_bytes(method).map_err(|_| Failure::BadRequest("method"))?;
    let rest = &line[first + 1..];
    let second = memchr(b' ', rest).ok_or(Failure::BadRequest("request line"))?;
    let version = version(&rest[second + 1..])?;
    let target = line.slice(first + 1..first + 1 + second);
    if target.is_empty() || !target.iter().all(|b| matches!(b, 0x21..=0x7e) && *b != b'#') {
        return Err(Failure::BadRequest("request target"));
    }
    if method == Method::CONNECT {
        return Err(Failure::MethodNotServed);
    }
    let absolute = |scheme: &str| {
        target.get(..scheme.len()).is_some_and(|t| t.eq_ignore_ascii_case(scheme.as_bytes()))
    };
    if target[0] != b'/' && target != "*" && !absolute("http://") && !absolute("https://") {
        return Err(Failure::BadRequest("request target"));
    }
    let target =
        Uri::from_maybe_shared(target).map_err(|_| Failure::BadRequest("request target"))?;
    Ok((method, target, version))
}

fn version(text: &[u8]) -> Result<Version, Failure> {
    match text {
        b"HTTP/1.1" => Ok(Version::HTTP_11),
        b"HTTP/1.0" => Ok(Version::HTTP_10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Failure::Version)
        }
        _ => Err(Failure::BadRequest("version")),
    }
}

/// One field line in `line..end`, line end excluded. A folded line has no name, so it fails here.
fn field(head: &Bytes, line: usize, end: usize) -> Result<(HeaderName, HeaderValue), Failure> {
    let text = &head[line..end];
    let colon = memchr(b':', text).ok_or(Failure::BadRequest("header field without colon"))?;
    let name = header_name(&text[..colon])?;
    let (from, to) = trim(text, colon + 1);
    Ok((name, header_value(head.slice(line + from..line + to))?))
}

/// Also for trailer fields.
pub(super) fn header_name(text: &[u8]) -> Result<HeaderName, Failure> {
    if text.is_empty() || !text.iter().all(|b| is_token(*b)) {
        return Err(Failure::BadRequest("header field name"));
    }
    HeaderName::from_bytes(text).map_err(|_| Failure::BadRequest("header field name"))
}

/// Visible characters, space, tab and obs-text (RFC 9110 5.5); also for trailer fields.
pub(super) fn header_value(text: Bytes) -> Result<HeaderValue, Failure> {
    HeaderValue::from_maybe_shared(text).map_err(|_| Failure::BadRequest("header field value"))
}

/// Bounds of `text[from..]` without optional white space.
pub(super) fn trim(text: &[u8], mut from: usize) -> (usize, usize) {
    let mut to = text.len();
    while from < to && matches!(text[from], b' ' | b'\t') {
        from += 1;
    }
    while to > from && matches!(text[to - 1], b' ' | b'\t') {
        to -= 1;
    }
    (from, to)
}

/// The authority of an absolute-form target.
fn target_authority(target: &Uri) -> Result<Option<HeaderValue>, Failure> {
    match (target.scheme_str(), target.authority()) {
        (None, None) => Ok(None),
        (Some("http" | "https"), Some(authority)) => {
            if !is_host(authority.as_str().as_bytes()) {
                return Err(Failure::BadRequest("authority of the request target"));
            }
            host_value(authority).map(Some)
        }
        _ => Err(Failure::BadRequest("request target")),
    }
}

fn host_value(authority: &Authority) -> Result<HeaderValue, Failure> {
    HeaderValue::from_str(authority.as_str())
        .map_err(|_| Failure::BadRequest("authority of the request target"))
}

/// H7: exactly one good `Host` in HTTP/1.1, at most one in HTTP/1.0; the target's authority wins.
fn host(
    headers: &mut HeaderMap,
    version: Version,
    authority: Option<HeaderValue>,
) -> Result<(), Failure> {
    let mut values = headers.get_all(HOST).iter();
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => return Err(Failure::BadRequest("more than one Host")),
        (Some(value), None) if !is_host(value.as_bytes()) => {
            return Err(Failure::BadRequest("Host"));
        }
        (None, _) if version == Version::HTTP_11 => {
            return Err(Failure::BadRequest("Host is missing"));
        }
        _ => {}
    }
    if let Some(authority) = authority {
        headers.insert(HOST, authority);
    }
    Ok(())
}

/// `uri-host [ ":" port ]` without user information. Of the names that RFC 3986 allows only those
/// that can be a DNS name (with `_`) are taken: no rule host has other characters (H1, H10).
pub(crate) fn is_host(text: &[u8]) -> bool {
    let (host, port) = match text {
        [b'[', rest @ ..] => {
            let Some(end) = memchr(b']', rest) else { return false };
            let Ok(literal) = std::str::from_utf8(&rest[..end]) else { return false };
            if literal.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            (&b"[]"[..], &rest[end + 1..])
        }
        _ => {
            let end = memchr(b':', text).unwrap_or(text.len());
            (&text[..end], &text[end..])
        }
    };
    let name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let host_is_good = host == b"[]" || (!host.is_empty() && host.iter().all(name));
    let port_is_good = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    host_is_good && port_is_good
}

fn framing(headers: &HeaderMap, version: Version) -> Result<Framing, Failure> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let (coding, length) = (codings.next(), lengths.next());
    if codings.next().is_some() || lengths.next().is_some() {
        return Err(Failure::BadRequest("framing field twice"));
    }
    match (coding, length) {
        (None, None) => Ok(Framing::Length(0)),
        (None, Some(length)) => Ok(Framing::Length(content_length(length.as_bytes())?)),
        (Some(_), Some(_)) => Err(Failure::BadRequest("Content-Length beside Transfer-Encoding")),
        (Some(_), None) if version == Version::HTTP_10 => {
            Err(Failure::BadRequest("Transfer-Encoding in HTTP/1.0"))
        }
        (Some(coding), None) => transfer_coding(coding.as_bytes()),
    }
}

/// Digits only, without leading zeros: other readers take `010` for octal or refuse it.
fn content_length(text: &[u8]) -> Result<u64, Failure> {
    let bad = Failure::BadRequest("Content-Length");
    if text.is_empty() || (text.len() > 1 && text[0] == b'0') {
        return Err(bad);
    }
    text.iter().try_fold(0u64, |value, b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0')).ok_or(bad)?;
        value.checked_mul(10).and_then(|v| v.checked_add(digit)).ok_or(bad)
    })
}

/// `chunked` alone is served. A well-formed list that ends in it names a coding that we do not
/// have (501); everything else leaves the length of the body open.
fn transfer_coding(text: &[u8]) -> Result<Framing, Failure> {
    if text.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    let bad = Failure::BadRequest("Transfer-Encoding");
    let mut last_is_chunked = false;
    for coding in text.split(|b| *b == b',') {
        let (from, to) = trim(coding, 0);
        let coding = &coding[from..to];
        let identity = coding.eq_ignore_ascii_case(b"identity");
        if coding.is_empty() || last_is_chunked || identity || !coding.iter().all(|b| is_token(*b))
        {
            return Err(bad);
        }
        last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
    }
    Err(if last_is_chunked { Failure::TransferCoding } else { bad })
}

/// HTTP/1.0 has no expectations: the field is passed over (RFC 9110 10.1.1).
fn expectation(headers: &mut HeaderMap, version: Version) -> Result<bool, Failure> {
    if !headers.contains_key(EXPECT) {
        return Ok(false);
    }
    let mut values = headers.get_all(EXPECT).iter();
    let known = values.next().is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let single = values.next().is_none();
    headers.remove(EXPECT);
    match version {
        Version::HTTP_10 => Ok(false),
        _ if known && single => Ok(true),
        _ => Err(Failure::Expectation),
    }
}

fn keep_alive(headers: &HeaderMap, version: Version) -> bool {
    let mut keep = version == Version::HTTP_11;
    for value in headers.get_all(CONNECTION) {
        for option in value.as_bytes().split(|b| *b == b',') {
            let (from, to) = trim(option, 0);
            match &option[from..to] {
                o if o.eq_ignore_ascii_case(b"close") => return false,
                o if o.eq_ignore_ascii_case(b"keep-alive") => keep = true,
                _ => {}
            }
        }
    }
    keep
}

fn origin_form(method: &Method, target: Uri) -> Result<Uri, Failure> {
    if target.scheme().is_none() {
        return match target.path() {
            "*" if method != Method::OPTIONS => Err(Failure::BadRequest("request target")),
            _ => Ok(target),
        };
    }
    match target.into_parts().path_and_query {
        None => Ok(Uri::from_static("/")),
        Some(path) if path.as_str().starts_with('/') => Ok(Uri::from(path)),
        // `http://host?query`: the empty path of an absolute form is `/`.
        Some(query) => Uri::try_from(format!("/{}", query.as_str()))
            .map_err(|_| Failure::BadRequest("request target")),
    }
}

/// `tchar` of RFC 9110 5.6.2.
pub(super) fn is_token(b: u8) -> bool {
    TOKEN[b as usize]
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        table[i] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests;
