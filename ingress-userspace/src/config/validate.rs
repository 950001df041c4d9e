//! What types cannot say: the checks on a configuration that reads well.
//!
//! Pure. Every fault names its field; nothing is corrected.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ingress_common::worker::MAX_WORKERS;
use ipnet::IpNet;

use super::access_log::{self, Variable};
use super::{Config, VipConfig};

/// Ports of one VIP.
const MAX_PORTS: usize = 8;
/// A timeout beyond this is a slip of the unit.
const MAX_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) field: String,
    pub(super) reason: String,
}

#[derive(Debug, Default)]
struct Faults(Vec<Fault>);

pub(super) fn check(config: &Config) -> Vec<Fault> {
    let mut faults = Faults::default();
    vips(&mut faults, &config.vips);
    classes(&mut faults, config);
    if let Some(count) = config.workers.count {
        let reason = format!("{count} workers: 1 to {MAX_WORKERS} are possible");
        let possible = 1..=MAX_WORKERS as usize;
        faults.require(possible.contains(&count), "workers.count", || reason);
    }
    timeouts(&mut faults, config);
    limits(&mut faults, config);
    tls(&mut faults, config);
    steering(&mut faults, config);
    annotations(&mut faults, config);
    access_log(&mut faults, config);
    headers(&mut faults, config);
    admin(&mut faults, config);
    cluster(&mut faults, config);
    faults.0
}

fn vips(faults: &mut Faults, vips: &[VipConfig]) {
    let mut names = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    for (index, vip) in vips.iter().enumerate() {
        let at = format!("vips[{index}]");
        let field = format!("{at}.name");
        faults.require(is_name(&vip.name), &field, || {
            format!("{:?} is no name: 1 to 63 of a-z, 0-9 and `-` are expected", vip.name)
        });
        if let Some(first) = names.insert(vip.name.as_str(), index) {
            faults.add(&field, format!("{:?} is the name of vips[{first}] too", vip.name));
        }
        faults.require(!vip.addresses.is_empty(), &format!("{at}.addresses"), || {
            "empty: one address at least is expected".to_owned()
        });
        for (number, address) in vip.addresses.iter().enumerate() {
            let field = format!("{at}.addresses[{number}]");
            if let Some(what) = unusable(*address) {
                faults.add(&field, format!("{address} is {what}, no VIP"));
            }
            if let Some(first) = addresses.insert(*address, field.clone()) {
                faults.add(&field, format!("{address} is in {first} too"));
            }
        }
        ports(faults, &at, vip);
        interfaces(faults, &at, vip);
        networks(faults, &format!("{at}.allow"), &vip.allow, &vip.addresses);
        networks(faults, &format!("{at}.deny"), &vip.deny, &vip.addresses);
        if let Some(budget) = vip.new_flow_budget {
            let at = format!("{at}.new_flow_budget");
            faults.positive(&format!("{at}.per_second"), u64::from(budget.per_second));
            faults.positive(&format!("{at}.burst"), u64::from(budget.burst));
        }
    }
}

fn ports(faults: &mut Faults, at: &str, vip: &VipConfig) {
    let at = format!("{at}.ports");
    let count = vip.ports.len();
    faults.require((1..=MAX_PORTS).contains(&count), &at, || {
        format!("{count} ports: 1 to {MAX_PORTS} are possible")
    });
    for (index, port) in vip.ports.iter().enumerate() {
        let field = format!("{at}[{index}].port");
        faults.require(port.port != 0, &field, || "0 is not a port: 1 to 65535".to_owned());
        if vip.ports[..index].iter().any(|other| other.port == port.port) {
            faults.add(&field, format!("{} is there twice", port.port));
        }
    }
}

fn interfaces(faults: &mut Faults, at: &str, vip: &VipConfig) {
    for (index, name) in vip.interfaces.iter().enumerate() {
        let field = format!("{at}.interfaces[{index}]");
        // IFNAMSIZ is 16 with the terminating zero.
        let valid = (1..16).contains(&name.len())
            && !name.contains(|c: char| c == '/' || c.is_whitespace() || c == '\0');
        faults.require(valid, &field, || format!("{name:?} is not the name of a device"));
        if vip.interfaces[..index].contains(name) {
            faults.add(&field, format!("{name:?} is there twice"));
        }
    }
}

/// A list that has no network of a family says nothing about it; one for a family that the VIP
/// does not have is a slip.
fn networks(faults: &mut Faults, at: &str, networks: &[IpNet], addresses: &[IpAddr]) {
    for (index, network) in networks.iter().enumerate() {
        let field = format!("{at}[{index}]");
        if network.trunc() != *network {
            faults.add(&field, format!("{network} has host bits, {} is meant?", network.trunc()));
        }
        let matches = |address: &IpAddr| address.is_ipv4() == network.addr().is_ipv4();
        faults.require(addresses.is_empty() || addresses.iter().any(matches), &field, || {
            format!("{network}: the VIP has no address of this family")
        });
    }
}

fn classes(faults: &mut Faults, config: &Config) {
    for (index, name) in config.classes.names.iter().enumerate() {
        let field = format!("classes.names[{index}]");
        faults.require(!name.is_empty(), &field, || "empty".to_owned());
    }
    let controller = &config.classes.controller;
    let prefixed = controller.split_once('/').is_some_and(|(d, p)| !d.is_empty() && !p.is_empty());
    faults.require(prefixed && controller.len() <= 250, "classes.controller", || {
        format!("{controller:?} is not a domain and a path, such as genkan.io/ingress-controller")
    });
}

fn timeouts(faults: &mut Faults, config: &Config) {
    let t = &config.timeouts;
    for (name, value) in [
        ("client_header", t.client_header),
        ("client_body", t.client_body),
        ("client_send", t.client_send),
        ("keep_alive", t.keep_alive),
        ("upstream_connect", t.upstream_connect),
        ("upstream_send", t.upstream_send),
        ("upstream_read", t.upstream_read),
        ("upstream_idle", t.upstream_idle),
        ("upstream_lifetime", t.upstream_lifetime),
    ] {
        let field = format!("timeouts.{name}");
        faults.require(!value.is_zero(), &field, || "0: more is expected".to_owned());
        faults.bounded(&field, value);
    }
    // 0 = running requests are cut off at once.
    faults.bounded("timeouts.drain", t.drain);
    faults.bounded("steering.listener_grace", config.steering.listener_grace);
}

fn limits(faults: &mut Faults, config: &Config) {
    const LEAST_HEAD: u64 = 256;
    const MOST_HEAD: u64 = 16 << 20;
    let l = &config.limits;
    for (name, value) in [
        ("request_line", l.request_line),
        ("request_headers", l.request_headers),
        ("upstream_headers", l.upstream_headers),
    ] {
        faults.require(
            (LEAST_HEAD..=MOST_HEAD).contains(&value),
            &format!("limits.{name}"),
            || format!("{value} bytes: {LEAST_HEAD} to {MOST_HEAD} are possible"),
        );
    }
    faults.positive("limits.request_header_count", l.request_header_count as u64);
    faults.positive("limits.keep_alive_requests", l.keep_alive_requests);
    faults.positive("limits.connections", l.connections as u64);
    faults.positive("limits.http2_streams", u64::from(l.http2_streams));
    faults.positive("limits.upstream_requests", l.upstream_requests);
}

fn tls(faults: &mut Faults, config: &Config) {
    let Some(name) = &config.tls.default_certificate else { return };
    let valid = name
        .split_once('/')
        .is_some_and(|(ns, name)| is_name(ns) && !name.is_empty() && !name.contains('/'));
    faults.require(valid, "tls.default_certificate", || {
        format!("{name:?} is not namespace/name of a Secret")
    });
}

fn steering(faults: &mut Faults, config: &Config) {
    const MAX_CPUS: u32 = 1024;
    let cpus = config.steering.cpumap;
    faults.require(cpus <= MAX_CPUS, "steering.cpumap", || {
        format!("{cpus} CPUs: at most {MAX_CPUS} are possible")
    });
}

fn annotations(faults: &mut Faults, config: &Config) {
    for (index, key) in config.annotations.ignore.iter().enumerate() {
        let valid = !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
        faults.require(valid, &format!("annotations.ignore[{index}]"), || {
            format!("{key:?} is not a key: write it without its prefix")
        });
    }
}

fn access_log(faults: &mut Faults, config: &Config) {
    let log = &config.access_log;
    if let Some(template) = log.format.template() {
        if let Err(why) = access_log::parts(template) {
            faults.add("access_log.format", why);
        }
        faults.require(log.fields.is_empty(), "access_log.fields", || {
            "only lines of format json have fields".to_owned()
        });
    }
    for (index, name) in log.fields.iter().enumerate() {
        let field = format!("access_log.fields[{index}]");
        if Variable::by_name(name).is_none() {
            faults.add(&field, access_log::unknown(name));
        } else if log.fields[..index].contains(name) {
            faults.add(&field, format!("{name:?} is there twice"));
        }
    }
}

fn admin(faults: &mut Faults, config: &Config) {
    // A Unix socket's path has at most 107 bytes; one is made beside it, with a process id.
    const LONGEST: usize = 96;
    let admin = &config.admin;
    if let Some(path) = admin.socket.path() {
        let length = path.as_os_str().len();
        faults.require(
            path.is_absolute() && length <= LONGEST && path.file_name().is_some(),
            "admin.socket",
            || {
                format!(
                    "{:?} is neither `off` nor an absolute path of at most {LONGEST} bytes",
                    path.display()
                )
            },
        );
    }
    if let Some(group) = &admin.group {
        faults.require(!group.is_empty(), "admin.group", || "empty".to_owned());
    }
    if let Some(address) = admin.listen {
        faults.require(address.ip().is_loopback(), "admin.listen", || {
            format!("{address} is no loopback address: others must not read it")
        });
        faults.require(address.port() != 0, "admin.listen", || "port 0".to_owned());
    }
}

/// Fields that frame a message or belong to a connection: an answer with two of them is read in two
/// ways.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "date",
];

fn headers(faults: &mut Faults, config: &Config) {
    for (index, name) in config.headers.allowed_custom.iter().enumerate() {
        let field = format!("headers.allowed_custom[{index}]");
        let valid = http::HeaderName::from_bytes(name.as_bytes()).is_ok();
        faults.require(valid, &field, || format!("{name:?} is not the name of a header field"));
        let framing = FRAMING.contains(&name.to_ascii_lowercase().as_str());
        faults.require(!framing, &field, || format!("{name:?} is written by us alone"));
    }
}

fn unusable(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if address.is_unspecified() {
        Some("the unspecified address")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        Some("the broadcast address")
    } else if link_local {
        Some("a link-local address")
    } else if address.to_canonical() != address {
        Some("an IPv4 address in IPv6 form")
    } else {
        None
    }
}

fn cluster(faults: &mut Faults, config: &Config) {
    let cluster = &config.cluster;
    for (index, namespace) in cluster.namespaces.iter().enumerate() {
        faults.require(is_name(namespace), &format!("cluster.namespaces[{index}]"), || {
            format!("{namespace:?} is no name of a namespace")
        });
    }
    for (name, field) in
        [(&cluster.lease, "cluster.lease"), (&cluster.lease_namespace, "cluster.lease_namespace")]
    {
        faults.require(name.as_deref().is_none_or(is_name), field, || {
            format!(
                "{:?}: letters a-z, digits and - are possible",
                name.as_deref().unwrap_or_default()
            )
        });
    }
    if let Some(path) = cluster.cache.path() {
        let is_file = path.is_absolute() && path.file_name().is_some();
        faults.require(is_file, "cluster.cache", || {
            format!("{:?} is neither `off` nor the absolute path of a file", path.display())
        });
    }
}

fn is_name(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| alphanumeric(b) || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

// === impl Faults ===

impl Faults {
    fn add(&mut self, field: &str, reason: String) {
        self.0.push(Fault { field: field.to_owned(), reason });
    }

    fn require(&mut self, holds: bool, field: &str, reason: impl FnOnce() -> String) {
        if !holds {
            self.add(field, reason());
        }
    }

    fn positive(&mut self, field: &str, value: u64) {
        self.require(value > 0, field, || "0: more is expected".to_owned());
    }

    fn bounded(&mut self, field: &str, value: Duration) {
        self.require(value <= MAX_TIMEOUT, field, || {
            format!("{value:?}: at most {} days are possible", MAX_TIMEOUT.as_secs() / 86_400)
        });
    }
}
