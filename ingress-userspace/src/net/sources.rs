//! Who may come in, by source address: sets of networks, and an allow list beside a deny list.
//!
//! Pure values, built once from lists of networks and asked per connection or request: two binary
//! searches, no allocation.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Addresses as disjoint ranges in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressSet {
    v4: Box<[Range<u32>]>,
    v6: Box<[Range<u128>]>,
}

/// First and last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Range<T>(T, T);

/// A deny list and an allow list. Deny wins; an allow list refuses all others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRules {
    deny: AddressSet,
    allow: Option<AddressSet>,
}

/// What the lists say about a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    Allowed,
    Denied,
    /// Neither list knows it, and there is no allow list.
    Unknown,
}

// === impl AddressSet ===

impl AddressSet {
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => within(&self.v4, address.to_bits()),
            IpAddr::V6(address) => within(&self.v6, address.to_bits()),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

impl FromIterator<IpNet> for AddressSet {
    fn from_iter<I: IntoIterator<Item = IpNet>>(nets: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in nets {
            // An IPv4 network in IPv6 notation means the IPv4 network: connections are compared in
            // their canonical form.
            match (net.network().to_canonical(), net.broadcast().to_canonical()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => {
                    v4.push(Range(first.to_bits(), last.to_bits()));
                }
                _ => {
                    if let IpNet::V6(net) = net {
                        v6.push(Range(net.network().to_bits(), net.broadcast().to_bits()));
                    }
                }
            }
        }
        Self { v4: joined(v4), v6: joined(v6) }
    }
}

/// In order, and without overlap.
fn joined<T: Copy + Ord>(mut ranges: Vec<Range<T>>) -> Box<[Range<T>]> {
    ranges.sort_unstable();
    let mut out: Vec<Range<T>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.0 <= last.1 => last.1 = last.1.max(range.1),
            _ => out.push(range),
        }
    }
    out.into()
}

fn within<T: Copy + Ord>(ranges: &[Range<T>], value: T) -> bool {
    let after = ranges.partition_point(|range| range.0 <= value);
    after > 0 && value <= ranges[after - 1].1
}

// === impl SourceRules ===

impl SourceRules {
    /// `allow`: `None` is no list; a list without entries refuses everybody.
    pub fn new(deny: AddressSet, allow: Option<AddressSet>) -> Self {
        Self { deny, allow }
    }

    pub fn judge(&self, source: IpAddr) -> Listed {
        if self.deny.contains(source) {
            return Listed::Denied;
        }
        match &self.allow {
            None => Listed::Unknown,
            Some(allow) if allow.contains(source) => Listed::Allowed,
            Some(_) => Listed::Denied,
        }
    }

    pub fn admits(&self, source: IpAddr) -> bool {
        self.judge(source) != Listed::Denied
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(texts: &[&str]) -> AddressSet {
        texts.iter().map(|text| text.parse::<IpNet>().unwrap()).collect()
    }

    #[test]
    fn deny_wins_and_an_allow_list_refuses_all_others() {
        use Listed::{Allowed, Denied, Unknown};
        for (deny, allow, source, listed) in [
            (&["10.0.0.0/8"][..], None, "192.0.2.1", Unknown),
            (&["10.0.0.0/8"], None, "10.1.2.3", Denied),
            (&[], Some(&["10.0.0.0/8"][..]), "10.1.2.3", Allowed),
            (&[], Some(&["10.0.0.0/8"]), "192.0.2.1", Denied),
            (&["10.0.0.0/8"], Some(&["10.1.0.0/16"]), "10.1.2.3", Denied),
            (&["10.1.2.3/32"], Some(&["10.1.0.0/16"]), "10.1.2.4", Allowed),
            (&[], Some(&["10.0.0.0/8"]), "2001:db8::1", Denied),
            (&[], Some(&["2001:db8::/32"]), "2001:db8::1", Allowed),
            (&[], Some(&["10.0.0.0/8"]), "::ffff:10.1.2.3", Allowed),
            (&["::ffff:10.0.0.0/104"], None, "10.1.2.3", Denied),
            (&["::/0"], None, "2001:db8::1", Denied),
            (&["::/0"], None, "10.1.2.3", Unknown),
            (&["0.0.0.0/0"], None, "255.255.255.255", Denied),
            (&[], Some(&[]), "10.1.2.3", Denied),
        ] {
            let rules = SourceRules::new(set(deny), allow.map(set));
            let source: IpAddr = source.parse().unwrap();
            assert_eq!(rules.judge(source), listed, "{deny:?} {allow:?} {source}");
            assert_eq!(rules.admits(source), listed != Denied);
        }
    }

    proptest! {
        #[test]
        fn a_set_contains_what_one_of_its_networks_contains(
            nets in prop::collection::vec((any::<u32>(), 0..=32u8), 0..12),
            near in any::<prop::sample::Index>(),
            step in -2i64..3,
            other in any::<u32>(),
        ) {
            let nets: Vec<IpNet> = nets
                .into_iter()
                .map(|(bits, length)| IpNet::new(IpAddr::V4(bits.into()), length).unwrap())
                .collect();
            let set: AddressSet = nets.iter().copied().collect();
            let mut asked = vec![other];
            if !nets.is_empty() {
                // Around an edge of a network, where mistakes live.
                for edge in [nets[near.index(nets.len())].network(), nets[0].broadcast()] {
                    let IpAddr::V4(edge) = edge else { unreachable!("only IPv4 was made") };
                    asked.push((i64::from(edge.to_bits()) + step).rem_euclid(1 << 32) as u32);
                }
            }
            for bits in asked {
                let address = IpAddr::V4(bits.into());
                let contained = nets.iter().any(|net| net.contains(&address));
                prop_assert_eq!(set.contains(address), contained, "{} in {:?}", address, nets);
            }
        }
    }
}
