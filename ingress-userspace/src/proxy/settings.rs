//! What of the configuration the data side needs, shared by all workers and replaced as a whole.

use std::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;
use ipnet::IpNet;

use crate::config::{Config, Limits, PortProtocol, Timeouts, TlsConfig, VipConfig};

#[derive(Debug, Clone)]
pub struct Settings {
    /// Protocol of each VIP:port; connections to other local addresses are refused.
    pub ports: HashMap<SocketAddr, PortProtocol>,
    /// VIPs with source rules. The kernel programs enforce them before a connection exists; here
    /// they hold for connections that came without them.
    pub sources: HashMap<IpAddr, SourceRules>,
    pub timeouts: Timeouts,
    pub limits: Limits,
    pub tls: TlsConfig,
}

/// Who may connect to a VIP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRules {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
}

// === impl SourceRules ===

impl SourceRules {
    /// `None` when everybody may connect.
    fn of(vip: &VipConfig) -> Option<Self> {
        let rules = Self { allow: vip.allow.clone(), deny: vip.deny.clone() };
        (!rules.allow.is_empty() || !rules.deny.is_empty()).then_some(rules)
    }

    /// Deny wins; an allow list refuses all others.
    pub fn admit(&self, source: IpAddr) -> bool {
        let listed = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&source));
        !listed(&self.deny) && (self.allow.is_empty() || listed(&self.allow))
    }
}

// === impl Settings ===

impl Settings {
    /// Whether `source` may connect to the VIP.
    pub fn admits(&self, vip: IpAddr, source: IpAddr) -> bool {
        self.sources.get(&vip).is_none_or(|rules| rules.admit(source))
    }
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        let ports = config
            .vips
            .iter()
            .flat_map(|vip| vip.addresses.iter().map(move |address| (vip, *address)))
            .flat_map(|(vip, address)| {
                vip.ports.iter().map(move |p| (SocketAddr::new(address, p.port), p.protocol))
            })
            .collect();
        let sources = config
            .vips
            .iter()
            .filter_map(|vip| Some((vip, SourceRules::of(vip)?)))
            .flat_map(|(vip, rules)| vip.addresses.iter().map(move |a| (*a, rules.clone())))
            .collect();
        Self {
            ports,
            sources,
            timeouts: config.timeouts,
            limits: config.limits,
            tls: config.tls.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deny_wins_and_an_allow_list_refuses_all_others() {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let admit = |allow: &[&str], deny: &[&str], source: &str| {
            SourceRules { allow: nets(allow), deny: nets(deny) }.admit(source.parse().unwrap())
        };
        assert!(admit(&[], &["10.0.0.0/8"], "192.0.2.1"));
        assert!(!admit(&[], &["10.0.0.0/8"], "10.1.2.3"));
        assert!(admit(&["10.0.0.0/8"], &[], "10.1.2.3"));
        assert!(!admit(&["10.0.0.0/8"], &[], "192.0.2.1"));
        assert!(!admit(&["10.1.0.0/16"], &["10.0.0.0/8"], "10.1.2.3"));
        assert!(!admit(&["10.0.0.0/8"], &[], "2001:db8::1"), "the other family is not listed");
    }
}
