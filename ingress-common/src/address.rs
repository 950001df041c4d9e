//! Addresses and ports as they stand in a packet.
//!
//! One 16-byte form serves both families: an IPv4 address is held as `::ffff:a.b.c.d`, so that maps,
//! events and code exist once. The integers inside are big-endian and never do arithmetic.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytemuck::{Pod, Zeroable};

/// A 16-bit integer in network order.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Pod, Zeroable)]
pub struct Be16(u16);

/// A 32-bit integer in network order.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Pod, Zeroable)]
pub struct Be32(u32);

/// An IPv6 address, or an IPv4 address in its mapped form.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Pod, Zeroable)]
pub struct Address {
    pub words: [Be32; 4],
}

/// The address family; its value is the index of per-family maps.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Family {
    V4 = 0,
    V6 = 1,
}

// === impl Be16 ===

impl Be16 {
    #[inline(always)]
    pub const fn from_host(value: u16) -> Self {
        Self(value.to_be())
    }

    #[inline(always)]
    pub const fn to_host(self) -> u16 {
        u16::from_be(self.0)
    }

    /// The bits as they lie in memory, read as a native integer: what the kernel calls `__be16`.
    #[inline(always)]
    pub const fn raw(self) -> u16 {
        self.0
    }

    #[inline(always)]
    pub const fn from_raw(raw: u16) -> Self {
        Self(raw)
    }
}

impl fmt::Debug for Be16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_host(), f)
    }
}

// === impl Be32 ===

impl Be32 {
    #[inline(always)]
    pub const fn from_host(value: u32) -> Self {
        Self(value.to_be())
    }

    #[inline(always)]
    pub const fn to_host(self) -> u32 {
        u32::from_be(self.0)
    }

    /// The bits as they lie in memory, read as a native integer: what the kernel calls `__be32`.
    #[inline(always)]
    pub const fn raw(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }
}

impl fmt::Debug for Be32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.to_host())
    }
}

// === impl Address ===

/// The third word of every mapped IPv4 address.
const MAPPED: Be32 = Be32::from_host(0xffff);

impl Address {
    #[inline(always)]
    pub const fn v4(address: Be32) -> Self {
        Self { words: [Be32(0), Be32(0), MAPPED, address] }
    }

    #[inline(always)]
    pub const fn v6(words: [Be32; 4]) -> Self {
        Self { words }
    }

    /// An IPv6 packet that carries a mapped address counts as IPv4 here; callers that know the
    /// family of the packet must not ask for it again.
    #[inline(always)]
    pub fn family(&self) -> Family {
        let [a, b, c, _] = self.words;
        if a.0 | b.0 == 0 && c == MAPPED { Family::V4 } else { Family::V6 }
    }
}

impl From<Ipv4Addr> for Address {
    fn from(address: Ipv4Addr) -> Self {
        Self::v4(Be32::from_host(address.to_bits()))
    }
}

impl From<Ipv6Addr> for Address {
    fn from(address: Ipv6Addr) -> Self {
        let bits = address.to_bits();
        Self::v6([96, 64, 32, 0].map(|shift| Be32::from_host((bits >> shift) as u32)))
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => v6.into(),
        }
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        let [a, b, c, d] = address.words.map(Be32::to_host);
        match address.family() {
            Family::V4 => Self::V4(Ipv4Addr::from_bits(d)),
            Family::V6 => {
                let bits = (a as u128) << 96 | (b as u128) << 64 | (c as u128) << 32 | (d as u128);
                Self::V6(Ipv6Addr::from_bits(bits))
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&IpAddr::from(*self), f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_round_trip() {
        for text in ["203.0.113.80", "0.0.0.0", "2001:db8::80", "::1"] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(IpAddr::from(Address::from(ip)), ip);
        }
    }

    #[test]
    fn fields_hold_network_order() {
        let address = Address::from(Ipv4Addr::new(203, 0, 113, 80));
        assert_eq!(bytemuck::bytes_of(&address)[10..], [0xff, 0xff, 203, 0, 113, 80]);
        assert_eq!(bytemuck::bytes_of(&Be16::from_host(80)), [0, 80]);
    }
}
