//! VIPs as the kernel programs see them.
//!
//! A packet's destination is hashed into [`VIP_SLOTS`]; the slot names an entry of `VIPS`, whose
//! address is compared. A packet to any other host meets an empty slot: one array read, no hash map
//! and no second cache line. Entries never change in place: a new value is written to a free entry
//! and the slot is switched, so a packet sees the old rules or the new ones, never a mixture.
//! `table.rs` does that bookkeeping.

use bytemuck::{Pod, Zeroable};

use crate::address::{Address, Be16};
use crate::policy::NewFlowBudget;

/// VIPs of one node; a VIP may have an address of each family. Index of the counters.
pub const MAX_VIPS: u32 = 512;
/// Entries: two addresses per VIP, and as many again so that a freed entry rests before its reuse.
pub const MAX_VIP_ENTRIES: u32 = 4 * MAX_VIPS;
/// Slots of the destination hash. A power of two, far more than addresses.
pub const VIP_SLOTS: u32 = 1 << 14;
/// Slots tried from the one that the hash names.
pub const VIP_PROBES: u32 = 4;
/// A slot without an entry, where a search ends.
pub const SLOT_EMPTY: u32 = 0;
/// A slot whose entry is gone, where a search goes on. Any other value is the entry's number + 1.
pub const SLOT_REMOVED: u32 = u32::MAX;
/// Ports of one protocol that a VIP can serve.
pub const MAX_PORTS: usize = 8;

/// One address of a VIP and everything that is decided by it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Pod, Zeroable)]
pub struct VipEntry {
    pub address: Address,
    pub value: VipValue,
}

/// What a VIP serves, to whom, and where it is counted.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Pod, Zeroable)]
pub struct VipValue {
    /// Index into the counters, below [`MAX_VIPS`].
    pub id: u32,
    /// `VIP_*` bits.
    pub flags: u32,
    /// Which rules of the source tries are this VIP's. A changed set is inserted under a new number.
    pub acl: u32,
    pub tcp_count: u16,
    pub udp_count: u16,
    /// Served TCP ports; the first `tcp_count` are meant, the rest is zero.
    pub tcp: [Be16; MAX_PORTS],
    /// Served UDP ports. Without any, every datagram to the VIP is counted and dropped.
    pub udp: [Be16; MAX_PORTS],
    pub budget: NewFlowBudget,
}

/// The source rules hold entries of this VIP's `acl`; without the bit no trie is asked.
pub const VIP_RULES: u32 = 1 << 0;
/// A source that matches no rule is refused (the VIP has an allow list).
pub const VIP_DEFAULT_DENY: u32 = 1 << 1;
/// New flows are charged to their source's budget.
pub const VIP_BUDGET: u32 = 1 << 2;

// === impl VipValue ===

impl VipValue {
    /// Serves these ports. `None` when there are more than [`MAX_PORTS`] of a protocol.
    pub fn serving(id: u32, tcp: &[u16], udp: &[u16]) -> Option<Self> {
        if tcp.len() > MAX_PORTS || udp.len() > MAX_PORTS {
            return None;
        }
        let mut value = Self {
            id,
            tcp_count: tcp.len() as u16,
            udp_count: udp.len() as u16,
            ..Self::default()
        };
        for (slot, &port) in value.tcp.iter_mut().zip(tcp) {
            *slot = Be16::from_host(port);
        }
        for (slot, &port) in value.udp.iter_mut().zip(udp) {
            *slot = Be16::from_host(port);
        }
        Some(value)
    }

    #[inline(always)]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    #[inline(always)]
    pub fn serves_tcp(&self, port: Be16) -> bool {
        contains(&self.tcp, port)
    }

    #[inline(always)]
    pub fn serves_udp(&self, port: Be16) -> bool {
        contains(&self.udp, port)
    }
}

/// The slot where the search for an address begins.
#[inline(always)]
pub const fn slot(address: &Address) -> u32 {
    let [a, b, c, d] = address.words;
    // Which bits of an operator's addresses differ is not known, so all words take part; the
    // multiplication carries their bits into the upper ones that are kept.
    let folded =
        d.raw() ^ c.raw().rotate_left(7) ^ b.raw().rotate_left(14) ^ a.raw().rotate_left(21);
    folded.wrapping_mul(0x9e37_79b1) >> (32 - VIP_SLOTS.trailing_zeros())
}

/// The slot after `slot` in a search.
#[inline(always)]
pub const fn next_slot(slot: u32) -> u32 {
    (slot + 1) & (VIP_SLOTS - 1)
}

/// Finds the entry of an address. `slots` and `entries` read the maps.
#[inline(always)]
pub fn find<E>(
    address: &Address,
    slots: impl Fn(u32) -> u32,
    entries: impl Fn(u32) -> Option<E>,
) -> Option<E>
where
    E: core::ops::Deref<Target = VipEntry>,
{
    let mut at = slot(address);
    for _ in 0..VIP_PROBES {
        let named = slots(at);
        if named == SLOT_EMPTY {
            return None;
        }
        if named != SLOT_REMOVED
            && let Some(entry) = entries(named - 1)
            && entry.address == *address
        {
            return Some(entry);
        }
        at = next_slot(at);
    }
    None
}

/// Compares all ports at once, four in a word: a lane of the difference is zero where they are equal.
#[inline(always)]
fn contains(ports: &[Be16; MAX_PORTS], port: Be16) -> bool {
    const ONES: u64 = 0x0001_0001_0001_0001;
    let [low, high]: [u64; 2] = bytemuck::cast(*ports);
    let wanted = port.raw() as u64 * ONES;
    let zero_lane = |word: u64| {
        let difference = word ^ wanted;
        difference.wrapping_sub(ONES) & !difference & (ONES << 15)
    };
    // Unused places hold port 0, which nobody serves.
    port.raw() != 0 && zero_lane(low) | zero_lane(high) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_exactly_its_ports() {
        let served = [80, 443, 1, 0x8000, 0xffff, 0x0100, 8080, 8443];
        for count in 0..=served.len() {
            let value = VipValue::serving(0, &served[..count], &[53]).unwrap();
            for port in 0..=u16::MAX {
                let expected = served[..count].contains(&port);
                assert_eq!(value.serves_tcp(Be16::from_host(port)), expected, "{port} of {count}");
            }
        }
        assert_eq!(VipValue::serving(0, &[1; 9], &[]), None);
    }
}
