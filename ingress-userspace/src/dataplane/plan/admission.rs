//! Whether a source may connect to a VIP, and by which network of which list.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::rules::{RuleVerdict, flatten};
use crate::config::{PortProtocol, VipConfig};

/// What one VIP says to one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    pub vip: String,
    pub addresses: Vec<IpAddr>,
    /// Whether the port is served, with the protocol that is asked for.
    pub serves_port: bool,
    pub admitted: bool,
    pub why: String,
}

/// `source`: `None` when it is not known; then only the port is judged.
pub fn admission(
    vip: &VipConfig,
    source: Option<IpAddr>,
    port: u16,
    protocol: PortProtocol,
) -> Admission {
    let serves_port = vip.ports.iter().any(|own| own.port == port && own.protocol == protocol);
    let (admitted, why) = match source {
        None if vip.allow.is_empty() && vip.deny.is_empty() => (true, "no source rules".to_owned()),
        None => (true, "depends on the client (--client)".to_owned()),
        Some(source) => judge(vip, source.to_canonical()),
    };
    Admission {
        vip: vip.name.clone(),
        addresses: vip.addresses.clone(),
        serves_port,
        admitted,
        why,
    }
}

/// As the kernel does it: the longest match decides.
fn judge(vip: &VipConfig, source: IpAddr) -> (bool, String) {
    if !vip.addresses.iter().any(|address| address.to_canonical().is_ipv4() == source.is_ipv4()) {
        return (false, "the VIP has no address of this family".to_owned());
    }
    let rules = flatten(&vip.allow, &vip.deny);
    let matching = rules.iter().filter(|(net, _)| net.contains(&source));
    let longest: Option<&(IpNet, RuleVerdict)> = matching.max_by_key(|(net, _)| net.prefix_len());
    match longest {
        Some((net, RuleVerdict::Allow)) => (true, format!("allowed by {net}")),
        Some((net, RuleVerdict::Deny)) => (false, format!("denied by {net}")),
        None if vip.allow.is_empty() => (true, "no rule names it".to_owned()),
        None => (false, "no network of the allow list holds it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vip(allow: &[&str], deny: &[&str]) -> VipConfig {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let text = "{\"name\": \"a\", \"addresses\": [\"203.0.113.80\"]}";
        let vip: VipConfig = serde_json::from_str(text).unwrap();
        VipConfig { allow: nets(allow), deny: nets(deny), ..vip }
    }

    #[test]
    fn the_deciding_network_is_named() {
        for (allow, deny, source, admitted, why) in [
            (&[][..], &[][..], "198.51.100.7", true, "no rule names it"),
            (&["198.51.100.0/24"], &[], "198.51.100.7", true, "allowed by 198.51.100.0/24"),
            (
                &["198.51.100.0/24"],
                &[],
                "192.0.2.1",
                false,
                "no network of the allow list holds it",
            ),
            (
                &["198.51.100.0/24"],
                &["198.51.0.0/16"],
                "198.51.100.7",
                false,
                "denied by 198.51.0.0/16",
            ),
            (
                &["198.51.0.0/16"],
                &["198.51.100.0/24"],
                "198.51.100.7",
                false,
                "denied by 198.51.100.0/24",
            ),
            (&[], &[], "2001:db8::1", false, "the VIP has no address of this family"),
            (&[], &["198.51.100.0/24"], "::ffff:198.51.100.7", false, "denied by 198.51.100.0/24"),
        ] {
            let source = source.parse().unwrap();
            let found = admission(&vip(allow, deny), Some(source), 80, PortProtocol::Http);
            assert_eq!((found.admitted, found.why.as_str()), (admitted, why), "{allow:?} {deny:?}");
            // The lists as the proxy reads them agree.
            use crate::net::sources::SourceRules;
            let set =
                |nets: &[&str]| nets.iter().map(|net| net.parse::<IpNet>().unwrap()).collect();
            let rules = SourceRules::new(set(deny), (!allow.is_empty()).then(|| set(allow)));
            assert!(source.is_ipv6() || rules.admits(source) == admitted);
        }
    }

    #[test]
    fn a_port_is_served_with_its_protocol_only() {
        for (port, protocol, served) in [
            (80, PortProtocol::Http, true),
            (443, PortProtocol::Https, true),
            (443, PortProtocol::Http, false),
            (8080, PortProtocol::Http, false),
        ] {
            assert_eq!(admission(&vip(&[], &[]), None, port, protocol).serves_port, served);
        }
    }
}
