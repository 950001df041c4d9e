//! Sampled events: one packet in so many, with what was decided about it.

use bytemuck::{Pod, Zeroable};

use crate::flow::Flow;

/// An entry of the ring buffer.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Pod, Zeroable)]
pub struct Event {
    /// Monotonic nanoseconds, to the kernel's coarse clock (a few milliseconds).
    pub time: u64,
    /// Ports are zero where the packet has none or ends before them.
    pub flow: Flow,
    /// Index of the VIP's counters.
    pub vip: u32,
    /// A [`crate::Verdict`].
    pub verdict: u32,
    pub cpu: u32,
    /// Device that the packet came in on.
    pub ifindex: u32,
    /// How many packets this event stands for.
    pub sample: u32,
    pub reserved: u32,
}
