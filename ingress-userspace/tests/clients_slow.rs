//! slowhttptest: clients that drip heads, bodies and reads. The worker lets them go in time and serves
//! everybody else meanwhile.
#![allow(clippy::unwrap_used, reason = "a failure of test support is the failure of the test")]

use std::process::Command;
use std::time::Duration;

use genkan::testing::backend::{Answer, Backend};
use genkan::testing::client::{ask, get};
use genkan::testing::deadline::eventually;
use genkan::testing::edge::Edge;
use genkan::testing::require_tool;

const CLIENTS: &str = "200";

/// Runs one kind of attack to its end while another client asks.
fn attack(arguments: &[&str]) {
    if !require_tool("slowhttptest") {
        return;
    }
    let second = Duration::from_secs(1);
    let edge = Edge::builder()
        .config(|config| {
            config.timeouts.client_header = second;
            config.timeouts.client_body = second;
            config.timeouts.client_send = second;
        })
        .start();
    let backend = Backend::http1("pod");
    edge.route("a.example", &backend);
    // It asks by address.
    edge.apply(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: any, namespace: default}\n\
         spec: {defaultBackend: {service: {name: pod, port: {number: 80}}}}\n",
    );
    backend.on("/large", Answer::size(4 << 20));
    let url = format!("http://{}/large", edge.http());
    let mut attack = Command::new("slowhttptest")
        .args(["-c", CLIENTS, "-r", "200", "-l", "8", "-p", "3", "-u", &url])
        .args(arguments)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    while attack.try_wait().unwrap().is_none() {
        let answer = runtime.block_on(ask(edge.http(), get("a.example", "/")));
        assert_eq!(answer.status, 200);
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(runtime);
    let output = attack.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("service available: \u{1b}[1;31mNO"), "{said}");
    eventually("every slow client is gone", || edge.counters().connections_open.value() == 0);
    assert_eq!(edge.counters().panics.value(), 0);
    assert!(edge.counters().connections.value() > 200, "{said}");
}

#[test]
fn slow_heads_are_let_go() {
    attack(&["-H", "-i", "1", "-x", "24"]);
}

#[test]
fn slow_bodies_are_let_go() {
    attack(&["-B", "-i", "2", "-s", "8192", "-x", "10"]);
}

#[test]
fn slow_readers_are_let_go() {
    attack(&["-X", "-w", "1", "-y", "1", "-n", "5", "-z", "1", "-k", "1"]);
}
