//! Messages on a stream socket: four bytes of length, little endian, then the message; descriptors
//! come along with the bytes of the one that speaks of them.
//!
//! Everything is bounded: a message, what is read ahead, descriptors that nobody has asked for.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::net::sys;

/// Far more than one object of an API server can come to.
pub(super) const LONGEST: usize = 16 << 20;
/// Written at once, and read at once.
const CHUNK: usize = 64 << 10;
/// Descriptors that may wait for the message that speaks of them.
const WAITING: usize = 4 * sys::DESCRIPTORS;
const HEAD: usize = 4;

/// Collects messages and writes them. Blocks.
#[derive(Debug)]
pub(super) struct Writer {
    stream: Arc<UnixStream>,
    buffer: Vec<u8>,
}

/// Reads messages. Blocks.
#[derive(Debug)]
pub(super) struct Reader {
    stream: Arc<UnixStream>,
    buffer: Vec<u8>,
    /// What of the buffer has been read.
    start: usize,
    chunk: Box<[u8]>,
    descriptors: VecDeque<OwnedFd>,
    read: u64,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("a message of {0} bytes, and {LONGEST} are the most")]
    TooLong(usize),
    #[error("a message that cannot be read: {0}")]
    Malformed(postcard::Error),
    #[error("the connection ended inside a message")]
    Cut,
    #[error("descriptors that no message speaks of")]
    Unasked,
    #[error("a message without its descriptors")]
    Missing,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(stream: Arc<UnixStream>) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Writes when enough has come together.
    pub(super) fn put(&mut self, message: &impl Serialize) -> Result<(), FrameError> {
        self.append(message)?;
        if self.buffer.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> Result<(), FrameError> {
        (&*self.stream).write_all(&self.buffer)?;
        self.buffer.clear();
        // One message may have been large.
        self.buffer.shrink_to(2 * CHUNK);
        Ok(())
    }

    /// A message with at most [`sys::DESCRIPTORS`] descriptors, written at once.
    pub(super) fn send_with(
        &mut self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), FrameError> {
        self.flush()?;
        self.append(message)?;
        let raw: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let rights = if raw.is_empty() { &[][..] } else { &rights[..] };
        let sent = loop {
            let parts = [IoSlice::new(&self.buffer)];
            let flags = MsgFlags::MSG_NOSIGNAL;
            match sendmsg::<()>(self.stream.as_raw_fd(), &parts, rights, flags, None) {
                Err(nix::errno::Errno::EINTR) => {}
                other => break other.map_err(io::Error::from)?,
            }
        };
        self.buffer.drain(..sent);
        self.flush()
    }

    fn append(&mut self, message: &impl Serialize) -> Result<(), FrameError> {
        let start = self.buffer.len();
        self.buffer.extend([0; HEAD]);
        let buffer = std::mem::take(&mut self.buffer);
        self.buffer = postcard::to_extend(message, buffer).map_err(FrameError::Malformed)?;
        let length = self.buffer.len() - start - HEAD;
        let Some(head) = u32::try_from(length).ok().filter(|_| length <= LONGEST) else {
            self.buffer.truncate(start);
            return Err(FrameError::TooLong(length));
        };
        self.buffer[start..start + HEAD].copy_from_slice(&head.to_le_bytes());
        Ok(())
    }
}

// === impl Reader ===

impl Reader {
    pub(super) fn new(stream: Arc<UnixStream>) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            start: 0,
            chunk: vec![0; CHUNK].into(),
            descriptors: VecDeque::new(),
            read: 0,
        }
    }

    /// `None`: the other side has ended the connection.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        loop {
            if let Some(message) = self.read_one()? {
                return Ok(Some(message));
            }
            if !self.fill()? {
                let is_clean = self.start == self.buffer.len();
                return if is_clean { Ok(None) } else { Err(FrameError::Cut) };
            }
        }
    }

    /// The descriptors of the message that was read last.
    pub(super) fn take_descriptors(&mut self, count: usize) -> Result<Vec<OwnedFd>, FrameError> {
        if count > self.descriptors.len() {
            return Err(FrameError::Missing);
        }
        Ok(self.descriptors.drain(..count).collect())
    }

    /// Since the beginning, or since it was counted anew.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read
    }

    pub(super) fn count_anew(&mut self) {
        self.read = 0;
    }

    fn read_one<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let waiting = &self.buffer[self.start..];
        let Some((head, rest)) = waiting.split_first_chunk::<HEAD>() else { return Ok(None) };
        let length = u32::from_le_bytes(*head) as usize;
        if length > LONGEST {
            return Err(FrameError::TooLong(length));
        }
        let Some(message) = rest.get(..length) else { return Ok(None) };
        let (message, left) = postcard::take_from_bytes(message).map_err(FrameError::Malformed)?;
        if !left.is_empty() {
            return Err(FrameError::Malformed(postcard::Error::SerdeDeCustom));
        }
        self.start += HEAD + length;
        Ok(Some(message))
    }

    /// False at the end of the connection. The buffer grows by what comes, not by what is announced.
    fn fill(&mut self) -> Result<bool, FrameError> {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.is_empty() {
            self.buffer.shrink_to(2 * CHUNK);
        }
        loop {
            match sys::receive(self.stream.as_fd(), &mut self.chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
                Err(error) => return Err(error.into()),
                Ok((0, _)) => return Ok(false),
                Ok((length, descriptors)) => {
                    self.buffer.extend_from_slice(&self.chunk[..length]);
                    self.read += length as u64;
                    self.descriptors.extend(descriptors);
                    if self.descriptors.len() > WAITING {
                        return Err(FrameError::Unasked);
                    }
                    return Ok(true);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::net::Shutdown;

    use super::*;

    fn pair() -> (Writer, Reader) {
        let (a, b) = UnixStream::pair().unwrap();
        (Writer::new(Arc::new(a)), Reader::new(Arc::new(b)))
    }

    #[test]
    fn messages_of_all_sizes_come_through_in_order() {
        let (mut writer, mut reader) = pair();
        let sizes = [0, 1, 100, CHUNK - 4, CHUNK, 3 * CHUNK + 7, 1 << 20, 5];
        let sending = std::thread::spawn(move || {
            for size in sizes {
                writer.put(&vec![size as u8; size]).unwrap();
            }
            writer.flush().unwrap();
        });
        for size in sizes {
            let message: Vec<u8> = reader.next().unwrap().unwrap();
            assert!(message.len() == size && message.iter().all(|&byte| byte == size as u8));
        }
        assert!(reader.next::<Vec<u8>>().unwrap().is_none(), "a clean end");
        sending.join().unwrap();
    }

    #[test]
    fn descriptors_come_with_their_message() {
        let (mut writer, mut reader) = pair();
        let (mut input, output) = std::io::pipe().unwrap();
        writer.put(&1u8).unwrap();
        writer.send_with(&2u8, &[output.as_fd()]).unwrap();
        writer.put(&3u8).unwrap();
        writer.flush().unwrap();
        drop(output);
        assert_eq!(reader.next::<u8>().unwrap(), Some(1));
        assert_eq!(reader.next::<u8>().unwrap(), Some(2));
        let mut taken = reader.take_descriptors(1).unwrap();
        assert!(matches!(reader.take_descriptors(1), Err(FrameError::Missing)));
        assert_eq!(reader.next::<u8>().unwrap(), Some(3));
        let mut file = File::from(taken.pop().unwrap());
        file.write_all(b"x").unwrap();
        drop(file);
        let mut text = String::new();
        input.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
    }

    #[test]
    fn what_is_no_message_ends_the_connection() {
        let answer = |bytes: &[u8]| {
            let (a, b) = UnixStream::pair().unwrap();
            (&a).write_all(bytes).unwrap();
            a.shutdown(Shutdown::Write).unwrap();
            Reader::new(Arc::new(b)).next::<String>()
        };
        assert!(matches!(answer(b""), Ok(None)));
        assert!(matches!(answer(b"\x05\0"), Err(FrameError::Cut)));
        assert!(matches!(answer(b"\x05\0\0\0\x01"), Err(FrameError::Cut)));
        assert!(matches!(answer(b"\xff\xff\xff\xff"), Err(FrameError::TooLong(_))));
        assert!(matches!(answer(b"\x02\0\0\0\x01\xff"), Err(FrameError::Malformed(_))), "UTF-8");
        assert!(matches!(answer(b"\x03\0\0\0\x01aa"), Err(FrameError::Malformed(_))), "too much");
        assert!(matches!(answer(b"\x02\0\0\0\x01a"), Ok(Some(text)) if text == "a"));
    }

    #[test]
    fn a_message_that_is_too_long_is_not_begun() {
        let (mut writer, mut reader) = pair();
        let error = writer.put(&vec![0u8; LONGEST + 1]).unwrap_err();
        assert!(matches!(error, FrameError::TooLong(_)));
        writer.put(&7u8).unwrap();
        writer.flush().unwrap();
        assert_eq!(reader.next::<u8>().unwrap(), Some(7));
    }

    #[test]
    fn descriptors_that_nobody_asked_for_end_the_connection() {
        let (mut writer, mut reader) = pair();
        let null = File::open("/dev/null").unwrap();
        let many = [null.as_fd(); sys::DESCRIPTORS];
        let sending = std::thread::spawn({
            let many: Vec<OwnedFd> =
                many.iter().map(|fd| fd.try_clone_to_owned().unwrap()).collect();
            move || {
                let many: Vec<_> = many.iter().map(AsFd::as_fd).collect();
                // The reader may be gone before the last.
                for _ in 0..6 {
                    let _ = writer.send_with(&0u8, &many);
                }
            }
        });
        let outcome = (0..6).try_for_each(|_| reader.next::<u8>().map(drop));
        assert!(matches!(outcome, Err(FrameError::Unasked)), "{outcome:?}");
        drop(reader);
        sending.join().unwrap();
    }
}
