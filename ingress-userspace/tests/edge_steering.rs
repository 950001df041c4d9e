//! How packets and connections come to the workers of an edge, and how it is told.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use genkan::net::cpu::allowed;
use genkan::testing::backend;
use genkan::testing::deadline::eventually_some;
use genkan::testing::lab::EdgeLab;
use genkan::testing::require::{require, require_root};
use genkan::testing::story::{Connect, Ingress, Request, Session, Story};
use ingress_common::verdict::Verdict;

/// An edge that serves `shop.example` from one pod.
fn story() -> Option<Story> {
    if !require_root() {
        return None;
    }
    let story = Story::new(env!("CARGO_BIN_EXE_genkan"), 1);
    story.write_services();
    let shop = Ingress::new("shop").rule("shop.example", "/", "pods");
    story.manifests.write("shop.yaml", &shop.yaml());
    Some(story)
}

#[test]
fn connections_stay_on_their_cpu_until_its_worker_is_overloaded() {
    const CONNECTIONS: usize = 100;
    const TRIES: usize = 20;
    let cpus = allowed().unwrap();
    if !require(cpus.len() >= 2, "needs two CPUs") {
        return;
    }
    let Some(mut story) = story() else { return };
    story.configure(|config| config.workers.count = Some(2)).start();
    for vip in EdgeLab::VIPS {
        let to = SocketAddr::new(vip, 80);
        let open = |cpu: u32| {
            let mut session = Session::open(&story.lab.client, cpu, to).unwrap();
            assert_eq!(session.get("shop.example", "/").unwrap(), 200);
            session
        };
        let worker = |session: &Session| {
            let client = session.local_address();
            eventually_some("the request is in the log", || story.worker_of(client))
        };
        for (index, &cpu) in cpus[..2].iter().enumerate() {
            let own = (0..TRIES).filter(|_| {
                let (session, counted) = story.counting(vip, || open(cpu));
                assert_eq!(counted.of(Verdict::DispatchCpu), 1, "{counted:?}");
                worker(&session) == index
            });
            // A veth device whose poll already runs on the other CPU takes the SYN along there; the
            // worker is then that CPU's, rightly. By chance alone half would be the client's.
            let own = own.count();
            assert!(own * 4 >= TRIES * 3, "{vip}: {own} of {TRIES} stayed on CPU {cpu}");
        }
        let (sessions, counted) =
            story.counting(vip, || (0..CONNECTIONS).map(|_| open(cpus[0])).collect::<Vec<_>>());
        assert!(counted.of(Verdict::DispatchLeastLoaded) > 0, "{counted:?}");
        let first = sessions.iter().filter(|session| worker(session) == 0).count();
        // 1.25 x mean + 16, and the one that was let in before the load was known.
        let limit = CONNECTIONS / 2 * 5 / 4 + 16 + 1;
        println!("{vip}: {first} of {CONNECTIONS} connections went to the worker of the CPU");
        assert!((CONNECTIONS / 2..=limit).contains(&first), "{first} {counted:?}");
    }
}

#[test]
fn events_name_what_became_of_packets() {
    let Some(mut story) = story() else { return };
    story.configure(|config| config.steering.event_sample = 1);
    story.with_arguments(&["--events"]).start();
    for (vip, client) in EdgeLab::VIPS.into_iter().zip(story.lab.client_addresses()) {
        assert_eq!(story.get(vip, "shop.example", "/").status, 200);
        assert_eq!(story.connect(vip, 22, Duration::from_millis(300)), Connect::TimedOut);
        for (verdict, port) in [(Verdict::TcpSyn, 80), (Verdict::PortUnserved, 22)] {
            let to = SocketAddr::new(vip, port).to_string();
            eventually_some("the event is printed", || {
                let log = story.log();
                let mut lines = log.lines().filter(|line| line.starts_with("edge: "));
                let told =
                    lines.find(|line| line.contains(verdict.name()) && line.contains(&to))?;
                told.contains(&client.to_string()).then_some(())
            });
        }
    }
}

#[test]
fn packets_spread_over_cpus_by_cpumap_are_served() {
    let Some(mut story) = story() else { return };
    story.backends[0].on("/mirror", backend::Answer::mirror());
    story.configure(|config| config.steering.cpumap = 2).start();
    assert!(story.xdp(EdgeLab::UPLINK).unwrap().native);
    for (vip, client) in EdgeLab::VIPS.into_iter().zip(story.lab.client_addresses()) {
        let (answer, counted) = story.counting(vip, || story.get(vip, "shop.example", "/"));
        assert_eq!(answer.upstream_header("x-real-ip"), client.to_string());
        assert_eq!((counted.of(Verdict::TcpSyn), counted.dispatched()), (1, 1), "{counted:?}");
        let body: Bytes = (0..=u8::MAX).cycle().take(300 << 10).collect();
        let answer = story.send(vip, &Request::post("shop.example", "/mirror", body.clone()));
        assert!(answer.unwrap().body == body, "the mirrored body differs");
    }
    let statistics = story.edge().output("ethtool", &["-S", EdgeLab::UPLINK]);
    let mut redirected = statistics.lines().filter(|line| line.contains("xdp_redirect:"));
    assert!(redirected.any(|line| !line.ends_with(": 0")), "{statistics}");
}

#[test]
fn path_mtu_discovery_reaches_the_connection_behind_the_vip() {
    const SIZE: usize = 700 << 10;
    let Some(mut story) = story() else { return };
    story.backends[0].on("/large", backend::Answer::size(SIZE));
    // Only the router knows that the way to the client is narrow.
    story.lab.router.ip(&["link", "set", "dev", "client0", "mtu", "1300"]);
    story.start();
    for vip in EdgeLab::VIPS {
        let (answer, counted) = story.counting(vip, || story.get(vip, "shop.example", "/large"));
        assert_eq!((answer.status, answer.body.len()), (200, SIZE));
        assert!(counted.of(Verdict::IcmpError) > 0, "{counted:?}");
    }
}
