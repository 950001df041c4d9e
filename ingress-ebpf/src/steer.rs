//! What becomes of a frame.
//!
//! In: a frame and the node. Out: `None` for a frame that is not for a VIP, of which nothing more
//! than the destination was looked at; else exactly one verdict. The destination comes first: only a
//! VIP's packets are parsed strictly, so that fragments, options, tunnels and pings of the host are
//! never touched.

use ingress_common::address::{Address, Family};
use ingress_common::flow::Flow;
use ingress_common::vip::{VIP_BUDGET, VipValue, find};
use ingress_common::{Be16, Verdict};

use crate::node::Node;
use crate::packet::{
    ETHERNET, Ethernet, Extension, Frame, Ipv4, Ipv6, MAX_OFFSET, Udp, VLAN, ether, protocol,
};
use crate::{admit, icmp, tcp};

/// Extension headers that are walked.
pub const MAX_EXTENSIONS: usize = 6;

/// A packet for a VIP and what was decided about it.
pub struct Decision {
    /// Index of the VIP's counters.
    pub vip: u32,
    pub verdict: Verdict,
    /// Ports are zero where none were read.
    pub flow: Flow,
    pub layers: Layers,
}

/// Where things are in the frame.
#[derive(Clone, Copy)]
pub struct Layers {
    pub family: Family,
    /// Offset of the IP header.
    pub network: usize,
    /// Offset behind the IP header, its options and extension headers.
    pub transport: usize,
    /// Offset of the end of the IP packet; frames may be padded beyond it.
    pub end: usize,
}

/// The packet on its way through the decision.
pub(crate) struct Packet<'a, F, N> {
    pub(crate) frame: &'a F,
    pub(crate) node: &'a N,
    pub(crate) vip: &'a VipValue,
    pub(crate) flow: &'a mut Flow,
    pub(crate) layers: Layers,
    /// The IP header stands alone: no options, no extension headers.
    pub(crate) plain: bool,
}

/// Decides about a frame.
#[inline(always)]
pub fn steer<F: Frame, N: Node>(frame: &F, node: &N) -> Option<Decision> {
    let (kind, network) = network_layer(frame)?;
    match kind {
        ether::IPV4 => steer_v4(frame, node, network),
        ether::IPV6 => steer_v6(frame, node, network),
        _ => None,
    }
}

/// EtherType and offset of what follows up to two VLAN tags.
#[inline(always)]
fn network_layer<F: Frame>(frame: &F) -> Option<(u16, usize)> {
    let mut kind = frame.read::<Ethernet>(0)?.kind.to_host();
    let mut offset = ETHERNET;
    for _ in 0..2 {
        if kind != ether::VLAN && kind != ether::VLAN_SERVICE {
            break;
        }
        kind = frame.read::<[Be16; 2]>(offset)?[1].to_host();
        offset += VLAN;
    }
    Some((kind, offset))
}

#[inline(always)]
fn steer_v4<F: Frame, N: Node>(frame: &F, node: &N, network: usize) -> Option<Decision> {
    let ip = frame.read::<Ipv4>(network)?;
    let destination = Address::v4(ip.destination);
    let entry = find(&destination, |at| node.vip_slot(at), |at| node.vip_entry(at))?;
    let mut flow = Flow {
        source: Address::v4(ip.source),
        destination,
        protocol: ip.protocol as u32,
        ..Flow::default()
    };
    let layers = Layers {
        family: Family::V4,
        network,
        transport: network + ip.header(),
        end: network + ip.total.to_host() as usize,
    };
    let plain = ip.header() == size_of::<Ipv4>();
    let verdict = if let Err(verdict) = check_v4(frame, &ip, &layers) {
        verdict
    } else {
        let vip = &entry.value;
        let packet = Packet { frame, node, vip, flow: &mut flow, layers, plain };
        match ip.protocol {
            carried if ip.is_fragment() => fragment(packet, carried, ip.is_first_fragment()),
            protocol::TCP => tcp::decide(packet),
            protocol::UDP => udp(packet),
            protocol::ICMP => icmp::decide_v4(packet),
            _ => Verdict::ProtocolUnserved,
        }
    };
    Some(Decision { vip: entry.value.id, verdict, flow, layers })
}

#[inline(always)]
fn check_v4<F: Frame>(frame: &F, ip: &Ipv4, layers: &Layers) -> Result<(), Verdict> {
    if ip.version() != 4 || ip.header() < size_of::<Ipv4>() || layers.end < layers.transport {
        return Err(Verdict::Malformed);
    }
    if !frame.reaches(layers.end) {
        return Err(Verdict::Truncated);
    }
    let first = ip.source.to_host() >> 24;
    // "This network", loopback, multicast and reserved; and a VIP does not send to itself by wire.
    if first == 0 || first == 127 || first >= 224 || ip.source == ip.destination {
        return Err(Verdict::BadSource);
    }
    // 1 is enough for a packet that stays here.
    if ip.ttl == 0 {
        return Err(Verdict::TtlExpired);
    }
    Ok(())
}

#[inline(always)]
fn steer_v6<F: Frame, N: Node>(frame: &F, node: &N, network: usize) -> Option<Decision> {
    let ip = frame.read::<Ipv6>(network)?;
    let destination = Address::v6(ip.destination);
    let entry = find(&destination, |at| node.vip_slot(at), |at| node.vip_entry(at))?;
    // The mapped form of an IPv4 VIP is no address of this VIP.
    if destination.family() == Family::V4 {
        return None;
    }
    let mut flow = Flow {
        source: Address::v6(ip.source),
        destination,
        protocol: ip.next as u32,
        ..Flow::default()
    };
    let mut layers = Layers {
        family: Family::V6,
        network,
        transport: network + size_of::<Ipv6>(),
        end: network + size_of::<Ipv6>() + ip.payload.to_host() as usize,
    };
    let verdict = if let Err(verdict) = check_v6(frame, &ip, &layers) {
        verdict
    } else {
        let vip = &entry.value;
        match walk(frame, ip.next, &mut layers) {
            Err(verdict) => verdict,
            Ok(Upper::Fragment { carried, first }) => {
                let packet = Packet { frame, node, vip, flow: &mut flow, layers, plain: false };
                fragment(packet, carried, first)
            }
            Ok(Upper::Whole(next)) => {
                flow.protocol = next as u32;
                let plain = layers.transport == network + size_of::<Ipv6>();
                let packet = Packet { frame, node, vip, flow: &mut flow, layers, plain };
                match next {
                    protocol::TCP => tcp::decide(packet),
                    protocol::UDP => udp(packet),
                    protocol::ICMPV6 => icmp::decide_v6(packet, ip.hop_limit),
                    _ => Verdict::ProtocolUnserved,
                }
            }
        }
    };
    Some(Decision { vip: entry.value.id, verdict, flow, layers })
}

#[inline(always)]
fn check_v6<F: Frame>(frame: &F, ip: &Ipv6, layers: &Layers) -> Result<(), Verdict> {
    if ip.version() != 6 {
        return Err(Verdict::Malformed);
    }
    if !frame.reaches(layers.end) {
        return Err(Verdict::Truncated);
    }
    let [a, b, c, d] = ip.source;
    let unspecified_or_loopback = a.raw() | b.raw() | c.raw() == 0 && d.to_host() <= 1;
    let multicast = a.to_host() >> 24 == 0xff;
    if unspecified_or_loopback || multicast || ip.source == ip.destination {
        return Err(Verdict::BadSource);
    }
    if ip.hop_limit == 0 {
        return Err(Verdict::TtlExpired);
    }
    Ok(())
}

/// What an IPv6 packet carries behind its extension headers.
enum Upper {
    Whole(u8),
    /// A part of a packet, the protocol that it says it carries, and whether it is its beginning.
    Fragment {
        carried: u8,
        first: bool,
    },
}

/// Walks the extension headers and moves `layers.transport` behind them.
#[inline(always)]
fn walk<F: Frame>(frame: &F, first: u8, layers: &mut Layers) -> Result<Upper, Verdict> {
    let mut next = first;
    for _ in 0..MAX_EXTENSIONS {
        // Almost every packet ends here at once.
        if next == protocol::TCP {
            return Ok(Upper::Whole(next));
        }
        let at = layers.transport;
        if !matches!(
            next,
            protocol::HOP_BY_HOP
                | protocol::DESTINATION
                | protocol::ROUTING
                | protocol::FRAGMENT
                | protocol::AUTHENTICATION
        ) {
            return Ok(Upper::Whole(next));
        }
        if at > MAX_OFFSET {
            return Err(Verdict::HeaderChain);
        }
        let header = frame.read::<Extension>(at).ok_or(Verdict::Truncated)?;
        let length = match next {
            // An atomic fragment (RFC 6946) is a whole packet.
            protocol::FRAGMENT if header.detail.to_host() & 0xfff9 == 0 => 8,
            protocol::FRAGMENT => {
                layers.transport = at + 8;
                let first = header.detail.to_host() & 0xfff8 == 0;
                return Ok(Upper::Fragment { carried: header.next, first });
            }
            // Segments left: the packet wants to travel on from here (RFC 5095).
            protocol::ROUTING if header.detail.to_host() & 0xff != 0 => {
                return Err(Verdict::Malformed);
            }
            protocol::AUTHENTICATION => (header.length as usize + 2) * 4,
            _ => (header.length as usize + 1) * 8,
        };
        layers.transport = at + length;
        if layers.transport > layers.end {
            return Err(Verdict::Truncated);
        }
        next = header.next;
    }
    match next {
        protocol::TCP | protocol::UDP | protocol::ICMPV6 if layers.transport <= MAX_OFFSET => {
            Ok(Upper::Whole(next))
        }
        _ => Err(Verdict::HeaderChain),
    }
}

/// Only first fragments carry ports, so none are looked at: the stack puts the packet together and
/// `dispatch` decides about the whole. What `dispatch` does not do is done here: it never sees ICMP,
/// and it charges no budget.
#[inline(always)]
fn fragment<F: Frame, N: Node>(packet: Packet<'_, F, N>, carried: u8, first: bool) -> Verdict {
    match carried {
        protocol::UDP if packet.vip.udp_count == 0 => return Verdict::UdpUnserved,
        // DESTINATION: behind further extension headers of an IPv6 fragment.
        protocol::TCP | protocol::UDP | protocol::DESTINATION => {}
        // An echo in pieces is not answered, and an error that is about a connection fits in one.
        protocol::ICMP | protocol::ICMPV6 => return Verdict::IcmpUnserved,
        _ => return Verdict::ProtocolUnserved,
    }
    let Packet { node, vip, flow, layers, .. } = &packet;
    if !admit::allowed(*node, vip, layers.family, &flow.source) {
        return Verdict::Denied;
    }
    if first
        && carried != protocol::UDP
        && vip.has(VIP_BUDGET)
        // What is behind destination options is not looked for: it may be a SYN.
        && (carried == protocol::DESTINATION || tcp::may_open(&packet))
        && !admit::within_budget(*node, vip, layers.family, &flow.source)
    {
        return Verdict::OverBudget;
    }
    Verdict::Fragment
}

#[inline(always)]
fn udp<F: Frame, N: Node>(packet: Packet<'_, F, N>) -> Verdict {
    let Some(udp) = packet.transport::<Udp>() else { return Verdict::Truncated };
    packet.flow.source_port = udp.source;
    packet.flow.destination_port = udp.destination;
    let length = udp.length.to_host() as usize;
    if length < size_of::<Udp>() || packet.layers.transport + length > packet.layers.end {
        return Verdict::Malformed;
    }
    if !packet.vip.serves_udp(udp.destination) {
        return Verdict::UdpUnserved;
    }
    if !admit::allowed(packet.node, packet.vip, packet.layers.family, &packet.flow.source) {
        return Verdict::Denied;
    }
    Verdict::Udp
}

// === impl Packet ===

impl<F: Frame, N: Node> Packet<'_, F, N> {
    /// The transport header, when it lies within the IP packet and not too far in.
    #[inline(always)]
    pub(crate) fn transport<T: bytemuck::Pod>(&self) -> Option<T> {
        self.at(self.layers.transport)
    }

    /// A header at an offset, under the same conditions.
    #[inline(always)]
    pub(crate) fn at<T: bytemuck::Pod>(&self, offset: usize) -> Option<T> {
        if offset > 2 * MAX_OFFSET || offset + size_of::<T>() > self.layers.end {
            return None;
        }
        self.frame.read(offset)
    }
}
