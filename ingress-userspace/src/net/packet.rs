//! Frames, built layer by layer, for questions to the kernel programs.
//!
//! Depends on nothing but std, because the host tests of the kernel programs use the same file.
//! Lengths and checksums are right unless a test sets them wrong on purpose; that of TCP and UDP is
//! left out, nobody in XDP reads it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// TCP flags.
pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;

pub const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const NODE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A frame from one address to another, before its payload is known.
#[derive(Clone, Debug)]
pub struct Packet {
    source: IpAddr,
    destination: IpAddr,
    macs: ([u8; 6], [u8; 6]),
    tags: Vec<(u16, u16)>,
    ttl: u8,
    id: u16,
    /// Offset in 8-byte units, and whether more follow.
    fragment: Option<(u16, bool)>,
    options: Vec<u8>,
    extensions: Vec<(u8, Vec<u8>)>,
    padding: usize,
    length: Option<u16>,
    first_byte: Option<u8>,
}

impl Packet {
    pub fn new(source: IpAddr, destination: IpAddr) -> Self {
        Self {
            source,
            destination,
            macs: (CLIENT_MAC, NODE_MAC),
            tags: Vec::new(),
            ttl: 57,
            id: 1,
            fragment: None,
            options: Vec::new(),
            extensions: Vec::new(),
            padding: 0,
            length: None,
            first_byte: None,
        }
    }

    /// The way back: addresses and MACs change places.
    pub fn reversed(mut self) -> Self {
        (self.source, self.destination) = (self.destination, self.source);
        self.macs = (self.macs.1, self.macs.0);
        self
    }

    /// A VLAN tag, outermost first. 0x8100 or 0x88a8.
    pub fn tag(mut self, kind: u16, id: u16) -> Self {
        self.tags.push((kind, id));
        self
    }

    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        self.fragment = Some((offset, more));
        self
    }

    /// IPv4 options; a multiple of four bytes.
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// An IPv6 extension header of this type; `body` is all behind its next-header byte.
    pub fn extension(mut self, kind: u8, body: &[u8]) -> Self {
        self.extensions.push((kind, body.to_vec()));
        self
    }

    /// Bytes behind the IP packet, as short Ethernet frames have them.
    pub fn padding(mut self, bytes: usize) -> Self {
        self.padding = bytes;
        self
    }

    /// Total length (IPv4) or payload length (IPv6), against the truth.
    pub fn claimed_length(mut self, length: u16) -> Self {
        self.length = Some(length);
        self
    }

    /// Version and header length (IPv4) or version and class (IPv6), against the truth.
    pub fn first_byte(mut self, byte: u8) -> Self {
        self.first_byte = Some(byte);
        self
    }

    pub fn tcp(self, source: u16, destination: u16, flags: u8) -> Vec<u8> {
        self.payload(6, &tcp(source, destination, flags))
    }

    pub fn udp(self, source: u16, destination: u16, data: &[u8]) -> Vec<u8> {
        self.payload(17, &udp(source, destination, data))
    }

    /// ICMP or ICMPv6, by family. `rest` is all behind the checksum.
    pub fn icmp(self, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
        let mut message = vec![kind, code, 0, 0];
        message.extend_from_slice(rest);
        let (protocol, pseudo) = match (self.source, self.destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                (58, pseudo_header(source, destination, message.len(), 58))
            }
            _ => (1, Vec::new()),
        };
        let sum = checksum(&[pseudo, message.clone()].concat());
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        self.payload(protocol, &message)
    }

    pub fn payload(self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = [self.macs.1, self.macs.0].concat();
        for (kind, id) in &self.tags {
            frame.extend_from_slice(&kind.to_be_bytes());
            frame.extend_from_slice(&id.to_be_bytes());
        }
        let kind: u16 = if self.source.is_ipv4() { 0x0800 } else { 0x86dd };
        frame.extend_from_slice(&kind.to_be_bytes());
        frame.extend_from_slice(&self.ip(protocol, payload));
        frame.resize(frame.len() + self.padding, 0);
        frame
    }

    /// The IP packet alone, as ICMP errors quote it.
    pub fn ip(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.ipv4(source, destination, protocol, payload)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.ipv6(source, destination, protocol, payload)
            }
            mixed => panic!("a packet has one family: {mixed:?}"),
        }
    }

    fn ipv4(&self, source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, data: &[u8]) -> Vec<u8> {
        let header = 20 + self.options.len();
        let total = self.length.unwrap_or((header + data.len()) as u16);
        let (offset, more) = self.fragment.unwrap_or_default();
        let dont = if self.fragment.is_none() { 0x4000 } else { 0 };
        let fragment = offset | if more { 0x2000 } else { dont };
        let mut ip = vec![self.first_byte.unwrap_or(0x40 | (header / 4) as u8), 0];
        ip.extend_from_slice(&total.to_be_bytes());
        ip.extend_from_slice(&self.id.to_be_bytes());
        ip.extend_from_slice(&fragment.to_be_bytes());
        ip.extend_from_slice(&[self.ttl, protocol, 0, 0]);
        ip.extend_from_slice(&source.octets());
        ip.extend_from_slice(&destination.octets());
        ip.extend_from_slice(&self.options);
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        ip.extend_from_slice(data);
        ip
    }

    fn ipv6(&self, source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, data: &[u8]) -> Vec<u8> {
        let mut extensions = self.extensions.clone();
        if let Some((offset, more)) = self.fragment {
            let field = (offset << 3 | u16::from(more)).to_be_bytes();
            extensions.push((44, [&[0], &field[..], &[0, 0, 0, 7]].concat()));
        }
        let kinds: Vec<u8> = extensions.iter().map(|(kind, _)| *kind).chain([protocol]).collect();
        let mut body = Vec::new();
        for (index, (_, rest)) in extensions.iter().enumerate() {
            body.push(kinds[index + 1]);
            body.extend_from_slice(rest);
        }
        body.extend_from_slice(data);
        let length = self.length.unwrap_or(body.len() as u16);
        let mut ip = vec![self.first_byte.unwrap_or(0x60), 0, 0, 0];
        ip.extend_from_slice(&length.to_be_bytes());
        ip.extend_from_slice(&[kinds[0], self.ttl]);
        ip.extend_from_slice(&source.octets());
        ip.extend_from_slice(&destination.octets());
        ip.extend_from_slice(&body);
        ip
    }
}

/// A TCP header without options.
pub fn tcp(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut header = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    header.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1, 5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    header
}

pub fn udp(source: u16, destination: u16, data: &[u8]) -> Vec<u8> {
    let length = (8 + data.len()) as u16;
    let mut header =
        [source.to_be_bytes(), destination.to_be_bytes(), length.to_be_bytes(), [0; 2]].concat();
    header.extend_from_slice(data);
    header
}

/// The Internet checksum (RFC 1071).
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn pseudo_header(source: Ipv6Addr, destination: Ipv6Addr, length: usize, protocol: u8) -> Vec<u8> {
    let mut header = [source.octets(), destination.octets()].concat();
    header.extend_from_slice(&(length as u32).to_be_bytes());
    header.extend_from_slice(&[0, 0, 0, protocol]);
    header
}
