//! The node that the packet table is about: its VIPs, rules and flows.

use std::net::IpAddr;

use ingress_common::policy::{RULE_ALLOW, RULE_DENY};
use ingress_common::vip::{VIP_DEFAULT_DENY, VIP_RULES, VipValue};

/// One client port has an established connection to port 80 of the first VIP.
pub(crate) const KNOWN_PORT: u16 = 40_001;

/// What differs between the families.
#[derive(Clone, Copy)]
pub(crate) struct Side {
    pub(crate) name: &'static str,
    /// Client with an established connection, and in every allow list.
    pub(crate) client: &'static str,
    /// Client that the rules deny.
    pub(crate) denied: &'static str,
    /// Client that no rule mentions.
    pub(crate) stranger: &'static str,
    /// VIP without rules.
    pub(crate) open: &'static str,
    /// VIP with a deny list.
    pub(crate) guarded: &'static str,
    /// VIP with an allow list that has a denied hole.
    pub(crate) closed: &'static str,
    /// An address of another host.
    pub(crate) other: &'static str,
}

pub(crate) const V4: Side = Side {
    name: "v4",
    client: "198.51.100.10",
    denied: "198.51.100.66",
    stranger: "192.0.2.99",
    open: "203.0.113.80",
    guarded: "203.0.113.81",
    closed: "203.0.113.82",
    other: "203.0.113.99",
};

pub(crate) const V6: Side = Side {
    name: "v6",
    client: "2001:db8:c::10",
    denied: "2001:db8:c::66",
    stranger: "2001:db8:5::99",
    open: "2001:db8:80::80",
    guarded: "2001:db8:80::81",
    closed: "2001:db8:80::82",
    other: "2001:db8:80::99",
};

pub(crate) const SIDES: [Side; 2] = [V4, V6];

pub(crate) const OPEN: u32 = 0;
pub(crate) const GUARDED: u32 = 1;
pub(crate) const CLOSED: u32 = 2;

/// Number of the deny list and of the allow list.
const DENY_LIST: u32 = 7;
const ALLOW_LIST: u32 = 8;

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address of the table")
}

/// Every VIP address and its value.
pub(crate) fn vips() -> Vec<(IpAddr, VipValue)> {
    let serving = |id| VipValue::serving(id, &[80, 443], &[]).expect("two ports fit");
    SIDES
        .iter()
        .flat_map(|side| {
            let rules = VIP_RULES;
            let guarded = VipValue { acl: DENY_LIST, flags: rules, ..serving(GUARDED) };
            let flags = rules | VIP_DEFAULT_DENY;
            let closed = VipValue { acl: ALLOW_LIST, flags, ..serving(CLOSED) };
            [(ip(side.open), serving(OPEN)), (ip(side.guarded), guarded), (ip(side.closed), closed)]
        })
        .collect()
}

/// Every rule: its set, network, prefix length and value.
pub(crate) fn rules() -> Vec<(u32, IpAddr, u32, u32)> {
    vec![
        (DENY_LIST, ip("198.51.100.64"), 26, RULE_DENY),
        (DENY_LIST, ip("2001:db8:c::66"), 128, RULE_DENY),
        (ALLOW_LIST, ip("198.51.100.0"), 24, RULE_ALLOW),
        (ALLOW_LIST, ip("198.51.100.66"), 32, RULE_DENY),
        (ALLOW_LIST, ip("2001:db8:c::"), 48, RULE_ALLOW),
        (ALLOW_LIST, ip("2001:db8:c::66"), 128, RULE_DENY),
    ]
}
