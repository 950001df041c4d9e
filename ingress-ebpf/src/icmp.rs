//! ICMP and ICMPv6 to a VIP.
//!
//! Echo requests are answered, errors about a connection of the VIP reach its socket (path MTU
//! discovery depends on them), neighbour discovery reaches the stack; nothing else is anybody's
//! business at a VIP, redirects and router advertisements least of all.

use ingress_common::vip::VipValue;
use ingress_common::{Be16, Verdict};

use crate::admit;
use crate::node::Node;
use crate::packet::{Frame, Icmp, Ipv4, Ipv6, Ports, protocol};
use crate::steer::Packet;

/// ICMP types (RFC 792).
pub mod v4 {
    pub const ECHO_REPLY: u8 = 0;
    pub const UNREACHABLE: u8 = 3;
    pub const ECHO: u8 = 8;
    pub const TIME_EXCEEDED: u8 = 11;
    pub const PARAMETER: u8 = 12;
}

/// ICMPv6 types (RFC 4443, RFC 4861).
pub mod v6 {
    pub const UNREACHABLE: u8 = 1;
    pub const PARAMETER: u8 = 4;
    pub const ECHO: u8 = 128;
    pub const ECHO_REPLY: u8 = 129;
    pub const NEIGHBOUR_SOLICITATION: u8 = 135;
    pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
}

#[inline(always)]
pub(crate) fn decide_v4<F: Frame, N: Node>(packet: Packet<'_, F, N>) -> Verdict {
    let Some(icmp) = packet.transport::<Icmp>() else { return Verdict::Truncated };
    match icmp.kind {
        v4::ECHO => echo(&packet, icmp.code),
        v4::UNREACHABLE | v4::TIME_EXCEEDED | v4::PARAMETER => quoted_v4(&packet),
        _ => Verdict::IcmpUnserved,
    }
}

#[inline(always)]
pub(crate) fn decide_v6<F: Frame, N: Node>(packet: Packet<'_, F, N>, hop_limit: u8) -> Verdict {
    let Some(icmp) = packet.transport::<Icmp>() else { return Verdict::Truncated };
    match icmp.kind {
        v6::ECHO => echo(&packet, icmp.code),
        v6::UNREACHABLE..=v6::PARAMETER => quoted_v6(&packet),
        // A hop limit below 255 came through a router, which a neighbour's message never does.
        v6::NEIGHBOUR_SOLICITATION | v6::NEIGHBOUR_ADVERTISEMENT if hop_limit == 255 => {
            Verdict::Neighbour
        }
        _ => Verdict::IcmpUnserved,
    }
}

#[inline(always)]
fn echo<F: Frame, N: Node>(packet: &Packet<'_, F, N>, code: u8) -> Verdict {
    if code != 0 {
        return Verdict::IcmpUnserved;
    }
    if !admit::allowed(packet.node, packet.vip, packet.layers.family, &packet.flow.source) {
        return Verdict::Denied;
    }
    if packet.plain { Verdict::IcmpEcho } else { Verdict::IcmpEchoLocal }
}

/// The quoted packet is one that the VIP sent: its source is ours.
#[inline(always)]
fn quoted_v4<F: Frame, N: Node>(packet: &Packet<'_, F, N>) -> Verdict {
    let at = packet.layers.transport + size_of::<Icmp>();
    let Some(ip) = packet.at::<Ipv4>(at) else { return Verdict::Truncated };
    let [.., vip] = packet.flow.destination.words;
    // Only a first fragment has ports.
    if ip.source != vip || ip.header() < size_of::<Ipv4>() || ip.fragment.to_host() & 0x1fff != 0 {
        return Verdict::IcmpUnserved;
    }
    quoted_ports(packet, ip.protocol, at + ip.header())
}

#[inline(always)]
fn quoted_v6<F: Frame, N: Node>(packet: &Packet<'_, F, N>) -> Verdict {
    let at = packet.layers.transport + size_of::<Icmp>();
    let Some(ip) = packet.at::<Ipv6>(at) else { return Verdict::Truncated };
    if ip.source != packet.flow.destination.words {
        return Verdict::IcmpUnserved;
    }
    quoted_ports(packet, ip.next, at + size_of::<Ipv6>())
}

#[inline(always)]
fn quoted_ports<F: Frame, N: Node>(packet: &Packet<'_, F, N>, carried: u8, at: usize) -> Verdict {
    let Some(ports) = packet.at::<Ports>(at) else { return Verdict::Truncated };
    if serves(packet.vip, carried, ports.source) {
        Verdict::IcmpError
    } else {
        Verdict::IcmpUnserved
    }
}

#[inline(always)]
fn serves(vip: &VipValue, carried: u8, port: Be16) -> bool {
    match carried {
        protocol::TCP => vip.serves_tcp(port),
        protocol::UDP => vip.serves_udp(port),
        _ => false,
    }
}
