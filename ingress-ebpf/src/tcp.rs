//! TCP to a VIP: known here, new, or neither.
//!
//! The kernel's socket table is the only connection state. It is not asked for a SYN, which can't be
//! known. Source rules bind new flows and packets of no flow; a flow that has a socket was admitted
//! by the rules of its time and is not cut by a change of them.

use ingress_common::Verdict;
use ingress_common::vip::VIP_BUDGET;

use crate::admit::{self, Presence};
use crate::node::Node;
use crate::packet::{Frame, Tcp, flag};
use crate::steer::Packet;

#[inline(always)]
pub(crate) fn decide<F: Frame, N: Node>(packet: Packet<'_, F, N>) -> Verdict {
    let Some(tcp) = packet.transport::<Tcp>() else { return Verdict::Truncated };
    packet.flow.source_port = tcp.source;
    packet.flow.destination_port = tcp.destination;
    let header = (tcp.offset >> 4) as usize * 4;
    if header < size_of::<Tcp>()
        || packet.layers.transport + header > packet.layers.end
        || tcp.source.raw() == 0
    {
        return Verdict::Malformed;
    }
    if !packet.vip.serves_tcp(tcp.destination) {
        return Verdict::PortUnserved;
    }
    match kind(tcp.flags) {
        Kind::Open => open(packet),
        Kind::Other => other(packet),
        Kind::Nonsense => Verdict::BadFlags,
    }
}

/// Whether a first fragment may be that of a SYN: it is one, or too short to tell.
#[inline(always)]
pub(crate) fn may_open<F: Frame, N: Node>(packet: &Packet<'_, F, N>) -> bool {
    packet.transport::<Tcp>().is_none_or(|tcp| tcp.flags & flag::SYN != 0)
}

enum Kind {
    /// A pure SYN.
    Open,
    Other,
    /// No state of a connection that a VIP accepts knows it. SYN with ACK answers a connection that
    /// a VIP never opens: what arrives is the echo of somebody's forged SYNs.
    Nonsense,
}

const FIN_RST: u8 = flag::FIN | flag::RST;

#[inline(always)]
const fn kind(flags: u8) -> Kind {
    if flags & flag::SYN != 0 {
        if flags & (flag::FIN | flag::RST | flag::ACK) == 0 { Kind::Open } else { Kind::Nonsense }
    } else if flags & (flag::RST | flag::ACK) == 0 || flags & FIN_RST == FIN_RST {
        Kind::Nonsense
    } else {
        Kind::Other
    }
}

#[inline(always)]
fn open<F: Frame, N: Node>(packet: Packet<'_, F, N>) -> Verdict {
    let Packet { node, vip, flow, layers, .. } = packet;
    if !admit::allowed(node, vip, layers.family, &flow.source) {
        return Verdict::Denied;
    }
    // Before the budget: a client that retries against absent workers is not to blame.
    match admit::presence(node, layers.family) {
        Presence::Listening => {}
        Presence::Away => return Verdict::ListenerAway,
        Presence::Gone => return Verdict::TcpNoListener,
    }
    if vip.has(VIP_BUDGET) && !admit::within_budget(node, vip, layers.family, &flow.source) {
        return Verdict::OverBudget;
    }
    Verdict::TcpSyn
}

#[inline(always)]
fn other<F: Frame, N: Node>(packet: Packet<'_, F, N>) -> Verdict {
    let Packet { node, vip, flow, layers, .. } = packet;
    if node.knows(layers.family, flow) {
        return Verdict::TcpKnown;
    }
    if !admit::allowed(node, vip, layers.family, &flow.source) {
        return Verdict::Denied;
    }
    Verdict::TcpUnknown
}
