//! Which endpoint addresses are served (E9).
//!
//! Whoever may write a slice could otherwise send requests of strangers to what only this host can
//! reach: its loopback device, its own addresses, the API server. Pods have addresses of their own,
//! also those of this node; only pods in the host's network share the node's.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::config::Config;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointRules {
    /// Served whatever else holds.
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    vips: BTreeSet<IpAddr>,
    node: Node,
}

/// What the host knows of itself; no configuration says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Addresses of its devices.
    pub addresses: BTreeSet<IpAddr>,
    pub api_server: Option<IpAddr>,
}

// === impl EndpointRules ===

impl EndpointRules {
    pub(super) fn new(config: &Config, node: Node) -> Self {
        Self {
            allow: config.endpoints.allow.clone(),
            deny: config.endpoints.deny.clone(),
            vips: config.vips.iter().flat_map(|vip| vip.addresses.iter().copied()).collect(),
            node,
        }
    }

    pub(super) fn admits(&self, address: IpAddr) -> bool {
        self.refusal(address).is_none()
    }

    /// What makes the address one that is not served.
    pub(super) fn refusal(&self, address: IpAddr) -> Option<&'static str> {
        let listed = |networks: &[IpNet]| networks.iter().any(|net| net.contains(&address));
        let what = self
            .known(address)
            .or_else(|| listed(&self.deny).then_some("in a network of endpoints.deny"))?;
        (!listed(&self.allow)).then_some(what)
    }

    fn known(&self, address: IpAddr) -> Option<&'static str> {
        let link_local = match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        Some(if self.vips.contains(&address) {
            "a VIP of our own"
        } else if address.is_loopback() {
            "a loopback address"
        } else if address.is_unspecified() {
            "the unspecified address"
        } else if address.is_multicast() {
            "a multicast address"
        } else if address == IpAddr::V4(Ipv4Addr::BROADCAST) {
            "the broadcast address"
        } else if link_local {
            "a link-local address"
        } else if self.node.api_server == Some(address) {
            "the API server"
        } else if self.node.addresses.contains(&address) {
            "an address of this node"
        } else {
            return None;
        })
    }
}
