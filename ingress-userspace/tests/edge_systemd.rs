//! The unit of `deploy/systemd` under a real systemd: started, reloaded, watched and stopped.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use genkan::config::admin::AdminSocket;
use genkan::testing::backend::Answer;
use genkan::testing::deadline::eventually;
use genkan::testing::lab::EdgeLab;
use genkan::testing::service_host::ServiceHost;
use genkan::testing::story::{Load, Request};
use genkan::testing::{require_root, require_tool};

const PROGRAM: &str = env!("CARGO_BIN_EXE_genkan");
const UNIT: &str = "genkan.service";

/// Clients, pods, and a node whose systemd has the unit and has not started it.
fn node() -> Option<(Load, ServiceHost)> {
    if !require_root() || !require_tool("systemctl") {
        return None;
    }
    let mut load = Load::new(PROGRAM, 2);
    load.story.configure(|config| {
        // Where the unit's programs find it.
        config.admin.socket = AdminSocket::At("/run/genkan/admin.sock".into());
        config.workers.count = Some(2);
    });
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd").join(UNIT);
    let configuration = load.story.config_file().parent().unwrap();
    let node = ServiceHost::boot(load.story.edge(), &unit, Path::new(PROGRAM), configuration);
    // Nothing keeps a journal there.
    let log = "[Service]\nStandardError=append:/etc/genkan/log\n";
    node.drop_in(UNIT, "log", log);
    Some((load, node))
}

fn log_file(load: &Load) -> PathBuf {
    load.story.config_file().with_file_name("log")
}

/// With the log of the unit when it does not.
fn start(load: &Load, node: &ServiceHost) {
    let output = node.systemctl(&["start", UNIT]);
    let log = std::fs::read_to_string(log_file(load)).unwrap_or_default();
    assert!(output.status.success(), "{output:?}\n{log}");
}

/// In the process namespace of the node.
fn main_process(node: &ServiceHost) -> i32 {
    node.property(UNIT, "MainPID").parse().unwrap()
}

fn assert_serves(load: &Load) {
    for vip in EdgeLab::VIPS {
        assert_eq!(load.story.get(vip, Load::HOST, "/").status, 200);
    }
}

/// By the number that the node's systemd knows.
fn signal(node: &ServiceHost, pid: i32, name: &str) {
    let done = node.command("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(done.unwrap().success());
}

#[test]
fn reload_under_load_loses_nothing_and_stop_waits_for_requests() {
    let Some((mut load, node)) = node() else { return };
    start(&load, &node);
    assert_eq!(node.property(UNIT, "StatusText"), "serving");
    assert!(load.story.xdp(EdgeLab::UPLINK).unwrap().native);
    assert_serves(&load);

    load.start_traffic(load.mix());
    for _ in 0..3 {
        let before = main_process(&node);
        node.done(&["reload", UNIT]);
        assert_ne!(main_process(&node), before);
        load.traffic().wait_for_requests(20);
    }
    load.finish().assert_untouched();

    // The process that came by a reload is waited for like the first.
    for pod in &load.story.backends {
        pod.on("/slow", Answer::bytes("done").with_delay(Duration::from_secs(2)));
    }
    let (client, to) = (load.story.lab.client.clone(), SocketAddr::new(EdgeLab::VIP4, 80));
    let asked = pods_asked(&load);
    let slow = std::thread::spawn(move || Request::get(Load::HOST, "/slow").send(&client, to));
    eventually("the slow request is at its pod", || pods_asked(&load) > asked);
    node.done(&["stop", UNIT]);
    assert_eq!(slow.join().unwrap().unwrap().status, 200);
    let ended = ["Result", "ExecMainStatus", "ActiveState"].map(|name| node.property(UNIT, name));
    assert_eq!(ended, ["success", "0", "inactive"]);
}

fn pods_asked(load: &Load) -> usize {
    load.story.backends.iter().map(|pod| pod.requests().len()).sum()
}

#[test]
fn process_that_dies_or_hangs_is_started_again() {
    let Some((load, node)) = node() else { return };
    node.drop_in(UNIT, "watchdog", "[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n");
    start(&load, &node);
    for name in ["KILL", "STOP"] {
        let before = main_process(&node);
        signal(&node, before, name);
        eventually("another process is the main process", || {
            let state = node.property(UNIT, "ActiveState");
            state == "active" && ![0, before].contains(&main_process(&node))
        });
        assert_serves(&load);
    }
    assert_eq!(node.property(UNIT, "NRestarts"), "2");
    node.done(&["stop", UNIT]);
    assert_eq!(node.property(UNIT, "Result"), "success");
}
