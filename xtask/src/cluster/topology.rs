//! The network of the lab: namespaces, links, addresses and routes, as commands for `ip`.
//!
//! What is to be done is text made from the plan; one `ip -batch` per namespace does it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::plan::{self, Addresses, Host, VIPS};
use crate::program::Program;

/// Interface of every host to the router; on a node, where the VIPs arrive.
const UPLINK: &str = "eth0";
/// Interface of the router to the client.
const CLIENT_LINK: &str = "client";
/// The underlay's bridge in the router.
const BRIDGE: &str = "underlay";

/// Makes the namespaces `CLUSTER-HOST` and everything in them.
///
/// # Errors
/// A command fails; what was made so far stays and is removed by [`remove`].
pub(super) fn create(cluster: &str, nodes: u8) -> Result<()> {
    let hosts = Host::all(nodes);
    for host in &hosts {
        Program::new("ip").args(["netns", "add", &namespace(cluster, *host)]).output()?;
    }
    batch(&namespace(cluster, Host::Router), &links(cluster, &hosts))?;
    for host in &hosts {
        let name = namespace(cluster, *host);
        set_sysctls(&name, *host)?;
        batch(&name, &if *host == Host::Router { router(nodes) } else { member(*host, nodes) })?;
    }
    for host in hosts.iter().filter(|host| **host != Host::Router) {
        // What is redirected or rewritten on the way would keep its partial checksum.
        offload(&namespace(cluster, *host), UPLINK, &["tx", "off"])?;
        let port = router_port(*host);
        // Receiving by NAPI, so that a node's kernel programs can send back on the same link.
        offload(&namespace(cluster, Host::Router), &port, &["tx", "off", "gro", "on"])?;
    }
    Ok(())
}

/// Removes every namespace of the cluster that is there; their processes are gone already.
///
/// # Errors
/// A namespace can't be removed.
pub(super) fn remove(cluster: &str) -> Result<usize> {
    let names = namespaces(cluster)?;
    for name in &names {
        Program::new("ip").args(["netns", "delete", name]).output()?;
    }
    Ok(names.len())
}

/// Names of the cluster's namespaces.
///
/// # Errors
/// They can't be listed.
pub(super) fn namespaces(cluster: &str) -> Result<Vec<String>> {
    let listed = Program::new("ip").args(["netns", "list"]).output()?;
    let names = listed.lines().filter_map(|line| line.split_whitespace().next());
    let ours = |name: &&str| {
        name.rsplit_once('-')
            .is_some_and(|(of, host)| of == cluster && Host::named(host, plan::MAX_NODES).is_some())
    };
    Ok(names.filter(ours).map(str::to_owned).collect())
}

/// The network namespace of a host, as `ip netns` names it.
pub(super) fn namespace(cluster: &str, host: Host) -> String {
    format!("{cluster}-{host}")
}

/// Every link, made in the router's namespace with the other end in the host's.
fn links(cluster: &str, hosts: &[Host]) -> String {
    let mut script = format!("link add {BRIDGE} type bridge forward_delay 0\n");
    for host in hosts.iter().filter(|host| **host != Host::Router) {
        let (port, other) = (router_port(*host), namespace(cluster, *host));
        let _ = writeln!(script, "link add {port} type veth peer name {UPLINK} netns {other}");
        if *host != Host::Client {
            let _ = writeln!(script, "link set {port} master {BRIDGE}");
        }
        let _ = writeln!(script, "link set {port} up");
    }
    script
}

/// Addresses and routes of the router, in its own namespace.
fn router(nodes: u8) -> String {
    let mut script = format!("link set lo up\nlink set {BRIDGE} up\n");
    script += &address(BRIDGE, Host::Router.addresses());
    script += &address(CLIENT_LINK, plan::client_link(1));
    script += &pod_routes(None, nodes);
    for (vips, v6) in VIPS.iter().zip([false, true]) {
        let hops: String = Host::nodes(nodes)
            .map(|node| format!(" nexthop via {}", of_family(node.addresses(), v6)))
            .collect();
        let _ = writeln!(script, "route add {vips}{hops}");
    }
    script
}

/// Addresses and routes of any other host, in its own namespace.
fn member(host: Host, nodes: u8) -> String {
    let mut script = format!("link set lo up\nlink set {UPLINK} up\n");
    script += &address(UPLINK, host.addresses());
    if let Some(gateway) = host.gateway() {
        let _ = writeln!(script, "route add default via {}", gateway.v4);
        let _ = writeln!(script, "route add default via {}", gateway.v6);
    }
    // Straight to the other nodes, as a CNI without an overlay does.
    if host != Host::Client {
        script += &pod_routes(Some(host), nodes);
    }
    script
}

/// Routes to the pods of every node but `own`.
fn pod_routes(own: Option<Host>, nodes: u8) -> String {
    let mut script = String::new();
    for node in Host::nodes(nodes).filter(|node| Some(*node) != own) {
        for (pods, v6) in node.pods().into_iter().flatten().zip([false, true]) {
            let _ = writeln!(script, "route add {pods} via {}", of_family(node.addresses(), v6));
        }
    }
    script
}

/// Without duplicate address detection: nothing would answer for the first second.
fn address(interface: &str, addresses: Addresses) -> String {
    format!(
        "address add {}/24 dev {interface}\naddress add {}/64 dev {interface} nodad\n",
        addresses.v4, addresses.v6
    )
}

fn of_family(addresses: Addresses, v6: bool) -> String {
    if v6 { addresses.v6.to_string() } else { addresses.v4.to_string() }
}

/// The router's end of a host's link.
fn router_port(host: Host) -> String {
    if host == Host::Client { CLIENT_LINK.to_owned() } else { host.to_string() }
}

/// All hosts but the client forward; connections of one client spread over the nodes.
fn sysctls(host: Host) -> Vec<&'static str> {
    let mut settings = vec![
        "net.ipv4.conf.all.rp_filter=0",
        "net.ipv4.conf.default.rp_filter=0",
        "net.ipv6.conf.default.accept_ra=0",
        "net.ipv6.conf.default.accept_dad=0",
    ];
    if host != Host::Client {
        settings.extend(["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
    }
    if host == Host::Router {
        settings.extend([
            "net.ipv4.fib_multipath_hash_policy=1",
            "net.ipv6.fib_multipath_hash_policy=1",
        ]);
    }
    settings
}

fn set_sysctls(namespace: &str, host: Host) -> Result<()> {
    Program::new("nsenter")
        .args([&format!("--net=/run/netns/{namespace}"), "sysctl", "--quiet", "--write"])
        .args(sysctls(host))
        .output()?;
    Ok(())
}

fn offload(namespace: &str, interface: &str, features: &[&str]) -> Result<()> {
    Program::new("nsenter")
        .args([&format!("--net=/run/netns/{namespace}"), "ethtool", "-K", interface])
        .args(features)
        .output()?;
    Ok(())
}

fn batch(namespace: &str, script: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(["-netns", namespace, "-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start ip")?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(script.as_bytes()).context("tell ip what to do")?;
    }
    let ended = child.wait_with_output().context("wait for ip")?;
    if !ended.status.success() {
        bail!("ip in {namespace}: {}", String::from_utf8_lossy(&ended.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_router_sends_vips_of_both_families_to_every_node() {
        let script = router(2);
        assert!(
            script.contains(
                "route add 203.0.113.0/24 nexthop via 10.80.0.11 nexthop via 10.80.0.12\n"
            )
        );
        assert!(script.contains(
            "route add 2001:db8:113::/64 nexthop via fd00:80::b nexthop via fd00:80::c\n"
        ));
    }

    #[test]
    fn a_node_routes_to_the_pods_of_the_others_only() {
        let script = member(Host::Node(1), 2);
        assert!(script.contains("route add 10.244.2.0/24 via 10.80.0.12\n"));
        assert!(!script.contains("10.244.1.0/24"));
        assert!(script.contains("route add default via fd00:80::1\n"));
    }

    #[test]
    fn the_client_knows_no_pods_and_does_not_forward() {
        assert!(!member(Host::Client, 2).contains("10.244"));
        assert!(sysctls(Host::Client).iter().all(|setting| !setting.contains("forward")));
    }

    #[test]
    fn every_host_but_the_client_is_on_the_bridge() {
        let script = links("lab", &Host::all(1));
        assert!(script.contains("link set node1 master underlay\n"));
        assert!(script.contains("link set control master underlay\n"));
        assert!(!script.contains("link set client master"));
    }
}
