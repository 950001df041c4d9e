//! What of the configuration the data side needs, shared by all workers and replaced as a whole.

use std::net::SocketAddr;

use hashbrown::HashMap;

use crate::config::{Config, Limits, PortProtocol, Timeouts, TlsConfig};

#[derive(Debug, Clone)]
pub struct Settings {
    /// Protocol of each VIP:port; connections to other local addresses are refused.
    pub ports: HashMap<SocketAddr, PortProtocol>,
    pub timeouts: Timeouts,
    pub limits: Limits,
    pub tls: TlsConfig,
}

// === impl Settings ===

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
        Self { ports, timeouts: config.timeouts, limits: config.limits, tls: config.tls.clone() }
    }
}
