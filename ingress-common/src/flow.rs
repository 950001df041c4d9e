//! A flow's five-tuple and its hash, the same on both sides.

use bytemuck::{Pod, Zeroable};

use crate::address::{Address, Be16};

/// Source and destination of a flow, as the packet that travels towards the VIP has them.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, Pod, Zeroable)]
pub struct Flow {
    pub source: Address,
    pub destination: Address,
    pub source_port: Be16,
    pub destination_port: Be16,
    /// IP protocol number.
    pub protocol: u32,
}

// === impl Flow ===

impl Flow {
    /// A well-mixed 32-bit hash. Not keyed: an attacker can aim at one value.
    #[inline(always)]
    pub const fn hash(&self) -> u32 {
        let [a, b, c, d] = self.source.words;
        let [e, f, g, h] = self.destination.words;
        let ports = (self.source_port.raw() as u32) << 16 | self.destination_port.raw() as u32;
        let mut hash = self.protocol;
        let words = [a.raw(), b.raw(), c.raw(), d.raw(), e.raw(), f.raw(), g.raw(), h.raw(), ports];
        let mut index = 0;
        while index < words.len() {
            hash = step(hash, words[index]);
            index += 1;
        }
        hash ^= hash >> 16;
        hash = hash.wrapping_mul(0x85eb_ca6b);
        hash ^= hash >> 13;
        hash = hash.wrapping_mul(0xc2b2_ae35);
        hash ^ (hash >> 16)
    }
}

/// One round of MurmurHash3 (32 bits).
#[inline(always)]
const fn step(hash: u32, word: u32) -> u32 {
    let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    extern crate std;

    fn flow(port: u16) -> Flow {
        Flow {
            source: Ipv4Addr::new(198, 51, 100, 1).into(),
            destination: Ipv4Addr::new(203, 0, 113, 80).into(),
            source_port: Be16::from_host(port),
            destination_port: Be16::from_host(443),
            protocol: 6,
        }
    }

    #[test]
    fn neighbouring_ports_spread_evenly() {
        let mut buckets = [0u32; 16];
        for port in 1024..=17_407 {
            buckets[(flow(port).hash() % 16) as usize] += 1;
        }
        assert!(buckets.iter().all(|&n| (900..=1150).contains(&n)), "{buckets:?}");
    }
}
