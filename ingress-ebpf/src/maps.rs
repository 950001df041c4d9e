//! Every map. Names, values and capacities are those of `ingress-common`.

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, CpuMap, LpmTrie, PerCpuArray, RingBuf, SockMap};
use ingress_common::map::{EVENT_BYTES, SPREAD_CPUS};
use ingress_common::policy::{BUDGET_CELLS, BUDGET_ROWS, MAX_RULES, RuleKey4, RuleKey6};
use ingress_common::verdict::Counters;
use ingress_common::vip::{MAX_VIP_ENTRIES, MAX_VIPS, VIP_SLOTS as SLOTS, VipEntry};
use ingress_common::worker::{Absence, Load, MAX_CPUS, MAX_WORKERS, Settings};

#[map]
pub(crate) static VIP_SLOTS: Array<u32> = Array::with_max_entries(SLOTS, 0);

#[map]
pub(crate) static VIPS: Array<VipEntry> = Array::with_max_entries(MAX_VIP_ENTRIES, 0);

#[map]
pub(crate) static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(MAX_VIPS, 0);

#[map]
pub(crate) static RULES4: LpmTrie<RuleKey4, u32> = LpmTrie::with_max_entries(MAX_RULES, 0);

#[map]
pub(crate) static RULES6: LpmTrie<RuleKey6, u32> = LpmTrie::with_max_entries(MAX_RULES, 0);

#[map]
pub(crate) static BUDGET: Array<u64> = Array::with_max_entries(BUDGET_ROWS * BUDGET_CELLS, 0);

#[map]
pub(crate) static LISTENERS: SockMap = SockMap::with_max_entries(2 * MAX_WORKERS, 0);

#[map]
pub(crate) static LOADS: Array<Load> = Array::with_max_entries(MAX_WORKERS, BPF_F_MMAPABLE);

#[map]
pub(crate) static CPU_WORKER: Array<u32> = Array::with_max_entries(MAX_CPUS, 0);

#[map]
pub(crate) static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);

#[map]
pub(crate) static ABSENCE: Array<Absence> = Array::with_max_entries(2, 0);

#[map]
pub(crate) static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(EVENT_BYTES, 0);

#[map]
pub(crate) static SPREAD: CpuMap = CpuMap::with_max_entries(SPREAD_CPUS, 0);

/// What the programs remember between packets on one CPU.
#[repr(C)]
pub(crate) struct Scratch {
    /// `steer` is asking the kernel for a socket: `dispatch`, which that question runs, stays out.
    pub(crate) asking: u32,
    /// Packets since the last event.
    pub(crate) unsampled: u32,
}
