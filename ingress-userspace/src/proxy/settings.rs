//! What of the configuration the data side needs, shared by all workers and replaced as a whole.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hashbrown::HashMap;
use ipnet::IpNet;

use super::access_log::Line;
use crate::config::{Compat, Config, Limits, PortProtocol, Timeouts, TlsConfig, VipConfig};
use crate::net::sources::SourceRules;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Protocol of each VIP:port; connections to other local addresses are refused.
    pub ports: HashMap<SocketAddr, PortProtocol>,
    /// Where redirects from HTTP lead on each VIP that speaks HTTPS.
    pub https_ports: HashMap<IpAddr, u16>,
    /// VIPs with source rules. The kernel programs enforce them before a connection exists; here
    /// they hold for connections that came without them.
    pub sources: HashMap<IpAddr, SourceRules>,
    pub timeouts: Timeouts,
    pub limits: Limits,
    pub tls: TlsConfig,
    /// Form of the access log; absent = off.
    pub access_log: Option<Arc<Line>>,
    /// ingress-nginx's order of answers and status of limits (D11, D21).
    pub nginx: bool,
}

// === impl Settings ===

impl Settings {
    /// Whether `source` may connect to the VIP.
    pub fn admits(&self, vip: IpAddr, source: IpAddr) -> bool {
        self.sources.get(&vip).is_none_or(|rules| rules.admits(source))
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
        let https_ports = config
            .vips
            .iter()
            .filter_map(|vip| Some((vip, vip.https_port()?)))
            .flat_map(|(vip, port)| vip.addresses.iter().map(move |address| (*address, port)))
            .collect();
        let sources = config
            .vips
            .iter()
            .filter_map(|vip| Some((vip, source_rules(vip)?)))
            .flat_map(|(vip, rules)| vip.addresses.iter().map(move |a| (*a, rules.clone())))
            .collect();
        Self {
            ports,
            https_ports,
            sources,
            timeouts: config.timeouts,
            limits: config.limits,
            tls: config.tls.clone(),
            access_log: config
                .access_log
                .destination()
                .map(|_| Arc::new(Line::new(&config.access_log))),
            nginx: config.compat == Compat::Nginx,
        }
    }
}

/// `None` when everybody may connect.
fn source_rules(vip: &VipConfig) -> Option<SourceRules> {
    let set = |nets: &[IpNet]| nets.iter().copied().collect();
    let allow = (!vip.allow.is_empty()).then(|| set(&vip.allow));
    (allow.is_some() || !vip.deny.is_empty()).then(|| SourceRules::new(set(&vip.deny), allow))
}
