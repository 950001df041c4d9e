//! What happens at the edge when a part fails, goes, or was never there.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use genkan::admin::status::Status;
use genkan::net::cpu::allowed;
use genkan::testing::backend;
use genkan::testing::deadline::{DEADLINE, eventually, eventually_some};
use genkan::testing::lab::{EdgeLab, PASS_PROGRAM};
use genkan::testing::require::{require, require_root};
use genkan::testing::story::{Answer, Connect, Ingress, Request, Session, Story, connect};
use ingress_common::verdict::Verdict;
use nix::sys::signal::Signal;

/// Long enough for an answer on this machine; that nothing came is proven by the counters.
const SHORT: Duration = Duration::from_millis(700);

/// An edge that serves `shop.example` from two pods.
fn story() -> Option<Story> {
    if !require_root() {
        return None;
    }
    let story = Story::new(env!("CARGO_BIN_EXE_genkan"), 2);
    story.write_services();
    story
        .manifests
        .write("shop.yaml", &Ingress::new("shop").rule("shop.example", "/", "pods").yaml());
    Some(story)
}

fn assert_serves(story: &Story) {
    for vip in EdgeLab::VIPS {
        let answer = story.get(vip, "shop.example", "/");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!answer.pod().is_empty(), "{answer:?}");
    }
}

#[test]
fn unserved_port_is_dropped_and_a_served_one_without_listener_waits_then_refuses() {
    let Some(mut story) = story() else { return };
    story.configure(|config| config.steering.listener_grace = Duration::from_secs(3));
    story.start();
    for vip in EdgeLab::VIPS {
        let (outcome, counted) = story.counting(vip, || story.connect(vip, 8443, SHORT));
        assert_eq!(outcome, Connect::TimedOut);
        assert!(counted.of(Verdict::PortUnserved) > 0, "{counted:?}");
    }
    story.kill();
    for vip in EdgeLab::VIPS {
        let (outcome, counted) = story.counting(vip, || story.connect(vip, 80, SHORT));
        assert_eq!(outcome, Connect::TimedOut);
        assert!(counted.of(Verdict::ListenerAway) > 0, "{counted:?}");
        let ((), counted) = story.counting(vip, || {
            eventually("the grace time ends", || story.connect(vip, 80, SHORT) == Connect::Refused);
        });
        assert!(counted.of(Verdict::TcpNoListener) > 0, "{counted:?}");
        assert!(counted.of(Verdict::DispatchNoListener) > 0, "{counted:?}");
    }
}

#[test]
fn process_killed_leaves_pins_and_connections_wait_for_the_next_one() {
    let Some(mut story) = story() else { return };
    story.configure(|config| config.steering.listener_grace = Duration::from_secs(60));
    story.start();
    assert_serves(&story);
    let pins = story.pins();
    assert!(!pins.is_empty());
    story.kill();
    assert_eq!(story.pins(), pins);
    assert!(story.xdp(EdgeLab::UPLINK).unwrap().native);

    let client = story.lab.client.clone();
    let waiting = EdgeLab::VIPS.map(|vip| {
        let client = client.clone();
        std::thread::spawn(move || {
            Request::get("shop.example", "/").send(&client, SocketAddr::new(vip, 80))
        })
    });
    for vip in EdgeLab::VIPS {
        eventually("the SYN of the waiting client was dropped", || {
            story.counters(vip).of(Verdict::ListenerAway) > 0
        });
    }
    story.start();
    for answer in waiting {
        assert_eq!(answer.join().unwrap().unwrap().status, 200);
    }
    assert_serves(&story);
    assert_eq!(story.pins(), pins);
}

#[test]
fn worker_panics_and_another_takes_its_slot() {
    let cpus = allowed().unwrap();
    if !require(cpus.len() >= 2, "needs two CPUs") {
        return;
    }
    let Some(mut story) = story() else { return };
    story.configure(|config| config.workers.count = Some(2)).start();
    let to = SocketAddr::new(EdgeLab::VIP4, 80);
    for round in 1..=3 {
        let mut sessions = [0, 1].map(|worker| {
            let mut session = Session::open(&story.lab.client, cpus[worker], to).unwrap();
            assert_eq!(session.get("shop.example", "/").unwrap(), 200);
            let client = session.local_address();
            let served = eventually_some("the request is in the log", || story.worker_of(client));
            assert_eq!(served, worker, "the worker of CPU {}", cpus[worker]);
            session
        });
        story.process().signal(Signal::SIGUSR2);
        eventually("the panic of the worker is reported", || {
            story.log().matches("panicked: asked").count() >= round
        });
        let [gone, stays] = &mut sessions;
        assert!(gone.get("shop.example", "/").is_err());
        assert_eq!(stays.get("shop.example", "/").unwrap(), 200);
        // The other worker serves meanwhile; only a connection that the dead one had is lost.
        for vip in EdgeLab::VIPS {
            eventually("the edge serves", || {
                story.send(vip, &Request::get("shop.example", "/")).is_ok()
            });
        }
        eventually("both workers listen for both families", || listeners(&story) == 4);
        for _ in 0..10 {
            assert_serves(&story);
        }
        assert_eq!(stays.get("shop.example", "/").unwrap(), 200);
    }
    assert!(story.process().is_running());
}

/// Listening TCP sockets of the edge.
fn listeners(story: &Story) -> usize {
    story.edge().output("ss", &["-Hltn"]).lines().count()
}

#[test]
fn foreign_xdp_program_stays_and_the_kernel_path_serves() {
    let Some(mut story) = story() else { return };
    story.edge().attach_pass_program(EdgeLab::UPLINK);
    story.start();
    let xdp = story.xdp(EdgeLab::UPLINK).unwrap();
    assert_eq!(xdp.program, PASS_PROGRAM);
    let log = story.log();
    assert!(log.contains(PASS_PROGRAM), "{log}");
    for vip in EdgeLab::VIPS {
        let (answer, counted) = story.counting(vip, || story.get(vip, "shop.example", "/"));
        assert_eq!(answer.status, 200);
        assert_eq!((counted.dispatched(), counted.of(Verdict::TcpSyn)), (1, 0), "{counted:?}");
        // No flood defence, but no rule is lost.
        assert_eq!(story.connect(vip, 22, DEADLINE), Connect::Refused);
    }
}

#[test]
fn device_without_native_xdp_is_served_generically_with_the_reason() {
    let Some(mut story) = story() else { return };
    // A bridge over the uplink: its driver has no XDP.
    let edge = story.edge();
    edge.ip(&["link", "add", "bridge", "type", "bridge"]);
    edge.ip(&["link", "set", "bridge", "up"]);
    edge.ip(&["addr", "flush", "dev", EdgeLab::UPLINK]);
    edge.ip(&["link", "set", EdgeLab::UPLINK, "master", "bridge"]);
    for address in story.lab.edge_addresses() {
        let length = if address.is_ipv4() { 24 } else { 64 };
        edge.address("bridge", &format!("{address}/{length}"));
    }
    for gateway in story.lab.router_addresses() {
        edge.route("default", gateway);
    }
    story.configure_vip(|vip| vip.interfaces = vec!["bridge".to_owned()]).start();
    assert!(!story.xdp("bridge").unwrap().native);
    let line = story.wait_for_log("generic");
    assert!(line.contains("bridge"), "{line}");
    for vip in EdgeLab::VIPS {
        let (answer, counted) = story.counting(vip, || story.get(vip, "shop.example", "/"));
        assert_eq!(answer.status, 200);
        assert_eq!(counted.of(Verdict::TcpSyn), 1, "{counted:?}");
    }
}

#[test]
fn no_bpf_serves_and_says_what_is_missing() {
    let Some(mut story) = story() else { return };
    let pods = story.lab.pod_addresses(1);
    story.configure_vip(|vip| vip.deny = pods.into_iter().map(Into::into).collect());
    story.with_arguments(&["--no-bpf"]).start();
    assert_eq!(story.xdp(EdgeLab::UPLINK), None);
    assert!(story.pins().is_empty());
    let log = story.log();
    assert!(log.contains("without kernel programs"), "{log}");
    assert_serves(&story);
    let clients = story.lab.client_addresses();
    for ((vip, client), pod) in EdgeLab::VIPS.into_iter().zip(clients).zip(pods) {
        let answer = story.get(vip, "shop.example", "/");
        assert_eq!(answer.upstream_header("x-forwarded-for"), client.to_string());
        // The connection opens before the rule is asked, and ends without an answer.
        let denied = Request::get("shop.example", "/").from_source(pod);
        let denied = denied.send(&story.lab.pods[1], SocketAddr::new(vip, 80));
        assert!(denied.is_err(), "{denied:?}");
    }
    assert_eq!(story.terminate().code(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let Some(mut story) = story() else { return };
    story.start_with_a_stuck_log();
    // More problems than the pipe holds.
    let bad = |number: usize| {
        let name = format!("bad-{number}");
        Ingress::new(&name).rule("shop.example", "no-path", "pods").yaml()
    };
    let bad: Vec<String> = (0..1000).map(bad).collect();
    story.manifests.write("bad.yaml", &bad.join("---\n"));
    let more = Ingress::new("more").rule("more.example", "/", "pods");
    story.manifests.write("more.yaml", &more.yaml());
    story.wait_for_status("more.example", "/", 200);
    assert_serves(&story);
    let status: Status = story.admin().document("/status?lists=").unwrap();
    assert!(status.configuration.problems >= 1000, "{:?}", status.configuration);
    assert_eq!(story.terminate().code(), Some(0));
}

#[test]
fn drains_on_sigterm_and_exits_cleanly() {
    let Some(mut story) = story() else { return };
    for backend in &story.backends {
        backend.on("/slow", slow_answer());
    }
    story.start();
    let slow = spawn_slow_request(&story, "shop.example");
    let status = story.terminate();
    assert_eq!(status.code(), Some(0), "{status:?}");
    assert_is_slow_answer(slow);
}

#[test]
fn drain_waits_no_longer_than_its_limit() {
    let Some(mut story) = story() else { return };
    for backend in &story.backends {
        backend.on("/slow", slow_answer().with_pace(Duration::from_secs(10)));
    }
    story.configure(|config| config.timeouts.drain = Duration::from_secs(1)).start();
    let slow = spawn_slow_request(&story, "shop.example");
    story.terminate();
    assert!(slow.join().unwrap().is_err(), "the answer takes minutes");
}

#[test]
fn detach_leaves_nothing_on_the_node() {
    let Some(mut story) = story() else { return };
    let routes = |story: &Story| {
        let edge = story.edge();
        let [v4, v6] =
            ["-4", "-6"].map(|family| edge.ip(&[family, "route", "show", "table", "all"]));
        let vips = EdgeLab::VIPS.map(|vip| vip.to_string());
        let mut lines: Vec<String> = v4.lines().chain(v6.lines()).map(str::to_owned).collect();
        lines.retain(|line| vips.iter().any(|vip| line.contains(vip.as_str())));
        lines
    };
    assert!(routes(&story).is_empty());
    story.start();
    assert_serves(&story);
    assert_eq!(routes(&story).len(), 2, "{:?}", routes(&story));
    assert_eq!(story.terminate().code(), Some(0));
    let output = story.genkan(&["detach"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(story.pins(), Vec::<String>::new());
    assert_eq!(story.xdp(EdgeLab::UPLINK), None);
    assert!(routes(&story).is_empty(), "{:?}", routes(&story));
    // Once more: nothing to do is no failure.
    assert!(story.genkan(&["detach"]).status.success());
    story.start();
    assert_serves(&story);
}

#[test]
fn successor_serves_every_connection_while_the_first_process_leaves() {
    let Some(mut story) = story() else { return };
    story.backends[0].on("/slow", slow_answer());
    let one = Ingress::new("one").rule("one.example", "/", "pod-0").yaml();
    story.manifests.write("one.yaml", &one);
    story.start();
    assert_serves(&story);
    let slow = spawn_slow_request(&story, "one.example");
    let client = story.lab.client.clone();
    let stop = AtomicBool::new(false);
    let opened = std::thread::scope(|scope| {
        let connecting = scope.spawn(|| {
            let mut opened = 0;
            while !stop.load(Ordering::Relaxed) {
                for vip in EdgeLab::VIPS {
                    let to = SocketAddr::new(vip, 80);
                    let answer = Request::get("shop.example", "/").send(&client, to);
                    assert_eq!(answer.unwrap().status, 200, "connection {opened}");
                    opened += 1;
                }
            }
            opened
        });
        let mut first = story.start_successor();
        first.signal(Signal::SIGTERM);
        let status = first.wait(DEADLINE);
        assert_eq!(status.code(), Some(0), "{}", first.output());
        assert_serves(&story);
        stop.store(true, Ordering::Relaxed);
        connecting.join().unwrap()
    });
    println!("{opened} connections during the change of processes");
    assert_is_slow_answer(slow);
    let to = SocketAddr::new(EdgeLab::VIP4, 22);
    assert_eq!(connect(&story.lab.client, None, to, SHORT), Connect::TimedOut);
}

/// A megabyte over some seconds: longer than a process takes to start.
fn slow_answer() -> backend::Answer {
    backend::Answer::size(1 << 20).with_pace(Duration::from_millis(60))
}

/// Asks for `/slow` and returns when the pod has the request.
fn spawn_slow_request(story: &Story, host: &str) -> JoinHandle<anyhow::Result<Answer>> {
    let (client, request) = (story.lab.client.clone(), Request::get(host, "/slow"));
    let slow =
        std::thread::spawn(move || request.send(&client, SocketAddr::new(EdgeLab::VIP4, 80)));
    let is_slow = |request: &backend::Recorded| request.uri.path() == "/slow";
    eventually("the slow request runs", || {
        story.backends.iter().any(|backend| backend.requests().iter().any(is_slow))
    });
    slow
}

fn assert_is_slow_answer(slow: JoinHandle<anyhow::Result<Answer>>) {
    let answer = slow.join().unwrap().unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 1 << 20));
}

#[test]
fn next_process_follows_what_changed_while_none_ran() {
    let Some(mut story) = story() else { return };
    story.start();
    assert_serves(&story);
    story.kill();
    story.configure_vip(|vip| {
        vip.ports.retain(|port| port.port == 80);
        vip.addresses.retain(|address| address.is_ipv4());
    });
    story
        .manifests
        .write("shop.yaml", &Ingress::new("new").rule("new.example", "/", "pods").yaml());
    story.start();
    let vip = EdgeLab::VIP4;
    assert_eq!(story.get(vip, "new.example", "/").status, 200);
    assert_eq!(story.get(vip, "shop.example", "/").status, 404);
    let (outcome, counted) = story.counting(vip, || story.connect(vip, 443, SHORT));
    assert_eq!(outcome, Connect::TimedOut);
    assert!(counted.of(Verdict::PortUnserved) > 0, "{counted:?}");
    let local = story.edge().ip(&["-6", "route", "show", "table", "local"]);
    assert!(!local.contains(&EdgeLab::VIP6.to_string()), "{local}");
}

#[test]
fn pod_that_went_away_is_passed_over() {
    let Some(mut story) = story() else { return };
    story.start();
    for _ in 0..8 {
        assert_serves(&story);
    }
    // Its slice still names it.
    drop(story.backends.remove(1));
    for vip in EdgeLab::VIPS {
        for _ in 0..10 {
            let answer = story.get(vip, "shop.example", "/");
            assert_eq!((answer.status, answer.pod()), (200, "pod-0"), "{}", story.log());
        }
    }
}
