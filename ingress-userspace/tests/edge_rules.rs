//! Who reaches a VIP, and what of the host is never reached through it: with XDP, without it, from
//! the network, from a pod of the node and from the node itself.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use genkan::config::{NewFlowBudget, PortConfig, PortProtocol};
use genkan::testing::deadline::eventually;
use genkan::testing::lab::{EdgeLab, Host};
use genkan::testing::story::{Connect, Ingress, Listener, Request, Session, Story, connect};
use genkan::testing::{require_root, require_tool};
use ingress_common::verdict::Verdict;
use socket2::{Domain, Socket, Type};

/// Long enough for an answer on this machine; that nothing came is proven by the counters.
const SHORT: Duration = Duration::from_millis(700);
const LONG: Duration = Duration::from_secs(20);

const OUTSIDERS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 66)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x66, 0, 0, 0, 0, 0x66)),
];

/// An edge that serves `shop.example`, and a second source at the client.
fn story() -> Option<Story> {
    if !require_root() || !require_tool("bpftool") {
        return None;
    }
    let story = Story::new(env!("CARGO_BIN_EXE_genkan"), 1);
    story.write_services();
    story
        .manifests
        .write("shop.yaml", &Ingress::new("shop").rule("shop.example", "/", "pods").yaml());
    for outsider in OUTSIDERS {
        story.lab.client_source(outsider);
    }
    Some(story)
}

fn is_served(story: &Story, host: &Host, source: Option<IpAddr>, vip: IpAddr) -> bool {
    let request = Request::get("shop.example", "/");
    let request = match source {
        Some(source) => request.from_source(source),
        None => request,
    };
    let answer = request.send(host, SocketAddr::new(vip, 80));
    let answer = answer.unwrap_or_else(|error| panic!("{source:?} to {vip}: {error:#}"));
    assert_eq!((answer.status, answer.pod()), (200, "pod-0"), "{}", story.log());
    true
}

#[test]
fn foreign_listener_is_never_reached() {
    let Some(mut story) = story() else { return };
    let any = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()];
    let mut foreign = Vec::new();
    for port in [22, 80] {
        // The IPv6 socket alone takes both families.
        foreign.push(Listener::bind(story.edge(), SocketAddr::new(any[1], port)));
    }
    foreign.push(Listener::bind(story.edge(), SocketAddr::new(any[0], 2222)));
    story.start();
    for attached in [true, false] {
        if !attached {
            story.detach_xdp();
        }
        for (family, vip) in EdgeLab::VIPS.into_iter().enumerate() {
            let ports: &[u16] = if family == 0 { &[22, 2222] } else { &[22] };
            for &port in ports {
                let to = SocketAddr::new(vip, port);
                let (outcome, counted) =
                    story.counting(vip, || connect(&story.lab.client, None, to, SHORT));
                if attached {
                    assert_eq!(outcome, Connect::TimedOut, "{to}");
                    assert!(counted.of(Verdict::PortUnserved) > 0, "{counted:?}");
                } else {
                    assert_eq!(outcome, Connect::Refused, "{to}");
                    assert!(counted.of(Verdict::DispatchUnserved) > 0, "{counted:?}");
                }
                for neighbour in [story.edge(), &story.lab.pods[0]] {
                    let outcome = connect(neighbour, None, to, LONG);
                    assert_eq!(outcome, Connect::Refused, "{to} from {}", neighbour.name());
                }
            }
            for host in [&story.lab.client, story.edge(), &story.lab.pods[0]] {
                assert!(is_served(&story, host, None, vip));
            }
        }
    }
    // Nobody serves port 80 now, with XDP detached; then with it attached.
    for attached in [false, true] {
        if attached {
            story.start();
            assert!(story.xdp(EdgeLab::UPLINK).is_some());
        }
        story.kill();
        for vip in EdgeLab::VIPS {
            let to = SocketAddr::new(vip, 80);
            for host in [&story.lab.client, story.edge(), &story.lab.pods[0]] {
                assert_ne!(connect(host, None, to, SHORT), Connect::Open, "{}", host.name());
            }
        }
    }
    for listener in &foreign {
        listener.assert_untouched();
    }
}

#[test]
fn foreign_datagram_socket_is_never_reached() {
    let Some(mut story) = story() else { return };
    let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
    let foreign = story.edge().run(|| UdpSocket::bind(any)).unwrap();
    let port = foreign.local_addr().unwrap().port();
    foreign.set_nonblocking(true).unwrap();
    story.start();
    for attached in [true, false] {
        if !attached {
            story.detach_xdp();
        }
        let verdict = if attached { Verdict::UdpUnserved } else { Verdict::DispatchUnserved };
        for (family, vip) in EdgeLab::VIPS.into_iter().enumerate() {
            let local = SocketAddr::new(story.lab.client_addresses()[family], 0);
            let before = story.counters(vip).of(verdict);
            story.lab.client.run(|| {
                let socket = UdpSocket::bind(local).unwrap();
                socket.send_to(b"anybody there?", (vip, port)).unwrap();
            });
            eventually("the datagram was dropped", || story.counters(vip).of(verdict) > before);
            assert_eq!(foreign.recv(&mut [0; 64]).unwrap_err().kind(), ErrorKind::WouldBlock);
        }
    }
    // The socket itself works.
    let edge = SocketAddr::new(story.lab.edge_addresses()[0], port);
    let sender = story.lab.client.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
    sender.send_to(b"hello", edge).unwrap();
    eventually("a datagram to the host itself arrives", || foreign.recv(&mut [0; 64]).is_ok());
}

#[test]
fn rules_and_ports_of_one_vip_are_not_those_of_another() {
    let Some(mut story) = story() else { return };
    let other = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 81));
    story.lab.vip(other);
    story.configure(|config| {
        let [first] = &mut config.vips[..] else { panic!("a story has one VIP") };
        first.deny = vec![OUTSIDERS[0].into()];
        first.ports.retain(|port| port.port == 80);
        let mut second = first.clone();
        second.name = "other".to_owned();
        second.addresses = vec![other];
        second.deny = vec![EdgeLab::CLIENT[0].into()];
        second.ports = vec![PortConfig { port: 81, protocol: PortProtocol::Http }];
        config.vips.push(second);
    });
    story.start();
    let attempt = |vip: IpAddr, port: u16, source: IpAddr| {
        let to = SocketAddr::new(vip, port);
        story.counting(vip, || connect(&story.lab.client, Some(source), to, SHORT))
    };
    for (vip, port, source, outcome) in [
        (EdgeLab::VIP4, 80, EdgeLab::CLIENT[0], Ok(())),
        (EdgeLab::VIP4, 80, OUTSIDERS[0], Err(Verdict::Denied)),
        (EdgeLab::VIP4, 81, EdgeLab::CLIENT[0], Err(Verdict::PortUnserved)),
        (other, 81, OUTSIDERS[0], Ok(())),
        (other, 81, EdgeLab::CLIENT[0], Err(Verdict::Denied)),
        (other, 80, OUTSIDERS[0], Err(Verdict::PortUnserved)),
    ] {
        let (connected, counted) = attempt(vip, port, source);
        match outcome {
            Ok(()) => assert_eq!(connected, Connect::Open, "{source} to {vip}:{port}"),
            Err(verdict) => {
                assert_eq!(connected, Connect::TimedOut, "{source} to {vip}:{port}");
                assert!(counted.of(verdict) > 0, "{source} to {vip}:{port}: {counted:?}");
            }
        }
    }
}

#[test]
fn addresses_that_are_no_vip_keep_their_services() {
    let Some(mut story) = story() else { return };
    let own = Listener::bind(story.edge(), SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 80));
    story.start();
    for address in story.lab.edge_addresses() {
        let to = SocketAddr::new(address, 80);
        assert_eq!(connect(&story.lab.client, None, to, LONG), Connect::Open);
        let closed = SocketAddr::new(address, 81);
        assert_eq!(connect(&story.lab.client, None, closed, LONG), Connect::Refused);
        story.lab.client.output("ping", &["-c1", "-W5", &address.to_string()]);
    }
    drop(own);
}

#[test]
fn denied_source_is_refused_with_and_without_xdp() {
    let Some(mut story) = story() else { return };
    let pods = story.lab.pod_addresses(0);
    story.configure_vip(|vip| {
        vip.deny = OUTSIDERS.into_iter().chain(pods).map(Into::into).collect();
    });
    story.start();
    for attached in [true, false] {
        if !attached {
            story.detach_xdp();
        }
        for ((vip, outsider), pod) in EdgeLab::VIPS.into_iter().zip(OUTSIDERS).zip(pods) {
            let to = SocketAddr::new(vip, 80);
            let (outcome, counted) =
                story.counting(vip, || connect(&story.lab.client, Some(outsider), to, SHORT));
            if attached {
                assert_eq!(outcome, Connect::TimedOut);
                assert!(counted.of(Verdict::Denied) > 0, "{counted:?}");
            } else {
                assert_eq!(outcome, Connect::Refused);
                assert!(counted.of(Verdict::DispatchDenied) > 0, "{counted:?}");
            }
            // A pod's packets don't come by the uplink.
            let (outcome, counted) =
                story.counting(vip, || connect(&story.lab.pods[0], Some(pod), to, LONG));
            assert_eq!(outcome, Connect::Refused);
            assert!(counted.of(Verdict::DispatchDenied) > 0, "{counted:?}");
            assert!(is_served(&story, &story.lab.client, None, vip));
        }
    }
}

#[test]
fn allow_list_closes_the_vip_to_everybody_else_and_is_edited_live() {
    let Some(mut story) = story() else { return };
    let clients = story.lab.client_addresses();
    story.configure_vip(|vip| vip.allow = clients.into_iter().map(Into::into).collect());
    story.start();
    let attempt = |story: &Story, vip: IpAddr, source: IpAddr| {
        connect(&story.lab.client, Some(source), SocketAddr::new(vip, 80), SHORT)
    };
    for (vip, outsider) in EdgeLab::VIPS.into_iter().zip(OUTSIDERS) {
        assert_eq!(attempt(&story, vip, outsider), Connect::TimedOut);
        assert!(is_served(&story, &story.lab.client, None, vip));
    }
    story.configure_vip(|vip| vip.allow.extend(OUTSIDERS.map(ipnet::IpNet::from)));
    for (vip, outsider) in EdgeLab::VIPS.into_iter().zip(OUTSIDERS) {
        eventually("the new rule lets the source in", || {
            attempt(&story, vip, outsider) == Connect::Open
        });
        assert!(is_served(&story, &story.lab.client, Some(outsider), vip));
        assert!(is_served(&story, &story.lab.client, None, vip));
    }
}

#[test]
fn ports_and_addresses_of_a_vip_are_edited_live() {
    const PORT: u16 = 8080;
    let Some(mut story) = story() else { return };
    let second = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 81));
    story.lab.vip(second);
    story.start();
    let mut kept = Session::open(&story.lab.client, 0, (EdgeLab::VIP4, 80).into()).unwrap();
    assert_eq!(kept.get("shop.example", "/").unwrap(), 200);
    for vip in EdgeLab::VIPS {
        assert_eq!(story.connect(vip, PORT, SHORT), Connect::TimedOut);
    }

    story.configure_vip(|vip| {
        vip.ports.push(PortConfig { port: PORT, protocol: PortProtocol::Http });
        vip.addresses.push(second);
    });
    eventually("the new address is served", || {
        story.send(second, &Request::get("shop.example", "/")).is_ok()
    });
    for vip in [EdgeLab::VIP4, EdgeLab::VIP6, second] {
        let answer = Request::get("shop.example", "/").send(&story.lab.client, (vip, PORT).into());
        assert_eq!(answer.unwrap().status, 200, "{vip}");
        assert!(is_served(&story, &story.lab.client, None, vip));
    }

    story.configure_vip(|vip| {
        vip.ports.retain(|port| port.port != PORT);
        vip.addresses.retain(|&address| address != second);
    });
    eventually("the address is no local one any more", || {
        let local = story.edge().ip(&["-4", "route", "show", "table", "local"]);
        !local.contains(&second.to_string())
    });
    for vip in EdgeLab::VIPS {
        assert_eq!(story.connect(vip, PORT, SHORT), Connect::TimedOut);
        assert!(is_served(&story, &story.lab.client, None, vip));
    }
    assert_eq!(kept.get("shop.example", "/").unwrap(), 200);
}

#[test]
fn new_flow_budget_cuts_the_attacker_and_serves_the_innocent() {
    const BURST: u32 = 20;
    const ATTEMPTS: u64 = 10_000;
    let Some(mut story) = story() else { return };
    story.configure_vip(|vip| {
        vip.new_flow_budget = Some(NewFlowBudget { per_second: BURST, burst: BURST });
    });
    story.start();
    for (vip, attacker) in EdgeLab::VIPS.into_iter().zip(OUTSIDERS) {
        let to = SocketAddr::new(vip, 80);
        let ((), counted) = story.counting(vip, || {
            std::thread::scope(|scope| {
                let attack = scope.spawn(|| {
                    story.lab.client.run(|| (0..ATTEMPTS).for_each(|_| send_syn(attacker, to)));
                });
                // As many as the burst allows: every one must be served while the flood runs.
                for _ in 0..BURST {
                    assert!(is_served(&story, &story.lab.client, None, vip));
                }
                attack.join().unwrap();
            });
        });
        let cut = counted.of(Verdict::OverBudget);
        let passed = counted.of(Verdict::TcpSyn) - u64::from(BURST);
        println!("{vip}: {cut} SYNs of the attacker cut, {passed} passed");
        assert!(cut >= (cut + passed) * 99 / 100, "{counted:?}");
    }
}

/// One SYN of a connection that is given up at once.
fn send_syn(source: IpAddr, to: SocketAddr) {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    let _ = socket.connect(&to.into());
}
