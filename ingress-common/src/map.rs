//! Names of programs, maps and pins, and the capacities that no type implies.
//!
//! A map's name is that of its static in the eBPF crate (checked by the load test) and of its pin.

pub const PROGRAM_STEER: &str = "steer";
pub const PROGRAM_DISPATCH: &str = "dispatch";

/// Array of `u32`: destination hash -> entry. See [`crate::vip`].
pub const VIP_SLOTS: &str = "VIP_SLOTS";
/// Array of [`crate::vip::VipEntry`].
pub const VIPS: &str = "VIPS";
/// Per-CPU array of [`crate::verdict::Counters`], indexed by VIP.
pub const COUNTERS: &str = "COUNTERS";
/// Longest-prefix trie, [`crate::policy::RuleKey4`] -> `u32`.
pub const RULES4: &str = "RULES4";
/// Longest-prefix trie, [`crate::policy::RuleKey6`] -> `u32`.
pub const RULES6: &str = "RULES6";
/// Array of `u64`, the new-flow sketch. See [`crate::policy::budget_cells`].
pub const BUDGET: &str = "BUDGET";
/// Socket map of listeners, indexed by [`crate::worker::listener_slot`].
pub const LISTENERS: &str = "LISTENERS";
/// Mmapable array of [`crate::worker::Load`], indexed by worker.
pub const LOADS: &str = "LOADS";
/// Array of `u32`: CPU -> worker, or [`crate::worker::NO_WORKER`].
pub const CPU_WORKER: &str = "CPU_WORKER";
/// Array of one [`crate::worker::Settings`].
pub const SETTINGS: &str = "SETTINGS";
/// Array of [`crate::worker::Absence`], indexed by family.
pub const ABSENCE: &str = "ABSENCE";
/// Per-CPU scratch of the programs; never read by userspace.
pub const SCRATCH: &str = "SCRATCH";
/// Ring buffer of [`crate::event::Event`].
pub const EVENTS: &str = "EVENTS";
/// CPUMAP for single-queue devices.
pub const SPREAD: &str = "SPREAD";

/// Every map that outlives the process: pinned by name below the pin directory.
pub const PINNED: &[&str] = &[
    VIP_SLOTS, VIPS, COUNTERS, RULES4, RULES6, BUDGET, LISTENERS, LOADS, CPU_WORKER, SETTINGS,
    ABSENCE, SCRATCH, EVENTS, SPREAD,
];

/// Bytes of the event ring; a power of two and a multiple of the page size.
pub const EVENT_BYTES: u32 = 256 * 1024;
/// CPUs that packets can be spread over.
pub const SPREAD_CPUS: u32 = 128;

/// The load-time constant that keeps debug logging in the programs (`u8`, 0 or 1).
pub const DEBUG_LOG: &str = "DEBUG_LOG";
