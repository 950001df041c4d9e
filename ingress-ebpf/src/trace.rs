//! Sampled events, and the debug log.

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use ingress_common::Verdict;
use ingress_common::event::Event;
use ingress_common::flow::Flow;

use crate::maps::{EVENTS, SCRATCH, SETTINGS};

/// Keeps debug logging in the programs. A constant when they are loaded, so that the verifier
/// removes what depends on it.
#[unsafe(no_mangle)]
static DEBUG_LOG: u8 = 0;

#[inline(always)]
pub(crate) fn logs() -> bool {
    // SAFETY: a live static. Volatile, because the loader writes it and the compiler must not know.
    unsafe { core::ptr::read_volatile(&raw const DEBUG_LOG) != 0 }
}

/// Sends one packet in `sample` to the ring buffer.
#[inline(always)]
pub(crate) fn sample(vip: u32, verdict: Verdict, flow: &Flow, ifindex: u32) {
    let Some(settings) = SETTINGS.get(0) else { return };
    let every = settings.sample;
    if every == 0 {
        return;
    }
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: a per-CPU element; nothing else on this CPU holds it while the program runs.
    let due = unsafe {
        (*scratch).unsampled += 1;
        let due = (*scratch).unsampled >= every;
        if due {
            (*scratch).unsampled = 0;
        }
        due
    };
    if due {
        emit(vip, verdict, flow, ifindex, every);
    }
}

#[inline(always)]
fn emit(vip: u32, verdict: Verdict, flow: &Flow, ifindex: u32, sample: u32) {
    // A full ring loses events, never packets.
    let Some(mut entry) = EVENTS.reserve::<Event>(0) else { return };
    // SAFETY: the helpers have no preconditions.
    let (time, cpu) =
        unsafe { (aya_ebpf::helpers::bpf_ktime_get_coarse_ns(), bpf_get_smp_processor_id()) };
    let verdict = verdict as u32;
    let event = Event { time, flow: *flow, vip, verdict, cpu, ifindex, sample, reserved: 0 };
    entry.write(event);
    entry.submit(0);
}
