//! Placement of VIPs in the slot and entry maps.
//!
//! In: the wanted VIPs, one address at a time. Out: the map writes that make it so, in the order in
//! which they must be done. Holds a mirror of both maps and does no I/O itself. A freed entry goes
//! to the end of a queue half as long as the map, so that a packet which still reads it is long
//! gone when it is written again.

use std::collections::{HashMap, VecDeque};
use std::vec::Vec;

use crate::address::Address;
use crate::vip::{
    MAX_VIP_ENTRIES, SLOT_EMPTY, SLOT_REMOVED, VIP_PROBES, VIP_SLOTS, VipEntry, VipValue,
    next_slot, slot,
};

/// The mirror of `VIP_SLOTS` and `VIPS`.
pub struct VipTable {
    slots: Vec<u32>,
    placed: HashMap<Address, Placed>,
    free: VecDeque<u32>,
}

/// One write to a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Write {
    /// `VIPS[index] = entry`.
    Entry { index: u32, entry: VipEntry },
    /// `VIP_SLOTS[index] = value`.
    Slot { index: u32, value: u32 },
}

/// Why an address found no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// Every entry is taken.
    Entries,
    /// The slots that this address hashes to are all taken by others.
    Slots,
}

#[derive(Clone, Copy)]
struct Placed {
    slot: u32,
    entry: u32,
    value: VipValue,
}

// === impl VipTable ===

impl Default for VipTable {
    fn default() -> Self {
        Self {
            slots: std::vec![SLOT_EMPTY; VIP_SLOTS as usize],
            placed: HashMap::new(),
            free: (0..MAX_VIP_ENTRIES).collect(),
        }
    }
}

impl VipTable {
    /// Takes over what an earlier process left in the pinned maps. `slot` and `entry` read them.
    pub fn adopt<E>(
        mut slot: impl FnMut(u32) -> Result<u32, E>,
        mut entry: impl FnMut(u32) -> Result<VipEntry, E>,
    ) -> Result<Self, E> {
        let mut table = Self::default();
        for index in 0..VIP_SLOTS {
            let named = slot(index)?;
            table.slots[index as usize] = named;
            if named == SLOT_EMPTY || named == SLOT_REMOVED {
                continue;
            }
            let VipEntry { address, value } = entry(named - 1)?;
            let placed = Placed { slot: index, entry: named - 1, value };
            table.placed.insert(address, placed);
        }
        let taken: Vec<u32> = table.placed.values().map(|placed| placed.entry).collect();
        table.free.retain(|entry| !taken.contains(entry));
        Ok(table)
    }

    /// The addresses in the table and their values.
    pub fn iter(&self) -> impl Iterator<Item = (&Address, &VipValue)> {
        self.placed.iter().map(|(address, placed)| (address, &placed.value))
    }

    /// Adds an address or gives it another value. No writes when nothing changes.
    pub fn upsert(&mut self, address: Address, value: VipValue) -> Result<Vec<Write>, Full> {
        let old = self.placed.get(&address).copied();
        if old.is_some_and(|old| old.value == value) {
            return Ok(Vec::new());
        }
        let slot = match old {
            Some(old) => old.slot,
            None => self.vacant(&address).ok_or(Full::Slots)?,
        };
        let entry = self.free.pop_front().ok_or(Full::Entries)?;
        self.placed.insert(address, Placed { slot, entry, value });
        self.free.extend(old.map(|old| old.entry));
        self.slots[slot as usize] = entry + 1;
        Ok(std::vec![
            Write::Entry { index: entry, entry: VipEntry { address, value } },
            Write::Slot { index: slot, value: entry + 1 },
        ])
    }

    /// Takes an address out. No writes when it is not there.
    pub fn remove(&mut self, address: &Address) -> Vec<Write> {
        let Some(old) = self.placed.remove(address) else { return Vec::new() };
        self.free.push_back(old.entry);
        // A search ends at an empty slot: only the last of a chain may become one.
        let last = self.slots[next_slot(old.slot) as usize] == SLOT_EMPTY;
        let value = if last { SLOT_EMPTY } else { SLOT_REMOVED };
        self.slots[old.slot as usize] = value;
        std::vec![Write::Slot { index: old.slot, value }]
    }

    fn vacant(&self, address: &Address) -> Option<u32> {
        let mut at = slot(address);
        for _ in 0..VIP_PROBES {
            let named = self.slots[at as usize];
            if named == SLOT_EMPTY || named == SLOT_REMOVED {
                return Some(at);
            }
            at = next_slot(at);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vip::find;
    use std::boxed::Box;
    use std::net::{Ipv4Addr, Ipv6Addr};

    /// The two maps, as the kernel reads them.
    struct Maps {
        slots: Vec<u32>,
        entries: Vec<VipEntry>,
    }

    impl Maps {
        fn new() -> Self {
            Self {
                slots: std::vec![0; VIP_SLOTS as usize],
                entries: std::vec![VipEntry::default(); MAX_VIP_ENTRIES as usize],
            }
        }

        fn write(&mut self, writes: &[Write]) {
            for write in writes {
                match *write {
                    Write::Entry { index, entry } => self.entries[index as usize] = entry,
                    Write::Slot { index, value } => self.slots[index as usize] = value,
                }
            }
        }

        fn find(&self, address: &Address) -> Option<VipValue> {
            find(
                address,
                |index| self.slots[index as usize],
                |index| Some(Box::new(self.entries[index as usize])),
            )
            .map(|entry| entry.value)
        }
    }

    fn value(id: u32) -> VipValue {
        VipValue::serving(id, &[80, 443], &[]).unwrap()
    }

    /// Addresses that all begin their search at one slot.
    fn colliding(count: usize) -> Vec<Address> {
        let first = Address::from(Ipv4Addr::new(10, 0, 0, 1));
        (0u32..)
            .map(|bits| Address::from(Ipv4Addr::from_bits(0x0a00_0001 + bits)))
            .filter(|address| slot(address) == slot(&first))
            .take(count)
            .collect()
    }

    #[test]
    fn finds_each_address_at_full_size() {
        let (mut table, mut maps) = (VipTable::default(), Maps::new());
        let addresses: Vec<Address> = (0..crate::vip::MAX_VIPS)
            .flat_map(|n| {
                let v6 = Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n));
                [Address::from(Ipv4Addr::from_bits(0xcb00_7100 + n)), Address::from(v6)]
            })
            .collect();
        for (id, address) in addresses.iter().enumerate() {
            maps.write(&table.upsert(*address, value(id as u32)).unwrap());
        }
        for (id, address) in addresses.iter().enumerate() {
            assert_eq!(maps.find(address).map(|value| value.id), Some(id as u32));
        }
        assert_eq!(maps.find(&Address::from(Ipv4Addr::new(192, 0, 2, 1))), None);
    }

    #[test]
    fn a_changed_value_goes_to_a_fresh_entry_before_the_slot_is_switched() {
        let mut table = VipTable::default();
        let address = Address::from(Ipv4Addr::new(203, 0, 113, 80));
        let first = table.upsert(address, value(0)).unwrap();
        assert!(table.upsert(address, value(0)).unwrap().is_empty());
        let second = table.upsert(address, value(1)).unwrap();
        let (Write::Entry { index: old, .. }, Write::Entry { index: new, .. }) =
            (first[0], second[0])
        else {
            panic!("entries come first: {first:?} {second:?}");
        };
        assert_ne!(old, new);
        assert!(matches!(second[1], Write::Slot { value, .. } if value == new + 1));
    }

    #[test]
    fn removing_one_of_a_chain_keeps_the_rest_reachable() {
        let (mut table, mut maps) = (VipTable::default(), Maps::new());
        let addresses = colliding(VIP_PROBES as usize + 1);
        let (last, placed) = addresses.split_last().unwrap();
        for (id, address) in placed.iter().enumerate() {
            maps.write(&table.upsert(*address, value(id as u32)).unwrap());
        }
        assert_eq!(table.upsert(*last, value(9)), Err(Full::Slots));
        maps.write(&table.remove(&placed[1]));
        assert_eq!(maps.find(&placed[1]), None);
        assert_eq!(maps.find(&placed[3]).unwrap().id, 3);
        maps.write(&table.upsert(*last, value(9)).unwrap());
        assert_eq!(maps.find(last).unwrap().id, 9);
    }

    #[test]
    fn a_successor_adopts_what_it_finds() {
        let (mut table, mut maps) = (VipTable::default(), Maps::new());
        for (id, address) in colliding(3).into_iter().enumerate() {
            maps.write(&table.upsert(address, value(id as u32)).unwrap());
        }
        let adopted = VipTable::adopt(
            |index| Ok::<_, ()>(maps.slots[index as usize]),
            |index| Ok(maps.entries[index as usize]),
        )
        .unwrap();
        let mut ids: Vec<u32> = adopted.iter().map(|(_, value)| value.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, [0, 1, 2]);
        assert_eq!(adopted.free.len() as u32, MAX_VIP_ENTRIES - 3);
    }
}
