//! What the kernel side serves and how, as values for people and for status.

use std::net::IpAddr;

use super::Steer;
use super::plan::Plan;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    pub interfaces: Vec<InterfaceReport>,
    pub vips: Vec<VipReport>,
    /// Maps of an earlier process were taken over.
    pub maps_reused: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceReport {
    pub name: String,
    /// 0 when there is no such device.
    pub index: u32,
    /// Bytes.
    pub mtu: u32,
    pub driver: Option<String>,
    pub steer: Steer,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VipReport {
    pub name: String,
    /// Index of its counters.
    pub id: u32,
    pub addresses: Vec<IpAddr>,
    pub ports: Vec<u16>,
    /// Entries of its source rules in the kernel.
    pub rules: usize,
}

// === impl VipReport ===

impl VipReport {
    pub(super) fn all(plan: &Plan) -> Vec<Self> {
        let report = |(&id, name): (&u32, &String)| {
            let of_vip = || plan.vips.iter().filter(|(_, value)| value.id == id);
            let value = of_vip().map(|(_, value)| *value).next().unwrap_or_default();
            let ports = value.tcp.iter().take(value.tcp_count.into()).map(|port| port.to_host());
            Self {
                name: name.clone(),
                id,
                addresses: of_vip().map(|(&address, _)| address).collect(),
                ports: ports.collect(),
                rules: if value.acl == 0 { 0 } else { plan.rule_set(value.acl).len() },
            }
        };
        plan.names.iter().map(report).collect()
    }
}
