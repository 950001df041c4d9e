//! Workers: their listening sockets, their load, and the settings of both programs.
//!
//! Worker `n` of a family puts its listener at [`listener_slot`] of the socket map and publishes
//! its connections at `LOADS[n]`, an mmapable array of its own so that a publication is one store.

use bytemuck::{Pod, Zeroable};

use crate::address::Family;

/// Workers of one node.
pub const MAX_WORKERS: u32 = 128;
/// CPUs that the CPU-to-worker table serves.
pub const MAX_CPUS: u32 = 1024;
/// Entry of the CPU-to-worker table: this CPU has no worker of its own.
pub const NO_WORKER: u32 = u32::MAX;

/// What a worker publishes. A cache line of its own, so that workers do not disturb each other.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Load {
    /// Open downstream connections.
    pub connections: u32,
    pub reserved: [u32; 15],
}

/// Settings of both programs; the only element of its array.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Pod, Zeroable)]
pub struct Settings {
    /// Secret of the budget's hash, random per node.
    pub seed: u64,
    /// Nanoseconds for which SYNs to a family without listeners are dropped before they are refused.
    pub grace: u64,
    /// Grows with every process that takes over.
    pub generation: u64,
    /// Worker slots in use: `0..workers` are looked at. At most [`MAX_WORKERS`].
    pub workers: u32,
    /// One packet in so many becomes an event; 0 is none.
    pub sample: u32,
    /// CPUs of the CPUMAP that VIP packets are spread over; 0 is off.
    pub spread: u32,
    pub reserved: u32,
}

/// When a family was seen without any listener; written by the kernel programs, and set back when a
/// listener comes.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Pod, Zeroable)]
pub struct Absence {
    /// Monotonic nanoseconds of the first SYN that found no listener; 0 when there is one.
    pub since: u64,
    /// Monotonic nanoseconds of the last search through all workers.
    pub searched: u64,
}

/// Index of a worker's listener in the socket map.
#[inline(always)]
pub const fn listener_slot(family: Family, worker: u32) -> u32 {
    family as u32 * MAX_WORKERS + worker
}

/// Whether a worker has so many connections more than the others that it should be spared.
///
/// More than 1.25 x mean + 16, in integers: `c > 5t/4w + 16`, both sides times `4w`.
#[inline(always)]
pub const fn overloaded(connections: u32, total: u64, workers: u32) -> bool {
    4 * workers as u64 * connections as u64 > 5 * total + 64 * workers as u64
}

impl Default for Load {
    fn default() -> Self {
        Self::zeroed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_the_families_do_not_meet() {
        assert_eq!(listener_slot(Family::V4, MAX_WORKERS - 1) + 1, listener_slot(Family::V6, 0));
    }

    #[test]
    fn overload_is_more_than_a_quarter_and_16_above_the_mean() {
        // Two workers with 200 connections: the mean is 100, the limit 141.
        assert!(!overloaded(141, 200, 2));
        assert!(overloaded(142, 200, 2));
        assert!(!overloaded(16, 0, 4));
        assert!(overloaded(17, 0, 4));
        assert!(!overloaded(u32::MAX / 2, u64::from(u32::MAX), 2));
    }
}
