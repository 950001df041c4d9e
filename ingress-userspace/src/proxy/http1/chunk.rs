//! The strict reader of a chunked request body: bytes in, data, trailers or a [`Failure`] out.
//!
//! Pure: no I/O, no clock. Line ends are CRLF only, sizes are hexadecimal digits only, extensions
//! are read and forgotten within a bound (RFC 9112 7.1). The data does not depend on how the bytes
//! were split into reads, except for where it is cut into pieces.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use memchr::memchr;

use super::head::{header_name, header_value, trim};
use crate::config::Limits;
use crate::proxy::{Failure, trailer};

/// Longest chunk-size line, with extension and line end.
const SIZE_LINE: usize = 256;
/// Extension bytes of a whole body. Without a bound a client makes us read far more than it is
/// charged for (CVE-2023-39326).
const EXTENSIONS: usize = 16 << 10;

/// Where in a chunked body we are.
#[derive(Debug)]
pub struct Reader {
    state: State,
    extensions: usize,
    trailers: HeaderMap,
    trailer_bytes: usize,
    trailer_count: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// More bytes are needed.
    More,
    Data(Bytes),
    /// The body is complete.
    End(HeaderMap),
}

#[derive(Debug, Clone, Copy)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

// === impl Reader ===

impl Reader {
    pub fn new() -> Self {
        Self {
            state: State::Size,
            extensions: 0,
            trailers: HeaderMap::new(),
            trailer_bytes: 0,
            trailer_count: 0,
        }
    }

    /// Takes what it can off the front of `buffer`.
    pub fn read(&mut self, buffer: &mut BytesMut, limits: &Limits) -> Result<Step, Failure> {
        loop {
            match self.state {
                State::Size => {
                    let Some(line) = take_line(buffer, SIZE_LINE, "chunk size")? else {
                        return Ok(Step::More);
                    };
                    let size = self.size(&line)?;
                    self.state = if size == 0 { State::Trailers } else { State::Data(size) };
                }
                State::Data(left) => {
                    if buffer.is_empty() {
                        return Ok(Step::More);
                    }
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    let left = left - length as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    return Ok(Step::Data(buffer.split_to(length).freeze()));
                }
                State::DataEnd => {
                    match buffer[..] {
                        [b'\r', b'\n', ..] => drop(buffer.split_to(2)),
                        [] | [b'\r'] => return Ok(Step::More),
                        _ => return Err(Failure::BadRequest("end of chunk")),
                    }
                    self.state = State::Size;
                }
                State::Trailers => {
                    let left = usize::try_from(limits.request_headers)
                        .unwrap_or(usize::MAX)
                        .saturating_sub(self.trailer_bytes)
                        .saturating_add(2);
                    let Some(line) = take_trailer_line(buffer, left)? else {
                        return Ok(Step::More);
                    };
                    if line.is_empty() {
                        self.state = State::Done;
                        return Ok(Step::End(std::mem::take(&mut self.trailers)));
                    }
                    self.trailer(line, limits)?;
                }
                State::Done => return Ok(Step::End(HeaderMap::new())),
            }
        }
    }

    fn size(&mut self, line: &[u8]) -> Result<u64, Failure> {
        let bad = Failure::BadRequest("chunk size");
        let end = line.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(line.len());
        let (digits, extension) = line.split_at(end);
        // 16 digits would still fit; a size that does not fit in an i64 is read differently
        // elsewhere.
        if digits.is_empty() || digits.len() > 15 {
            return Err(bad);
        }
        if !extension.is_empty() {
            let visible = |b: &u8| matches!(b, b'\t' | 0x20..=0x7e | 0x80..);
            if extension[0] != b';' || !extension.iter().all(visible) {
                return Err(bad);
            }
            self.extensions += extension.len();
            if self.extensions > EXTENSIONS {
                return Err(Failure::BadRequest("chunk extensions"));
            }
        }
        Ok(digits.iter().fold(0, |value, b| {
            let digit = match b {
                b'0'..=b'9' => b - b'0',
                _ => (b | 0x20) - b'a' + 10,
            };
            value << 4 | u64::from(digit)
        }))
    }

    fn trailer(&mut self, line: Bytes, limits: &Limits) -> Result<(), Failure> {
        self.trailer_bytes += line.len() + 2;
        self.trailer_count += 1;
        if self.trailer_count > limits.request_header_count {
            return Err(Failure::HeadersTooLarge);
        }
        let colon =
            memchr(b':', &line).ok_or(Failure::BadRequest("trailer field without colon"))?;
        let name = header_name(&line[..colon])?;
        let (from, to) = trim(&line, colon + 1);
        let value = header_value(line.slice(from..to))?;
        if trailer::is_kept(&name)? {
            self.trailers.append(name, value);
        }
        Ok(())
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

/// A line without its CRLF. A bare CR inside is refused by what reads the line.
fn take_line(
    buffer: &mut BytesMut,
    longest: usize,
    what: &'static str,
) -> Result<Option<Bytes>, Failure> {
    let end = memchr(b'\n', &buffer[..buffer.len().min(longest)]);
    match end {
        None if buffer.len() >= longest => Err(Failure::BadRequest(what)),
        None => Ok(None),
        Some(end) if end > 0 && buffer[end - 1] == b'\r' => {
            let mut line = buffer.split_to(end + 1).freeze();
            line.truncate(end - 1);
            Ok(Some(line))
        }
        Some(_) => Err(Failure::BadRequest("line feed without carriage return")),
    }
}

fn take_trailer_line(buffer: &mut BytesMut, left: usize) -> Result<Option<Bytes>, Failure> {
    take_line(buffer, left, "").map_err(|failure| match failure {
        Failure::BadRequest("") => Failure::HeadersTooLarge,
        other => other,
    })
}

#[cfg(test)]
mod tests;
