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
    /// Name of the VIP of each address.
    pub vips: HashMap<IpAddr, Arc<str>>,
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

    /// These, and what only `next` has of VIPs and ports: for the moment in which its connections
    /// may come already. VIPs that both have keep their rules.
    #[must_use]
    pub fn widened(&self, next: &Self) -> Self {
        let mut both = self.clone();
        for (&place, &protocol) in &next.ports {
            both.ports.entry(place).or_insert(protocol);
        }
        for (&address, name) in &next.vips {
            both.vips.entry(address).or_insert_with(|| name.clone());
        }
        let is_new = |vip: &IpAddr| !self.ports.keys().any(|place| place.ip() == *vip);
        let new_sources = next.sources.iter().filter(|(vip, _)| is_new(vip));
        both.sources.extend(new_sources.map(|(vip, rules)| (*vip, rules.clone())));
        let new_ports = next.https_ports.iter().filter(|(vip, _)| is_new(vip));
        both.https_ports.extend(new_ports);
        both
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
        let vips = config
            .vips
            .iter()
            .map(|vip| (vip, Arc::<str>::from(&*vip.name)))
            .flat_map(|(vip, name)| vip.addresses.iter().map(move |a| (*a, name.clone())))
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
            vips,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(vips: &str) -> Settings {
        Settings::from(&Config { vips: serde_json::from_str(vips).unwrap(), ..Config::default() })
    }

    #[test]
    fn widened_settings_have_the_rules_of_new_vips_and_keep_those_of_the_others() {
        let old = settings(
            r#"[{"name": "a", "addresses": ["192.0.2.1"], "deny": ["10.0.0.1/32"],
                 "ports": [{"port": 80, "protocol": "http"}]}]"#,
        );
        let next = settings(
            r#"[{"name": "a", "addresses": ["192.0.2.1"], "deny": ["10.0.0.2/32"]},
                {"name": "b", "addresses": ["192.0.2.2"], "allow": ["10.0.0.3/32"]}]"#,
        );
        let both = old.widened(&next);
        let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
        let admits = |vip: &str, source: &str| both.admits(ip(vip), ip(source));
        assert!(!admits("192.0.2.1", "10.0.0.1") && admits("192.0.2.1", "10.0.0.2"));
        assert!(admits("192.0.2.2", "10.0.0.3") && !admits("192.0.2.2", "10.0.0.1"));
        let mut places: Vec<String> = both.ports.keys().map(ToString::to_string).collect();
        places.sort();
        assert_eq!(places, ["192.0.2.1:443", "192.0.2.1:80", "192.0.2.2:443", "192.0.2.2:80"]);
        assert_eq!(both.https_ports.get(&ip("192.0.2.1")), None, "until the new ones are in force");
        assert_eq!(both.https_ports.get(&ip("192.0.2.2")), Some(&443));
    }
}
