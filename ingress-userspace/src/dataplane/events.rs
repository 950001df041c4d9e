//! Sampled packets as the kernel programs report them through the ring buffer.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use aya::maps::{MapData, RingBuf};
use ingress_common::Verdict;
use ingress_common::event::Event as Raw;
use tokio::io::unix::AsyncFd;

use crate::net::sys;

/// Reads events in the order of the ring. One reader per process: an event is read once.
pub struct Events {
    ring: RingBuf<MapData>,
    filled: AsyncFd<OwnedFd>,
}

/// A packet, or a lookup, and what was decided about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Monotonic nanoseconds, to a few milliseconds.
    pub time: u64,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// IP protocol number.
    pub protocol: u32,
    /// Counter index of the VIP.
    pub vip: u32,
    pub verdict: Verdict,
    pub cpu: u32,
    /// Index of the device that it came in on.
    pub interface: u32,
    /// How many packets it stands for.
    pub sample: u32,
}

// === impl Events ===

impl Events {
    pub(super) fn new(ring: RingBuf<MapData>) -> io::Result<Self> {
        let filled = sys::readable(ring.as_fd().try_clone_to_owned()?)?;
        Ok(Self { ring, filled })
    }

    /// Waits for the next event. Cancelling it loses nothing.
    pub async fn next(&mut self) -> io::Result<Event> {
        loop {
            let mut ready = self.filled.readable().await?;
            while let Some(item) = self.ring.next() {
                if let Some(event) = Event::decode(&item) {
                    return Ok(event);
                }
            }
            ready.clear_ready();
        }
    }
}

// === impl Event ===

impl Event {
    /// `None` for a record of another length or with an unknown verdict.
    fn decode(record: &[u8]) -> Option<Self> {
        let raw: Raw = bytemuck::try_pod_read_unaligned(record).ok()?;
        let (source, destination) =
            (IpAddr::from(raw.flow.source), IpAddr::from(raw.flow.destination));
        Some(Self {
            time: raw.time,
            source: SocketAddr::new(source, raw.flow.source_port.to_host()),
            destination: SocketAddr::new(destination, raw.flow.destination_port.to_host()),
            protocol: raw.flow.protocol,
            vip: raw.vip,
            verdict: Verdict::try_from(raw.verdict).ok()?,
            cpu: raw.cpu,
            interface: raw.ifindex,
            sample: raw.sample,
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            1 => "icmp",
            6 => "tcp",
            17 => "udp",
            58 => "icmpv6",
            _ => "ip",
        };
        write!(
            f,
            "{} {protocol} {} -> {} vip {} cpu {} if {} 1/{}",
            self.verdict.name(),
            self.source,
            self.destination,
            self.vip,
            self.cpu,
            self.interface,
            self.sample
        )
    }
}

#[cfg(test)]
mod tests {
    use ingress_common::address::{Address, Be16};
    use ingress_common::flow::Flow;

    use super::*;

    #[test]
    fn a_record_is_decoded_and_others_are_passed_over() {
        let address = |text: &str| Address::from(text.parse::<IpAddr>().unwrap());
        let mut raw = Raw {
            flow: Flow {
                source: address("198.51.100.7"),
                destination: address("203.0.113.80"),
                source_port: Be16::from_host(40000),
                destination_port: Be16::from_host(443),
                protocol: 6,
            },
            verdict: Verdict::TcpSyn as u32,
            sample: 100,
            ..Raw::default()
        };
        let event = Event::decode(bytemuck::bytes_of(&raw)).unwrap();
        assert_eq!(
            event.to_string(),
            "tcp_syn tcp 198.51.100.7:40000 -> 203.0.113.80:443 vip 0 cpu 0 if 0 1/100"
        );
        assert_eq!(Event::decode(&bytemuck::bytes_of(&raw)[1..]), None);
        raw.verdict = u32::MAX;
        assert_eq!(Event::decode(bytemuck::bytes_of(&raw)), None);
    }
}
