//! Allow and deny lists as one longest-prefix table.
//!
//! The lists mean "deny first": a source in a denied network is refused, whatever allows it. The
//! kernel asks for the longest match, so an allowed network inside a denied one must not be in the
//! table at all.

use ipnet::{IpNet, Ipv4Net};

/// What a rule says to its sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleVerdict {
    Allow,
    Deny,
}

/// The rules whose longest match equals "deny first", sorted by network.
///
/// Sources that match none are refused when there is an allow list, served otherwise; that is a
/// flag of the VIP, also when no rule is left of its allow list.
pub fn flatten(allow: &[IpNet], deny: &[IpNet]) -> Vec<(IpNet, RuleVerdict)> {
    let deny: Vec<IpNet> = IpNet::aggregate(&deny.iter().copied().map(normal).collect());
    let denied = |net: &IpNet| deny.iter().any(|covering| covering.contains(net));
    let allow = allow.iter().copied().map(normal).filter(|net| !denied(net));
    let mut rules: Vec<(IpNet, RuleVerdict)> = allow.map(|net| (net, RuleVerdict::Allow)).collect();
    rules.extend(deny.iter().map(|&net| (net, RuleVerdict::Deny)));
    rules.sort_unstable_by_key(|&(net, _)| net);
    rules.dedup();
    rules
}

/// Without host bits, and IPv4 where IPv4-mapped IPv6 is written: so it stands in packets.
fn normal(net: IpNet) -> IpNet {
    let net = net.trunc();
    if let IpNet::V6(v6) = net
        && v6.prefix_len() >= 96
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Ok(mapped) = Ipv4Net::new(v4, v6.prefix_len() - 96)
    {
        return mapped.into();
    }
    net
}
