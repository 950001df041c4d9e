//! An edge of two processes: the one that reads bytes from the Internet has no right at all, and
//! either may end while the other goes on.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use genkan::testing::deadline::{DEADLINE, eventually};
use genkan::testing::lab::{EdgeLab, Process};
use genkan::testing::story::{Ingress, Load, Request, Story};
use genkan::testing::{require_root, require_tool};
use nix::sys::signal::Signal;

const PROGRAM: &str = env!("CARGO_BIN_EXE_genkan");

fn load() -> Option<Load> {
    (require_root() && require_tool("setpriv")).then(|| Load::new(PROGRAM, 2))
}

fn assert_serves(story: &Story) {
    for vip in EdgeLab::VIPS {
        let answer = story.get(vip, Load::HOST, "/");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// A line of `/proc/PID/status`.
fn status(process: &Process, name: &str) -> String {
    let path = format!("/proc/{}/status", process.id());
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    line.trim_start_matches(':').trim().to_owned()
}

/// Open files that are no sockets, no pipes and nothing that a runtime waits with.
fn files(process: &Process) -> Vec<String> {
    const PLAIN: [&str; 4] = ["socket:", "pipe:", "anon_inode:[event", "/dev/null"];
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap();
    let names = descriptors.filter_map(|descriptor| {
        // One may be closed at this moment.
        let target = std::fs::read_link(descriptor.ok()?.path()).ok()?;
        Some(target.to_string_lossy().into_owned())
    });
    names.filter(|name| !PLAIN.iter().any(|plain| name.starts_with(plain))).collect()
}

#[test]
fn a_proxy_without_any_right_serves_what_comes_through_xdp() {
    let Some(mut load) = load() else { return };
    let story = &mut load.story;
    story.start_agent();
    let proxy = story.start_proxy();
    assert_serves(story);
    assert!(status(&proxy, "Uid").split_whitespace().all(|uid| uid == "65534"));
    for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        assert_eq!(u64::from_str_radix(&status(&proxy, set), 16).unwrap(), 0, "{set}");
    }
    assert_eq!((status(&proxy, "NoNewPrivs"), status(&proxy, "Seccomp")), ("1".into(), "2".into()));
    assert_eq!(files(&proxy), [""; 0], "it has sockets, pipes, and what it waits with");
    // Changes of objects and of the configuration arrive.
    let more = Ingress::new("more").rule("more.example", "/", "pod-1");
    story.manifests.write("more.yaml", &more.yaml());
    story.wait_for_status("more.example", "/", 200);
    story.configure(|config| config.limits.request_line = 256);
    let long = format!("/{}", "a".repeat(300));
    story.wait_for_status(Load::HOST, &long, 414);
    // What a process that is both does not export.
    let told = story.admin().get("/metrics").unwrap().text();
    for name in ["genkan_proxy_connected", "genkan_proxy_snapshot_version", "genkan_proxies_total"]
    {
        assert!(told.lines().any(|line| line.starts_with(name)), "no {name} in\n{told}");
    }
}

#[test]
fn an_agent_that_is_killed_and_comes_back_costs_no_request() {
    let Some(mut load) = load() else { return };
    load.story.start_agent();
    let mut proxy = load.story.start_proxy();
    load.start_traffic(load.mix());
    for round in 0..2 {
        load.story.kill();
        load.traffic().wait_for_requests(20);
        // What changes meanwhile is served when it is back.
        let host = format!("round-{round}.example");
        let more = Ingress::new(&format!("round-{round}")).rule(&host, "/", "pods");
        load.story.manifests.write(&format!("round-{round}.yaml"), &more.yaml());
        load.story.start_agent();
        load.story.wait_for_status(&host, "/", 200);
        load.traffic().wait_for_requests(20);
    }
    let tally = load.finish();
    tally.assert_untouched();
    assert!(proxy.is_running(), "{}", proxy.output());
}

#[test]
fn connections_wait_for_the_next_proxy_when_one_is_killed() {
    let Some(mut load) = load() else { return };
    let story = &mut load.story;
    story.configure(|config| config.steering.listener_grace = Duration::from_secs(60));
    story.start_agent();
    let mut proxy = story.start_proxy();
    assert_serves(story);
    proxy.signal(Signal::SIGKILL);
    proxy.wait(DEADLINE);
    let client = story.lab.client.clone();
    let waiting = std::thread::spawn(move || {
        let to = SocketAddr::new(EdgeLab::VIP4, 80);
        Request::get(Load::HOST, "/").send(&client, to)
    });
    // The agent has noticed, and goes on.
    story.wait_for_log("the proxy is out of sight");
    assert!(!waiting.is_finished(), "nobody is there to answer or to refuse");
    let _next = story.spawn_proxy();
    assert_eq!(waiting.join().unwrap().unwrap().status, 200);
    assert_serves(story);
}

#[test]
fn a_proxy_that_is_killed_under_load_costs_its_own_connections_and_no_others() {
    let Some(mut load) = load() else { return };
    load.story.configure(|config| config.steering.listener_grace = Duration::from_secs(60));
    load.story.start_agent();
    let mut proxy = load.story.start_proxy();
    let mix = load.mix();
    let clients = mix.http1_clients
        + mix.fresh_clients
        + mix.http2_clients
        + mix.websockets
        + mix.grpc_streams;
    load.start_traffic(mix);
    proxy.signal(Signal::SIGKILL);
    let killed = Instant::now();
    proxy.wait(DEADLINE);
    let next = load.story.spawn_proxy();
    load.traffic().wait_for_requests(1);
    let gap = killed.elapsed();
    load.traffic().wait_for_requests(100);
    let tally = load.finish();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let lost = count(&tally.failed) + count(&tally.closed);
    println!("killed: {lost} connections of {clients} clients lost, served again after {gap:?}");
    // Each client has one connection; its next one may have met a worker that was about to go.
    assert!((1..=2 * clients as u64).contains(&lost), "{lost}: {:?}", tally.first_failure());
    assert_serves(&load.story);
    drop(next);
}

#[test]
fn a_new_proxy_takes_the_place_of_one_that_serves_and_nothing_is_lost() {
    let Some(mut load) = load() else { return };
    load.story.start_agent();
    let mut old = load.story.start_proxy();
    load.start_traffic(load.mix());
    let next = load.story.start_proxy();
    old.wait_for_line("draining", DEADLINE);
    load.traffic().wait_for_requests(20);
    let left = old.wait(DEADLINE);
    assert_eq!(left.code(), Some(0), "{}", old.output());
    load.traffic().wait_for_requests(20);
    load.finish().assert_untouched();
    assert_serves(&load.story);
    drop(next);
}

#[test]
fn a_proxy_that_is_told_to_stop_lets_the_next_one_have_its_clients() {
    let Some(mut load) = load() else { return };
    let story = &mut load.story;
    story.configure(|config| config.steering.listener_grace = Duration::from_secs(60));
    story.start_agent();
    let mut proxy = story.start_proxy();
    assert_serves(story);
    proxy.signal(Signal::SIGTERM);
    story.wait_for_log("the proxy leaves");
    assert_eq!(proxy.wait(DEADLINE).code(), Some(0), "{}", proxy.output());
    let next = story.spawn_proxy();
    eventually("the next proxy serves", || {
        story.send(EdgeLab::VIP4, &Request::get(Load::HOST, "/")).is_ok()
    });
    drop(next);
}

#[test]
fn root_is_no_user_for_a_proxy() {
    if !require_root() {
        return;
    }
    let refused = std::process::Command::new(PROGRAM).arg("proxy").output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("--allow-root"), "{text}");
}
