//! The node as the kernel shows it: maps and helpers behind [`Node`].

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{
    BPF_F_CURRENT_NETNS, bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1,
    bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2,
};
use aya_ebpf::helpers::{
    bpf_get_smp_processor_id, bpf_ktime_get_coarse_ns, bpf_loop, bpf_map_lookup_elem,
    bpf_sk_release, bpf_skc_lookup_tcp,
};
use aya_ebpf::maps::SockMap;
use aya_ebpf::maps::lpm_trie::Key;
use aya_ebpf::programs::{SkLookupContext, XdpContext};
use core::ffi::c_void;
use core::ptr;
use ingress_common::flow::Flow;
use ingress_common::policy::{RULE_PREFIX, RuleKey4, RuleKey6};
use ingress_common::vip::{SLOT_EMPTY, VipEntry};
use ingress_common::worker::{Absence, MAX_WORKERS, NO_WORKER, Settings, listener_slot};
use ingress_common::{Address, Family};
use ingress_ebpf::dispatch::Assign;
use ingress_ebpf::node::{Node, Visit};

use crate::maps::{
    ABSENCE, BUDGET, CPU_WORKER, LISTENERS, LOADS, RULES4, RULES6, SCRATCH, SETTINGS, Scratch,
    VIP_SLOTS, VIPS,
};

/// A program's context and, through it, the node.
pub(crate) struct Kernel<'a, C> {
    pub(crate) context: &'a C,
}

/// What an empty element reads as.
const NO_SETTINGS: Settings =
    Settings { seed: 0, grace: 0, generation: 0, workers: 0, sample: 0, spread: 0, reserved: 0 };

const TCP_LISTEN: u32 = 10;
const BPF_SK_LOOKUP_F_REPLACE: u64 = 1;
const BPF_SK_LOOKUP_F_NO_REUSEPORT: u64 = 2;

impl<C: EbpfContext> Node for Kernel<'_, C> {
    type Entry = &'static VipEntry;

    #[inline(always)]
    fn vip_slot(&self, index: u32) -> u32 {
        VIP_SLOTS.get(index).copied().unwrap_or(SLOT_EMPTY)
    }

    #[inline(always)]
    fn vip_entry(&self, index: u32) -> Option<&'static VipEntry> {
        VIPS.get(index)
    }

    #[inline(always)]
    fn settings(&self) -> Settings {
        SETTINGS.get(0).copied().unwrap_or(NO_SETTINGS)
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: the helper has no preconditions.
        unsafe { bpf_ktime_get_coarse_ns() }
    }

    #[inline(always)]
    fn rule(&self, acl: u32, family: Family, source: &Address) -> u32 {
        let [.., v4] = source.words;
        let found = match family {
            Family::V4 => RULES4.get(Key::new(RULE_PREFIX + 32, RuleKey4 { acl, address: v4 })),
            Family::V6 => {
                RULES6.get(Key::new(RULE_PREFIX + 128, RuleKey6 { acl, address: source.words }))
            }
        };
        found.copied().unwrap_or(0)
    }

    #[inline(always)]
    fn budget_cell(&self, index: u32) -> u64 {
        BUDGET.get(index).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn set_budget_cell(&self, index: u32, value: u64) {
        if let Some(cell) = BUDGET.get_ptr_mut(index) {
            // SAFETY: a pointer to a live map element of this type.
            unsafe { cell.write(value) }
        }
    }

    #[inline(always)]
    fn knows(&self, family: Family, flow: &Flow) -> bool {
        let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return false };
        // SAFETY: a per-CPU element; nothing else on this CPU holds it while the program runs.
        unsafe {
            (*scratch).asking = 1;
            let known = has_socket(self.context.as_ptr(), family, flow);
            (*scratch).asking = 0;
            known
        }
    }

    #[inline(always)]
    fn cpu_worker(&self) -> u32 {
        // SAFETY: the helper has no preconditions.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        CPU_WORKER.get(cpu).copied().unwrap_or(NO_WORKER)
    }

    #[inline(always)]
    fn listens(&self, family: Family, worker: u32) -> bool {
        if worker >= MAX_WORKERS {
            return false;
        }
        let slot = listener_slot(family, worker);
        // SAFETY: `SockMap` is transparent over the map definition, whose address is the map. The
        // socket that the lookup takes is released at once.
        unsafe {
            let map: *mut c_void = ptr::from_ref::<SockMap>(&LISTENERS).cast_mut().cast();
            let socket = bpf_map_lookup_elem(map, ptr::from_ref(&slot).cast());
            if socket.is_null() {
                return false;
            }
            bpf_sk_release(socket);
        }
        true
    }

    #[inline(always)]
    fn connections(&self, worker: u32) -> u32 {
        LOADS.get(worker).map_or(u32::MAX, |load| load.connections)
    }

    #[inline(always)]
    fn absence(&self, family: Family) -> Absence {
        ABSENCE.get(family as u32).copied().unwrap_or(Absence { since: 0, searched: 0 })
    }

    #[inline(always)]
    fn set_absence(&self, family: Family, absence: Absence) {
        if let Some(element) = ABSENCE.get_ptr_mut(family as u32) {
            // SAFETY: a pointer to a live map element of this type.
            unsafe { element.write(absence) }
        }
    }

    #[inline(always)]
    fn each_worker<V: Visit>(&self, workers: u32, visitor: &mut V) {
        let workers = if workers < MAX_WORKERS { workers } else { MAX_WORKERS };
        let step: unsafe extern "C" fn(u64, *mut c_void) -> i64 = visit::<V>;
        // SAFETY: the helper calls `visit` with this visitor, and returns before it ends.
        unsafe {
            bpf_loop(workers, step as *mut c_void, ptr::from_mut(visitor).cast(), 0);
        }
    }
}

/// One step of [`Node::each_worker`], called by the kernel. 1 ends the loop.
///
/// # Safety
/// `visitor` is the `V` that was handed to the helper.
unsafe extern "C" fn visit<V: Visit>(worker: u64, visitor: *mut c_void) -> i64 {
    // SAFETY: promised by the caller; the helper runs one step at a time.
    let visitor = unsafe { &mut *visitor.cast::<V>() };
    // No step needs the context of the program.
    let kernel = Kernel { context: &XdpContext::new(ptr::null_mut()) };
    i64::from(!visitor.visit(&kernel, worker as u32))
}

impl Assign for Kernel<'_, SkLookupContext> {
    #[inline(always)]
    fn assign(&self, family: Family, worker: u32) -> bool {
        // Replace: a predecessor's program may have chosen already, and we are the newer one.
        // No reuseport: the kernel must not pick another socket of the group.
        let flags = BPF_SK_LOOKUP_F_REPLACE | BPF_SK_LOOKUP_F_NO_REUSEPORT;
        LISTENERS.redirect_sk_lookup(self.context, listener_slot(family, worker), flags).is_ok()
    }
}

/// Whether `steer` on this CPU is asking for a socket at the moment.
#[inline(always)]
pub(crate) fn is_asking() -> bool {
    // SAFETY: a per-CPU element; nothing else on this CPU holds it while the program runs.
    SCRATCH.get_ptr(0).is_some_and(|scratch: *const Scratch| unsafe { (*scratch).asking != 0 })
}

/// # Safety
/// `context` is the context of a running XDP program.
#[inline(always)]
unsafe fn has_socket(context: *mut c_void, family: Family, flow: &Flow) -> bool {
    let raw = |address: &Address| address.words.map(|word| word.raw());
    let (source, destination) = (raw(&flow.source), raw(&flow.destination));
    let (sport, dport) = (flow.source_port.raw(), flow.destination_port.raw());
    // SAFETY: the tuple is initialised over the size that is passed for its family; the socket that
    // the helper returns is released after its state is read.
    unsafe {
        let socket = match family {
            Family::V4 => {
                let mut tuple = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 {
                    saddr: source[3],
                    daddr: destination[3],
                    sport,
                    dport,
                };
                let size = size_of_val(&tuple) as u32;
                let tuple = ptr::from_mut(&mut tuple).cast::<bpf_sock_tuple>();
                bpf_skc_lookup_tcp(context, tuple, size, BPF_F_CURRENT_NETNS as u64, 0)
            }
            Family::V6 => {
                let mut tuple = bpf_sock_tuple {
                    __bindgen_anon_1: bpf_sock_tuple__bindgen_ty_1 {
                        ipv6: bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2 {
                            saddr: source,
                            daddr: destination,
                            sport,
                            dport,
                        },
                    },
                };
                let size = size_of_val(&tuple) as u32;
                bpf_skc_lookup_tcp(context, &raw mut tuple, size, BPF_F_CURRENT_NETNS as u64, 0)
            }
        };
        if socket.is_null() {
            return false;
        }
        let state = (*socket).state;
        bpf_sk_release(socket.cast());
        state != TCP_LISTEN
    }
}
