//! The two program entries.

use aya_ebpf::bindings::{bpf_sk_lookup, sk_action, xdp_action};
use aya_ebpf::macros::{sk_lookup, xdp};
use aya_ebpf::programs::{SkLookupContext, XdpContext};
use aya_log_ebpf::debug;
use core::ptr::read_volatile;
use ingress_common::address::{Address, Be16, Be32, Family};
use ingress_common::flow::Flow;
use ingress_common::map::SPREAD_CPUS;
use ingress_common::verdict::{Action, Verdict};
use ingress_ebpf::dispatch::dispatch as decide_lookup;
use ingress_ebpf::node::Node;
use ingress_ebpf::steer::steer as decide_frame;
use ingress_ebpf::{answer, steer};

use crate::frame::XdpFrame;
use crate::kernel::{Kernel, is_asking};
use crate::maps::{COUNTERS, SPREAD};
use crate::trace;

const AF_INET: u32 = 2;

#[xdp(frags)]
pub(crate) fn steer(context: XdpContext) -> u32 {
    let mut frame = XdpFrame { context: &context };
    let kernel = Kernel { context: &context };
    let Some(decision) = decide_frame(&frame, &kernel) else { return xdp_action::XDP_PASS };
    let steer::Decision { vip, verdict, flow, layers } = decision;
    count(vip, verdict);
    trace::sample(vip, verdict, &flow, context.ingress_ifindex() as u32);
    if trace::logs() {
        debug!(&context, "steer vip {} verdict {}", vip, verdict as u32);
    }
    match verdict.action() {
        Action::Pass => spread(&kernel, verdict, &flow),
        Action::Answer => match answer::echo(&mut frame, &layers) {
            Some(()) => xdp_action::XDP_TX,
            None => xdp_action::XDP_DROP,
        },
        Action::Drop | Action::Assign | Action::Refuse => xdp_action::XDP_DROP,
    }
}

#[sk_lookup]
pub(crate) fn dispatch(context: SkLookupContext) -> u32 {
    // `steer` only wants to know of real sockets, and counts for itself.
    if is_asking() {
        return sk_action::SK_DROP;
    }
    // SAFETY: the context of the running program.
    let (family, flow) = unsafe { lookup(context.lookup) };
    let kernel = Kernel { context: &context };
    let Some(decision) = decide_lookup(&kernel, family, &flow) else { return sk_action::SK_PASS };
    count(decision.vip, decision.verdict);
    // SAFETY: the context of the running program.
    let ifindex = unsafe { read_volatile(&raw const (*context.lookup).ingress_ifindex) };
    trace::sample(decision.vip, decision.verdict, &flow, ifindex);
    if trace::logs() {
        debug!(&context, "dispatch vip {} verdict {}", decision.vip, decision.verdict as u32);
    }
    match decision.verdict.action() {
        Action::Assign => sk_action::SK_PASS,
        Action::Refuse | Action::Pass | Action::Drop | Action::Answer => sk_action::SK_DROP,
    }
}

#[inline(always)]
fn count(vip: u32, verdict: Verdict) {
    if let Some(counters) = COUNTERS.get_ptr_mut(vip) {
        // SAFETY: a per-CPU element; nothing else on this CPU writes it while the program runs.
        unsafe { (&mut (*counters).packets)[verdict as usize] += 1 }
    }
}

/// Hands a packet to the CPU of its flow, when the device has fewer queues than we have CPUs.
#[inline(always)]
fn spread(kernel: &Kernel<'_, XdpContext>, verdict: Verdict, flow: &Flow) -> u32 {
    let cpus = kernel.settings().spread;
    let by_flow =
        matches!(verdict, Verdict::TcpKnown | Verdict::TcpSyn | Verdict::TcpUnknown | Verdict::Udp);
    if cpus == 0 || cpus > SPREAD_CPUS || !by_flow {
        return xdp_action::XDP_PASS;
    }
    // A CPU without an entry: the packet stays where it is.
    SPREAD.redirect(flow.hash() % cpus, xdp_action::XDP_PASS as u64).unwrap_or(xdp_action::XDP_PASS)
}

/// Reads the context field by field: the verifier refuses wider loads.
///
/// # Safety
/// `context` is the context of a running sk_lookup program.
#[inline(always)]
unsafe fn lookup(context: *mut bpf_sk_lookup) -> (Family, Flow) {
    // SAFETY: all fields are readable.
    unsafe {
        let word = |field: *const u32| Be32::from_raw(read_volatile(field));
        let words = |field: *const [u32; 4]| {
            let first = field.cast::<u32>();
            [word(first), word(first.add(1)), word(first.add(2)), word(first.add(3))]
        };
        // All of both families, before any branch: a load behind a branch would be merged with its
        // twin into one from a computed offset, which the verifier refuses as well.
        let remote4 = word(&raw const (*context).remote_ip4);
        let local4 = word(&raw const (*context).local_ip4);
        let remote6 = words(&raw const (*context).remote_ip6);
        let local6 = words(&raw const (*context).local_ip6);
        let (family, source, destination) =
            if read_volatile(&raw const (*context).family) == AF_INET {
                (Family::V4, Address::v4(remote4), Address::v4(local4))
            } else {
                (Family::V6, Address::v6(remote6), Address::v6(local6))
            };
        let port = read_volatile(&raw const (*context).local_port) as u16;
        let flow = Flow {
            source,
            destination,
            source_port: Be16::from_raw(read_volatile(&raw const (*context).remote_port)),
            destination_port: Be16::from_host(port),
            protocol: read_volatile(&raw const (*context).protocol),
        };
        (family, flow)
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The programs can't panic; the verifier would refuse the loop.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
