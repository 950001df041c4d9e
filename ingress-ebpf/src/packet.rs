//! Headers, read out of a frame by value.
//!
//! A header is copied with one bounds check; nothing refers into the frame. The layouts are those of
//! the wire, fields in network order.

use bytemuck::{Pod, Zeroable};
use ingress_common::{Be16, Be32};

/// The bytes of a received frame, from its Ethernet header on.
pub trait Frame {
    /// Copies a header out; `None` when the frame ends before it does.
    fn read<T: Pod>(&self, offset: usize) -> Option<T>;
    /// Overwrites a header; `None`, and nothing written, when the frame ends before it does.
    fn write<T: Pod>(&mut self, offset: usize, value: &T) -> Option<()>;
    /// Whether the whole frame, also the parts that can't be read, goes on to this offset.
    fn reaches(&self, end: usize) -> bool;
}

/// No header begins later than this in a frame: what comes after so many options and extension
/// headers is not walked to.
pub const MAX_OFFSET: usize = 512;

pub const ETHERNET: usize = size_of::<Ethernet>();
pub const VLAN: usize = 4;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Ethernet {
    pub destination: [u8; 6],
    pub source: [u8; 6],
    pub kind: Be16,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Ipv4 {
    pub version_length: u8,
    pub service: u8,
    pub total: Be16,
    pub id: Be16,
    pub fragment: Be16,
    pub ttl: u8,
    pub protocol: u8,
    pub checksum: Be16,
    pub source: Be32,
    pub destination: Be32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Ipv6 {
    pub version_class_label: Be32,
    pub payload: Be16,
    pub next: u8,
    pub hop_limit: u8,
    pub source: [Be32; 4],
    pub destination: [Be32; 4],
}

/// The beginning that all IPv6 extension headers share, and what follows it in the two that matter.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Extension {
    pub next: u8,
    pub length: u8,
    /// Routing header: type and segments left. Fragment header: offset and more-fragments bit.
    pub detail: Be16,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Tcp {
    pub source: Be16,
    pub destination: Be16,
    pub sequence: Be32,
    pub acknowledgement: Be32,
    pub offset: u8,
    pub flags: u8,
    pub window: Be16,
    pub checksum: Be16,
    pub urgent: Be16,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Udp {
    pub source: Be16,
    pub destination: Be16,
    pub length: Be16,
    pub checksum: Be16,
}

/// ICMP and ICMPv6 alike.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Icmp {
    pub kind: u8,
    pub code: u8,
    pub checksum: Be16,
    pub rest: Be32,
}

/// The part of a transport header that an ICMP error quotes for certain.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Ports {
    pub source: Be16,
    pub destination: Be16,
}

/// EtherTypes.
pub mod ether {
    pub const IPV4: u16 = 0x0800;
    pub const IPV6: u16 = 0x86dd;
    pub const VLAN: u16 = 0x8100;
    pub const VLAN_SERVICE: u16 = 0x88a8;
}

/// IP protocol numbers.
pub mod protocol {
    pub const HOP_BY_HOP: u8 = 0;
    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const AUTHENTICATION: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const DESTINATION: u8 = 60;
}

/// TCP flags.
pub mod flag {
    pub const FIN: u8 = 1;
    pub const SYN: u8 = 2;
    pub const RST: u8 = 4;
    pub const ACK: u8 = 16;
}

// === impl Ipv4 ===

impl Ipv4 {
    /// Length of the header with its options. Below 20 it is no header.
    #[inline(always)]
    pub const fn header(&self) -> usize {
        (self.version_length as usize & 0xf) * 4
    }

    #[inline(always)]
    pub const fn version(&self) -> u8 {
        self.version_length >> 4
    }

    #[inline(always)]
    pub const fn is_fragment(&self) -> bool {
        // More-fragments bit and offset; the don't-fragment bit is no matter.
        self.fragment.to_host() & 0x3fff != 0
    }

    /// Of a fragment: whether it is the beginning of its packet.
    #[inline(always)]
    pub const fn is_first_fragment(&self) -> bool {
        self.fragment.to_host() & 0x1fff == 0
    }
}

// === impl Ipv6 ===

impl Ipv6 {
    #[inline(always)]
    pub const fn version(&self) -> u32 {
        self.version_class_label.to_host() >> 28
    }
}
