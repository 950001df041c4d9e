//! The standard topology: client - router - edge - pods, IPv4 and IPv6, two VIPs at the edge.
//!
//! ```text
//! client eth0 ── client0 router edge0 ── uplink edge pod0 ── eth0 pod-0
//!                                                    pod1 ── eth0 pod-1
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Host, Lab};

/// One edge node between a router and its pods. The router sends the VIPs to the edge's uplink.
#[derive(Debug)]
pub struct EdgeLab {
    pub client: Host,
    pub router: Host,
    pub edge: Host,
    pub pods: Vec<Host>,
    lab: Lab,
}

// === impl EdgeLab ===

impl EdgeLab {
    /// The device of the edge on which packets for the VIPs arrive.
    pub const UPLINK: &str = "uplink";
    pub const VIP4: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 80));
    pub const VIP6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x80, 0, 0, 0, 0, 0x80));
    pub const VIPS: [IpAddr; 2] = [Self::VIP4, Self::VIP6];

    const ROUTER_TO_EDGE: [IpAddr; 2] = pair([10, 2, 0, 1], [0xfd00, 2, 0, 0, 0, 0, 0, 1]);
    const EDGE: [IpAddr; 2] = pair([10, 2, 0, 2], [0xfd00, 2, 0, 0, 0, 0, 0, 2]);
    const ROUTER_TO_CLIENT: [IpAddr; 2] = pair([10, 1, 0, 1], [0xfd00, 1, 0, 0, 0, 0, 0, 1]);
    /// The client's addresses: IPv4, IPv6.
    pub const CLIENT: [IpAddr; 2] = pair([10, 1, 0, 2], [0xfd00, 1, 0, 0, 0, 0, 0, 2]);

    pub fn new(pods: usize) -> Self {
        Self::build(Lab::new(), pods)
    }

    /// With a fixed name, for a lab that people look at.
    pub fn named(name: &str, pods: usize) -> Self {
        Self::build(Lab::named(name), pods)
    }

    /// The client's addresses: IPv4, IPv6.
    pub fn client_addresses(&self) -> [IpAddr; 2] {
        Self::CLIENT
    }

    /// The edge's own addresses on its uplink: IPv4, IPv6.
    pub fn edge_addresses(&self) -> [IpAddr; 2] {
        Self::EDGE
    }

    /// The router's addresses towards the edge: IPv4, IPv6.
    pub fn router_addresses(&self) -> [IpAddr; 2] {
        Self::ROUTER_TO_EDGE
    }

    /// Addresses of a pod: IPv4, IPv6.
    pub fn pod_addresses(&self, pod: usize) -> [IpAddr; 2] {
        let [address, _] = pod_link(pod);
        address
    }

    /// The addresses of a pod that the example manifests name: IPv4, IPv6.
    pub fn example_addresses(pod: usize) -> [IpAddr; 2] {
        let number = 0x11 + u16::try_from(pod).expect("a lab has at most 256 pods");
        let last = 11 + u8::try_from(pod).expect("a lab has at most 240 pods");
        pair([10, 42, 0, last], [0x2001, 0xdb8, 0x42, 0, 0, 0, 0, number])
    }

    /// One more source at the client, routed back to it.
    pub fn client_source(&self, address: IpAddr) {
        self.client.spare_address("eth0", address);
        self.router.route_to(address, same_family(address, Self::CLIENT));
    }

    /// One more VIP that the router sends to the edge.
    pub fn vip(&self, address: IpAddr) {
        self.router.route_to(address, same_family(address, Self::EDGE));
    }

    /// Leaves everything up when this value goes.
    pub fn keep(&mut self) {
        self.lab.keep();
    }

    pub fn name(&self) -> &str {
        self.lab.name()
    }

    fn build(mut lab: Lab, pods: usize) -> Self {
        let client = lab.host("client");
        let router = lab.host("router");
        let edge = lab.host("edge");
        lab.link((&client, "eth0"), (&router, "client0"));
        lab.link((&router, "edge0"), (&edge, Self::UPLINK));
        // A veth takes what the XDP program of its peer sends back only with a program of its own.
        router.attach_pass_program("edge0");
        assign(&client, "eth0", Self::CLIENT);
        assign(&router, "client0", Self::ROUTER_TO_CLIENT);
        assign(&router, "edge0", Self::ROUTER_TO_EDGE);
        assign(&edge, Self::UPLINK, Self::EDGE);
        for forwarding in [&router, &edge] {
            forwarding.sysctl("net.ipv4.ip_forward", "1");
            forwarding.sysctl("net.ipv6.conf.all.forwarding", "1");
        }
        for gateway in Self::ROUTER_TO_CLIENT {
            client.route("default", gateway);
        }
        for gateway in Self::ROUTER_TO_EDGE {
            edge.route("default", gateway);
        }
        let pods = (0..pods).map(|pod| build_pod(&mut lab, &edge, pod)).collect();
        let lab = Self { client, router, edge, pods, lab };
        for vip in Self::VIPS {
            lab.vip(vip);
        }
        lab
    }
}

fn build_pod(lab: &mut Lab, edge: &Host, pod: usize) -> Host {
    let host = lab.host(&format!("pod{pod}"));
    let device = format!("pod{pod}");
    lab.link((edge, &device), (&host, "eth0"));
    let [address, gateway] = pod_link(pod);
    assign(edge, &device, gateway);
    assign(&host, "eth0", address);
    for gateway in gateway {
        host.route("default", gateway);
    }
    for (example, address) in EdgeLab::example_addresses(pod).into_iter().zip(address) {
        host.spare_address("eth0", example);
        edge.route_to(example, address);
    }
    host
}

/// Both ends of the link to a pod: the pod's addresses, the edge's addresses.
fn pod_link(pod: usize) -> [[IpAddr; 2]; 2] {
    let number = u8::try_from(pod).expect("a lab has at most 256 pods");
    [2, 1].map(|end| pair([10, 3, number, end], [0xfd00, 3, number.into(), 0, 0, 0, 0, end.into()]))
}

fn assign(host: &Host, interface: &str, [v4, v6]: [IpAddr; 2]) {
    host.address(interface, &format!("{v4}/24"));
    host.address(interface, &format!("{v6}/64"));
}

fn same_family(like: IpAddr, [v4, v6]: [IpAddr; 2]) -> IpAddr {
    if like.is_ipv4() { v4 } else { v6 }
}

const fn pair(v4: [u8; 4], v6: [u16; 8]) -> [IpAddr; 2] {
    let [a, b, c, d] = v4;
    let [p, q, r, s, t, u, v, w] = v6;
    [IpAddr::V4(Ipv4Addr::new(a, b, c, d)), IpAddr::V6(Ipv6Addr::new(p, q, r, s, t, u, v, w))]
}
