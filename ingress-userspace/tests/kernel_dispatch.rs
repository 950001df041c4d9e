//! Promises of the kernel programs that need sockets and a stack, but no proxy.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use genkan::testing::require_root;
use ingress_common::policy::NewFlowBudget;
use ingress_common::vip::{VIP_BUDGET, VipValue};
use ingress_common::worker::Settings;
use ingress_common::{Family, Verdict};

#[path = "../src/net/packet.rs"]
#[allow(dead_code, unreachable_pub, reason = "part of the library for all other tests")]
mod builder;
#[path = "packet/kernel.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod kernel;
#[path = "packet/wire.rs"]
mod wire;
#[path = "packet/world.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod world;

use builder::{ACK, Packet, RST, SYN};
use kernel::{Kernel, enter_namespace, run};
use wire::Wire;
use world::{SIDES, Side, ip};

const WAIT: Duration = Duration::from_secs(3);

/// A node whose VIPs are local and whose two workers listen; `dispatch` is attached.
fn node() -> (Kernel, Wire) {
    enter_namespace();
    let wire = Wire::new();
    for side in SIDES {
        for vip in [side.open, side.guarded, side.closed] {
            let length = if vip.contains(':') { 128 } else { 32 };
            run(&format!("ip route add local {vip}/{length} dev lo"));
        }
    }
    let mut kernel = Kernel::load();
    kernel.listen(2);
    kernel.attach_dispatch();
    (kernel, wire)
}

/// A connection from the same host, by a chosen source address where one is given.
fn connect(source: Option<&str>, vip: &str, port: u16) -> std::io::Result<TcpStream> {
    use socket2::{Domain, Socket, Type};
    let vip = SocketAddr::new(ip(vip), port);
    let socket = Socket::new(Domain::for_address(vip), Type::STREAM, None)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(ip(source), 0).into())?;
    }
    socket.connect_timeout(&vip.into(), WAIT)?;
    Ok(socket.into())
}

fn accept(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    listener.set_nonblocking(true).unwrap();
    let end = Instant::now() + WAIT;
    loop {
        match listener.accept() {
            Ok(accepted) => return Some(accepted),
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                std::thread::yield_now();
            }
            Err(_) => return None,
        }
    }
}

fn family(side: Side) -> usize {
    let family = if side.name == "v4" { Family::V4 } else { Family::V6 };
    family as usize
}

fn counted(kernel: &mut Kernel, verdict: Verdict) -> u64 {
    kernel.counters().iter().filter(|(_, found, _)| *found == verdict).map(|(.., n)| n).sum()
}

#[test]
fn a_connection_goes_to_the_worker_of_the_cpu_and_keeps_its_addresses() {
    if !require_root() {
        return;
    }
    let (mut kernel, _wire) = node();
    for side in SIDES {
        for worker in [0, 1] {
            kernel.set_cpu_worker(worker);
            let client = connect(None, side.open, 443).unwrap();
            let listener = &kernel.listeners[family(side)][worker as usize];
            let (accepted, peer) = accept(listener).expect("this worker's listener has it");
            assert_eq!(accepted.local_addr().unwrap(), SocketAddr::new(ip(side.open), 443));
            assert_eq!(peer, client.local_addr().unwrap());
        }
    }
    assert_eq!(counted(&mut kernel, Verdict::DispatchCpu), 4);
}

#[test]
fn an_overloaded_or_absent_worker_is_spared() {
    if !require_root() {
        return;
    }
    let (mut kernel, _wire) = node();
    kernel.set_cpu_worker(0);
    kernel.set_connections(0, 200);
    let _first = connect(None, world::V4.open, 80).unwrap();
    assert!(accept(&kernel.listeners[0][1]).is_some(), "the least loaded one has it");
    kernel.set_connections(0, 0);
    drop(kernel.listeners[0].remove(0));
    let _second = connect(None, world::V4.open, 80).unwrap();
    assert!(accept(&kernel.listeners[0][0]).is_some(), "the one that is left has it");
    assert_eq!(counted(&mut kernel, Verdict::DispatchLeastLoaded), 2);
}

#[test]
fn a_vip_never_reaches_a_foreign_listener_attached_and_detached() {
    if !require_root() {
        return;
    }
    let (mut kernel, mut wire) = node();
    let foreign: Vec<TcpListener> = ["0.0.0.0", "::"]
        .iter()
        .flat_map(|any| [22, 80].map(|port| (*any, port)))
        .map(|(any, port)| kernel::listener(SocketAddr::new(ip(any), port)))
        .collect();
    for attached in [false, true] {
        if attached {
            wire.attach(&mut kernel);
        }
        for side in SIDES {
            let refused = connect(None, side.open, 22).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{}", side.name);
            connect(None, side.open, 80).unwrap();
            wire.send(&Packet::new(ip(side.client), ip(side.open)).tcp(40_000, 22, SYN));
            wire.send(&Packet::new(ip(side.client), ip(side.open)).tcp(40_001, 80, SYN));
            let answer = wire.tcp_answer(side, 40_001).expect("port 80 is ours");
            assert_eq!(answer.flags, SYN | ACK);
            wire.send(&Packet::new(ip(side.client), ip(side.open)).tcp(40_001, 80, RST));
        }
    }
    for listener in foreign {
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    assert_eq!(counted(&mut kernel, Verdict::PortUnserved), 2);
}

#[test]
fn a_denied_source_stays_denied_attached_detached_and_on_the_same_node() {
    if !require_root() {
        return;
    }
    let (mut kernel, mut wire) = node();
    for attached in [false, true] {
        if attached {
            wire.attach(&mut kernel);
        }
        for side in SIDES {
            let syn = |source, port| Packet::new(ip(source), ip(side.guarded)).tcp(port, 80, SYN);
            wire.send(&syn(side.denied, 41_000));
            wire.send(&syn(side.client, 41_001));
            let answer = wire.tcp_answer(side, 41_001).expect("the others are served");
            assert_eq!(answer.flags, SYN | ACK, "{} attached {attached}", side.name);
            wire.send(&Packet::new(ip(side.client), ip(side.guarded)).tcp(41_001, 80, RST));
        }
    }
    let denied = counted(&mut kernel, Verdict::DispatchDenied);
    assert_eq!((denied, counted(&mut kernel, Verdict::Denied)), (2, 2));

    // From a process of this node, past XDP.
    for side in SIDES {
        let length = if side.denied.contains(':') { "128 nodad" } else { "32" };
        run(&format!("ip addr add dev lo {}/{length}", side.denied));
        let refused = connect(Some(side.denied), side.guarded, 80).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
}

/// The cookie is kept by the group of listeners: whichever takes the ACK knows it.
#[test]
fn cookie_ack_on_other_worker() {
    if !require_root() {
        return;
    }
    let (mut kernel, mut wire) = node();
    run("sysctl -qw net.ipv4.tcp_syncookies=2");
    for attached in [false, true] {
        if attached {
            wire.attach(&mut kernel);
        }
        for side in SIDES {
            for round in 0..10u16 {
                let port = 42_000 + u16::from(attached) * 100 + round;
                let to_vip = Packet::new(ip(side.client), ip(side.open));
                kernel.set_cpu_worker(0);
                wire.send(&to_vip.clone().tcp(port, 80, SYN));
                let answer = wire.tcp_answer(side, port).expect("an answer to the SYN");
                assert_eq!(answer.flags, SYN | ACK);
                kernel.set_cpu_worker(1);
                let mut ack = builder::tcp(port, 80, ACK);
                ack[4..8].copy_from_slice(&2u32.to_be_bytes());
                ack[8..12].copy_from_slice(&(answer.sequence.wrapping_add(1)).to_be_bytes());
                wire.send(&to_vip.payload(6, &ack));
                let (_, peer) = accept(&kernel.listeners[family(side)][1])
                    .unwrap_or_else(|| panic!("{} round {round}: not accepted", side.name));
                assert_eq!(peer, SocketAddr::new(ip(side.client), port));
            }
        }
    }
}

#[test]
fn syns_wait_while_no_worker_listens_and_are_refused_afterwards() {
    if !require_root() {
        return;
    }
    let (mut kernel, mut wire) = node();
    wire.attach(&mut kernel);
    kernel.listeners = [Vec::new(), Vec::new()];
    for side in SIDES {
        let syn = |port| Packet::new(ip(side.client), ip(side.open)).tcp(port, 80, SYN);
        wire.send(&syn(43_000));
        let settings = |grace| Settings { workers: 2, grace, ..Settings::default() };
        kernel.set_settings(settings(0));
        wire.send(&syn(43_001));
        let answer = wire.tcp_answer(side, 43_001).expect("the kernel refuses");
        assert_eq!(answer.flags, RST | ACK);
        kernel.set_settings(settings(u64::MAX));
    }
    for verdict in [Verdict::ListenerAway, Verdict::TcpNoListener, Verdict::DispatchNoListener] {
        assert_eq!(counted(&mut kernel, verdict), 2, "{verdict:?}");
    }
}

#[test]
fn cuts_an_attacker_by_99_percent_and_serves_the_others() {
    if !require_root() {
        return;
    }
    let (mut kernel, _wire) = node();
    for side in SIDES {
        let value = VipValue {
            flags: VIP_BUDGET,
            budget: NewFlowBudget::new(1, 10),
            ..VipValue::serving(0, &[80], &[]).unwrap()
        };
        kernel.set_vip(ip(side.open).into(), value);
        kernel.take_counters();
        let syn = |source: IpAddr, port| Packet::new(source, ip(side.open)).tcp(port, 80, SYN);
        for port in 0..10_000 {
            kernel.steer(&syn(ip(side.denied), 1_024 + port));
        }
        let passed = counted(&mut kernel, Verdict::TcpSyn);
        assert!(passed <= 100, "{passed} of 10000 SYNs of the attacker passed");
        kernel.take_counters();
        for host in 0..1_000u32 {
            let source: IpAddr = match side.name {
                "v4" => std::net::Ipv4Addr::from_bits(0xc612_0000 + host).into(),
                _ => {
                    let network = 0x2001_0db8_0005_0000u128 << 64;
                    std::net::Ipv6Addr::from_bits(network + (u128::from(host) << 64) + 1).into()
                }
            };
            kernel.steer(&syn(source, 5_000));
        }
        let served = counted(&mut kernel, Verdict::TcpSyn);
        assert!(served >= 990, "{served} of 1000 other sources were served");
    }
}
