//! A kept-alive HTTP/1.1 connection whose way into the edge is chosen: by the CPU it is sent from.
//!
//! On the veth pairs of a lab a packet stays on the CPU of its sender, so that this CPU is also the
//! one on which `dispatch` meets the SYN.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::{DEADLINE, Host, Story};

#[derive(Debug)]
pub struct Session {
    stream: TcpStream,
    received: Vec<u8>,
}

// === impl Session ===

impl Session {
    /// Connects from one CPU of a host.
    pub fn open(host: &Host, cpu: u32, to: SocketAddr) -> io::Result<Self> {
        let stream = host.run(|| {
            let mut only = CpuSet::new();
            only.set(cpu as usize)?;
            sched_setaffinity(Pid::from_raw(0), &only)?;
            TcpStream::connect_timeout(&to, DEADLINE)
        })?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// One request and its answer's status. Fails when the connection is gone.
    pub fn get(&mut self, name: &str, path: &str) -> io::Result<u16> {
        self.stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {name}\r\n\r\n").as_bytes())?;
        loop {
            if let Some(status) = self.take_answer()? {
                return Ok(status);
            }
            let mut buffer = [0; 4096];
            let count = self.stream.read(&mut buffer)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.received.extend_from_slice(&buffer[..count]);
        }
    }

    /// The client's end.
    pub fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    fn take_answer(&mut self) -> io::Result<Option<u16>> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut fields);
        let parsed = head.parse(&self.received).map_err(io::Error::other)?;
        let httparse::Status::Complete(body) = parsed else { return Ok(None) };
        let length = head
            .headers
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case("content-length"))
            .and_then(|field| std::str::from_utf8(field.value).ok()?.parse::<usize>().ok())
            .ok_or_else(|| io::Error::other("an answer without Content-Length"))?;
        let end = body + length;
        if self.received.len() < end {
            return Ok(None);
        }
        let status = head.code.ok_or_else(|| io::Error::other("an answer without status"))?;
        self.received.drain(..end);
        Ok(Some(status))
    }
}

// === impl Story ===

impl Story {
    /// The worker that served a client's connection, as the access log says once it is written.
    pub fn worker_of(&self, client: SocketAddr) -> Option<usize> {
        let log = self.log();
        let lines = log.lines().filter_map(|line| {
            serde_json::from_str::<serde_json::Value>(line).ok().filter(|line| line.is_object())
        });
        let client = client.to_string();
        let mut served = lines.filter(|line| line["client"] == client.as_str());
        usize::try_from(served.next()?["worker"].as_u64()?).ok()
    }
}
