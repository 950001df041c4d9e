//! Who is in the cluster and under which addresses: the same every time, nothing is looked up.
//!
//! ```text
//!  client ---- router ---- underlay (a bridge in the router) ---- control
//!                                                            \--- node1 .. nodeN
//! ```

use std::fmt::{self, Display};
use std::net::{Ipv4Addr, Ipv6Addr};

/// As many as have addresses and a prefix of pods in this plan.
pub(super) const MAX_NODES: u8 = 50;
/// Where the API server listens, on the control host.
pub(super) const API_PORT: u16 = 6443;

/// Pods of all nodes, v4 and v6.
pub(super) const PODS: [&str; 2] = ["10.244.0.0/16", "fd00:244::/48"];
/// ClusterIPs, v4 and v6.
pub(super) const SERVICES: [&str; 2] = ["10.96.0.0/16", "fd00:96::/112"];
/// The first ClusterIP: the Service `kubernetes`.
pub(super) const API_SERVICE: &str = "10.96.0.1";
/// What the router sends to the nodes, each connection to any of them: addresses for VIPs.
pub(super) const VIPS: [&str; 2] = ["203.0.113.0/24", "2001:db8:113::/64"];

/// A machine of the lab.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Host {
    /// Outside of the cluster, behind the router.
    Client,
    /// The edge router.
    Router,
    /// etcd, API server, controller manager, scheduler.
    Control,
    /// Counted from 1.
    Node(u8),
}

/// A v4 and a v6 address of the same interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Addresses {
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Ipv6Addr,
}

// === impl Host ===

impl Host {
    /// All of a cluster with so many nodes.
    pub(super) fn all(nodes: u8) -> Vec<Self> {
        let mut hosts = vec![Self::Client, Self::Router, Self::Control];
        hosts.extend(Self::nodes(nodes));
        hosts
    }

    pub(super) fn nodes(nodes: u8) -> impl Iterator<Item = Self> {
        (1..=nodes).map(Self::Node)
    }

    /// The one of this name in a cluster with so many nodes.
    pub(super) fn named(name: &str, nodes: u8) -> Option<Self> {
        Self::all(nodes).into_iter().find(|host| host.to_string() == name)
    }

    /// On the underlay; of the client, on its own link to the router.
    pub(super) fn addresses(self) -> Addresses {
        match self {
            Self::Client => client_link(2),
            Self::Router => underlay(1),
            Self::Control => underlay(10),
            Self::Node(number) => underlay(10 + number),
        }
    }

    /// Where everything leaves that is not on the host's own link; `None` for the router.
    pub(super) fn gateway(self) -> Option<Addresses> {
        match self {
            Self::Client => Some(client_link(1)),
            Self::Router => None,
            Self::Control | Self::Node(_) => Some(Self::Router.addresses()),
        }
    }

    /// Prefixes of the pods on this node, v4 and v6; `None` for other hosts.
    pub(super) fn pods(self) -> Option<[String; 2]> {
        let Self::Node(number) = self else { return None };
        Some([format!("10.244.{number}.0/24"), format!("fd00:244:0:{number}::/64")])
    }

    /// The nodes are in two zones by turns.
    pub(super) fn zone(self) -> &'static str {
        match self {
            Self::Node(number) if number % 2 == 0 => "zone-b",
            _ => "zone-a",
        }
    }
}

impl Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.pad("client"),
            Self::Router => f.pad("router"),
            Self::Control => f.pad("control"),
            Self::Node(number) => f.pad(&format!("node{number}")),
        }
    }
}

/// The router's end of the client's link.
pub(super) fn client_link(host: u8) -> Addresses {
    Addresses {
        v4: Ipv4Addr::new(10, 81, 0, host),
        v6: Ipv6Addr::new(0xfd00, 0x81, 0, 0, 0, 0, 0, u16::from(host)),
    }
}

fn underlay(host: u8) -> Addresses {
    Addresses {
        v4: Ipv4Addr::new(10, 80, 0, host),
        v6: Ipv6Addr::new(0xfd00, 0x80, 0, 0, 0, 0, 0, u16::from(host)),
    }
}

/// The API server as every host of the lab reaches it.
pub(super) fn api_server() -> String {
    format!("https://{}:{API_PORT}", Host::Control.addresses().v4)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_hosts_share_an_address_or_a_name() {
        let hosts = Host::all(MAX_NODES);
        let names: BTreeSet<String> = hosts.iter().map(Host::to_string).collect();
        let v4: BTreeSet<_> = hosts.iter().map(|host| host.addresses().v4).collect();
        let v6: BTreeSet<_> = hosts.iter().map(|host| host.addresses().v6).collect();
        assert_eq!([names.len(), v4.len(), v6.len()], [hosts.len(), hosts.len(), hosts.len()]);
    }

    #[test]
    fn finds_hosts_of_this_cluster_only() {
        assert_eq!(Host::named("node2", 2), Some(Host::Node(2)));
        assert_eq!(Host::named("node3", 2), None);
        assert_eq!(Host::named("client", 0), Some(Host::Client));
    }

    #[test]
    fn pods_of_a_node_are_inside_the_prefix_of_all_pods() {
        let [v4, v6] = Host::Node(7).pods().unwrap();
        assert_eq!(v4, "10.244.7.0/24");
        assert!(v4.starts_with(PODS[0].split_once("0.0/").unwrap().0));
        assert_eq!(v6, "fd00:244:0:7::/64");
        assert_eq!(Host::Control.pods(), None);
    }
}
