//! What a running process and its kernel programs answer when they are asked about a request or a
//! packet that is not sent.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use genkan::config::NewFlowBudget;
use genkan::testing::lab::EdgeLab;
use genkan::testing::require_root;
use genkan::testing::story::{Ingress, Session, Story};
use ingress_common::verdict::Verdict;
use serde_json::Value;

const DENIED: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 66));

fn story() -> Option<Story> {
    require_root().then(|| {
        let mut story = Story::new(env!("CARGO_BIN_EXE_genkan"), 1);
        story.write_services();
        let shop = Ingress::new("shop").rule("shop.example", "/", "pods");
        story.manifests.write("shop.yaml", &shop.yaml());
        story.configure(|config| {
            config.workers.count = Some(2);
            config.steering.listener_grace = Duration::from_secs(600);
        });
        story.configure_vip(|vip| {
            vip.deny = vec!["198.51.100.0/24".parse().unwrap()];
            vip.new_flow_budget = Some(NewFlowBudget { per_second: 1, burst: 2 });
        });
        story.start();
        story
    })
}

/// The answer of `genkan flow`, and whether its exit code is 0.
fn flow(story: &Story, from: &str, to: &str, more: &[&str]) -> (Value, bool) {
    let arguments = [&["flow", from, to, "--output", "json"], more].concat();
    let output = story.genkan(&arguments);
    let text = String::from_utf8_lossy(&output.stdout);
    let answer = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (answer, output.status.success())
}

#[test]
fn asking_the_kernel_programs_tells_the_verdict_and_changes_nothing() {
    let Some(story) = story() else { return };
    let before: Vec<_> = EdgeLab::VIPS.map(|vip| story.counters(vip).moved()).into();
    let vip = |port: u16| SocketAddr::new(EdgeLab::VIP4, port).to_string();
    let client = "192.0.2.9:40000";
    let denied = SocketAddr::new(DENIED, 40_000).to_string();
    for (from, to, more, action, verdict) in [
        (client, vip(80), &[][..], "pass", Some("tcp_syn")),
        (client, vip(80), &["--vlan", "7", "--vlan", "8"], "pass", Some("tcp_syn")),
        (client, vip(443), &["--ack"], "pass", Some("tcp_unknown")),
        (client, vip(80), &["--syn", "--fin"], "drop", Some("bad_flags")),
        (client, vip(81), &[], "drop", Some("port_unserved")),
        (client, vip(80), &["--udp"], "drop", Some("udp_unserved")),
        (client, vip(80), &["--ttl", "0"], "drop", Some("ttl_expired")),
        (client, vip(80), &["--frag"], "pass", Some("fragment")),
        (client, vip(0), &["--icmp"], "tx", Some("icmp_echo")),
        (client, vip(80), &["--interface", EdgeLab::UPLINK], "pass", Some("tcp_syn")),
        (&denied, vip(80), &[], "drop", Some("denied")),
        (client, "10.9.9.9:80".to_owned(), &[], "pass", None),
    ] {
        let (answer, good) = flow(&story, from, &to, more);
        assert_eq!(answer["steer"]["action"], action, "{from} {to} {more:?}: {answer}");
        assert_eq!(answer["steer"]["verdict"].as_str(), verdict, "{from} {to} {more:?}");
        assert_eq!(good, action != "drop", "{from} {to} {more:?}");
        assert_eq!(answer["vip"], verdict.is_some());
    }
    let v6 = SocketAddr::new(EdgeLab::VIP6, 443).to_string();
    let (answer, _) = flow(&story, "[2001:db8:9::9]:40000", &v6, &[]);
    assert_eq!(answer["steer"]["verdict"], "tcp_syn");
    assert!(answer["dispatch"][0]["worker"].is_u64(), "{answer}");

    let after: Vec<_> = EdgeLab::VIPS.map(|vip| story.counters(vip).moved()).into();
    assert_eq!(before, after, "asking was counted");
    // The budget of this source is 2.
    for _ in 0..4 {
        let (answer, _) = flow(&story, client, &vip(80), &[]);
        assert_eq!(answer["steer"]["verdict"], "tcp_syn", "asking spent the budget");
    }
}

#[test]
fn the_worker_that_would_be_picked_is_the_one_that_takes_the_connection() {
    let Some(story) = story() else { return };
    let vip = SocketAddr::new(EdgeLab::VIP4, 80);
    let (answer, _) = flow(&story, "192.0.2.9:40000", &vip.to_string(), &[]);
    let by_cpu: Vec<(Vec<u64>, u64)> = answer["dispatch"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| {
            let cpus = d["cpus"].as_array().unwrap().iter().map(|cpu| cpu.as_u64().unwrap());
            (cpus.collect(), d["worker"].as_u64().unwrap())
        })
        .collect();
    let workers: std::collections::BTreeSet<u64> =
        by_cpu.iter().map(|(_, worker)| *worker).collect();
    assert!(!workers.is_empty() && workers.iter().all(|worker| *worker < 2), "{answer}");

    // A flow that has a socket here is known.
    let mut session = Session::open(&story.lab.client, 0, vip).unwrap();
    assert_eq!(session.get("shop.example", "/").unwrap(), 200);
    let known = session.local_address().to_string();
    let (answer, _) = flow(&story, &known, &vip.to_string(), &["--ack"]);
    assert_eq!(answer["steer"]["verdict"], Verdict::TcpKnown.name(), "{answer}");
}

#[test]
fn without_a_process_syns_wait_and_without_pins_there_is_nobody_to_ask() {
    let Some(mut story) = story() else { return };
    let vip = SocketAddr::new(EdgeLab::VIP4, 80).to_string();
    story.kill();
    let (answer, good) = flow(&story, "192.0.2.9:40000", &vip, &[]);
    assert_eq!(answer["steer"]["verdict"], "listener_away", "{answer}");
    assert!(!good);
    assert!(story.genkan(&["detach", "--output", "json"]).status.success());
    let output = story.genkan(&["flow", "192.0.2.9:40000", &vip]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("is genkan running here?"), "{error}");
}

#[test]
fn a_running_process_explains_a_request_and_tells_its_status() {
    let Some(story) = story() else { return };
    let socket = format!("--socket={}", story.admin().socket().display());
    let ask = |arguments: &[&str]| {
        let output = story.genkan(&[arguments, &[&socket]].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!text.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        (text, output.status.code())
    };
    let (text, code) = ask(&["explain", "http://shop.example/cart", "--client", "192.0.2.1"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("shop.yaml:"), "{text}");
    assert!(text.contains("answer: sent to default/pods:80\n"), "{text}");
    let (text, code) = ask(&["explain", "http://shop.example/", "--client", "198.51.100.66"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("denied by 198.51.100.0/24"), "{text}");
    let (text, _) = ask(&["explain", "http://other.example/", "--output", "json"]);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["outcome"]["status"], 404);

    let (text, code) = ask(&["status"]);
    assert_eq!(code, Some(0), "{text}");
    for part in ["\nready\n", "VIP edge: ", "WORKER", "default/shop/rules[0].paths[0]"] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    let (text, _) = ask(&["status", "--output", "json", "--lists", "problems"]);
    let status: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status["readiness"]["ready"], true);
    assert!(status.get("routes").is_none());
}
