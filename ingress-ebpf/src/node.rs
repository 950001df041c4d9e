//! What the decisions ask of their surroundings.
//!
//! In the kernel these are maps and helpers, in host tests a struct in memory. Every question is
//! asked at most once or in a bounded loop; a missing map element answers as if nothing was there.

use core::ops::Deref;

use ingress_common::flow::Flow;
use ingress_common::vip::VipEntry;
use ingress_common::worker::{Absence, Settings};
use ingress_common::{Address, Family};

pub trait Node {
    type Entry: Deref<Target = VipEntry>;

    fn vip_slot(&self, index: u32) -> u32;
    fn vip_entry(&self, index: u32) -> Option<Self::Entry>;
    fn settings(&self) -> Settings;

    /// Monotonic nanoseconds; a resolution of some milliseconds is enough.
    fn now(&self) -> u64;

    /// The value of the longest rule of this set that covers the source, 0 without one.
    fn rule(&self, acl: u32, family: Family, source: &Address) -> u32;

    fn budget_cell(&self, index: u32) -> u64;
    fn set_budget_cell(&self, index: u32, value: u64);

    /// Whether this host has a socket for exactly this TCP flow: established, half open or in
    /// TIME_WAIT. A listener is not one.
    fn knows(&self, family: Family, flow: &Flow) -> bool;

    /// The worker of the CPU that this runs on, or `NO_WORKER`.
    fn cpu_worker(&self) -> u32;
    /// Whether the worker's listener of this family is alive.
    fn listens(&self, family: Family, worker: u32) -> bool;
    fn connections(&self, worker: u32) -> u32;
    fn absence(&self, family: Family) -> Absence;
    fn set_absence(&self, family: Family, absence: Absence);

    /// Shows the workers `0..workers` to a visitor until it has seen enough.
    fn each_worker<V: Visit>(&self, workers: u32, visitor: &mut V);
}

/// A step of a loop over workers. Not a closure: the kernel calls it back by a helper, so that the
/// verifier sees one step instead of all combinations of 128.
pub trait Visit {
    /// Looks at a worker; false ends the loop.
    fn visit<N: Node>(&mut self, node: &N, worker: u32) -> bool;
}
