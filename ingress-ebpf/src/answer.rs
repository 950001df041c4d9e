//! Turns an echo request into its reply, in place.
//!
//! Addresses change places, which no checksum notices; type and TTL change, and the checksums are
//! corrected by the difference (RFC 1624), so that the payload is not read.

use ingress_common::Be16;
use ingress_common::address::Family;

use crate::icmp::{v4, v6};
use crate::packet::{Ethernet, Frame, Icmp, Ipv4, Ipv6};
use crate::steer::Layers;

/// TTL and hop limit of an answer.
pub const TTL: u8 = 64;

/// Rewrites the frame. `None` when a header is cut short, which `steer` has ruled out.
#[inline(always)]
pub fn echo<F: Frame>(frame: &mut F, layers: &Layers) -> Option<()> {
    let mut ethernet = frame.read::<Ethernet>(0)?;
    (ethernet.source, ethernet.destination) = (ethernet.destination, ethernet.source);
    let mut icmp = frame.read::<Icmp>(layers.transport)?;
    let reply = match layers.family {
        Family::V4 => v4::ECHO_REPLY,
        Family::V6 => v6::ECHO_REPLY,
    };
    icmp.checksum = corrected(icmp.checksum, word(icmp.kind, icmp.code), word(reply, icmp.code));
    icmp.kind = reply;
    match layers.family {
        Family::V4 => {
            let mut ip = frame.read::<Ipv4>(layers.network)?;
            (ip.source, ip.destination) = (ip.destination, ip.source);
            ip.checksum = corrected(ip.checksum, word(ip.ttl, ip.protocol), word(TTL, ip.protocol));
            ip.ttl = TTL;
            frame.write(layers.network, &ip)?;
        }
        Family::V6 => {
            let mut ip = frame.read::<Ipv6>(layers.network)?;
            (ip.source, ip.destination) = (ip.destination, ip.source);
            ip.hop_limit = TTL;
            frame.write(layers.network, &ip)?;
        }
    }
    frame.write(layers.transport, &icmp)?;
    frame.write(0, &ethernet)
}

#[inline(always)]
const fn word(high: u8, low: u8) -> u16 {
    (high as u16) << 8 | low as u16
}

/// The checksum after one of its words changed.
#[inline(always)]
const fn corrected(checksum: Be16, old: u16, new: u16) -> Be16 {
    let sum = !checksum.to_host() as u32 + !old as u32 + new as u32;
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    Be16::from_host(!(sum as u16))
}
