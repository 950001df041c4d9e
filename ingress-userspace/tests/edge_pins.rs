//! One process at a time changes what is pinned, also when two cannot find each other.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::time::Duration;

use genkan::admin::status::Status;
use genkan::testing::deadline::{DEADLINE, eventually};
use genkan::testing::lab::{EdgeLab, Process};
use genkan::testing::require_root;
use genkan::testing::story::{Ingress, PINS, Story};

const HOST: &str = "shop.example";

fn story() -> Option<Story> {
    require_root().then(|| {
        let mut story = Story::new(env!("CARGO_BIN_EXE_genkan"), 1);
        story.write_services();
        story.manifests.write("shop.yaml", &Ingress::new("shop").rule(HOST, "/", "pod-0").yaml());
        story.start();
        story
    })
}

fn assert_serves(story: &Story) {
    for vip in EdgeLab::VIPS {
        let answer = story.get(vip, HOST, "/");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// Of a process that another one keeps out.
fn assert_refused(mut stranger: Process, owner: u32) {
    let status = stranger.wait(DEADLINE);
    let log = stranger.output();
    assert_eq!(status.code(), Some(1), "{log}");
    let why = format!("what is pinned in {PINS} is in use by process {owner} (genkan)");
    assert!(log.contains(&why), "{log}");
    assert!(log.contains("another --runtime-dir"), "{log}");
}

#[test]
fn process_that_cannot_find_the_first_is_refused_and_the_first_serves_on() {
    let Some(mut story) = story() else { return };
    let (owner, pins) = (story.process().id(), story.pins());
    story.use_runtime_directory("elsewhere");
    assert_refused(story.spawn(), owner);
    // Nor may one whose runtime directory is unusable.
    let nowhere = story.use_runtime_directory("nowhere").runtime_directory();
    std::fs::write(nowhere, "not a directory").unwrap();
    assert_refused(story.spawn(), owner);

    assert_serves(&story);
    assert_eq!(story.pins(), pins);
    let status: Status = story.admin().document("/status").unwrap();
    assert_eq!(status.process.pid, owner, "who answers for the node");
    // The kernel side is still its own to change, and its place its own to give away.
    story.configure(|config| config.steering.event_sample = 1000);
    story.wait_for_log(" is in force");
    let mut old = story.use_runtime_directory("run").start_successor();
    assert_eq!(old.wait(DEADLINE).code(), Some(0), "{}", old.output());
    assert_serves(&story);
}

#[test]
fn stranger_waits_for_one_that_ends() {
    let Some(mut story) = story() else { return };
    story.kill();
    story.use_runtime_directory("elsewhere").start();
    assert_serves(&story);
    // One that drains has given its right back, long before it ends.
    story.backends[0].on("/slow", slow());
    let client = story.lab.client.clone();
    let to = std::net::SocketAddr::new(EdgeLab::VIP4, 80);
    let asked = genkan::testing::story::Request::get(HOST, "/slow");
    let running = std::thread::spawn(move || asked.send(&client, to));
    eventually("the slow request runs", || {
        story.backends[0].requests().iter().any(|request| request.uri.path() == "/slow")
    });
    story.process().signal(nix::sys::signal::Signal::SIGTERM);
    story.wait_for_log("draining");
    let mut next = story.use_runtime_directory("again").spawn();
    next.wait_for_line(" genkan::app: ready ", DEADLINE);
    assert!(next.is_running());
    let mut old = story.adopt(next).unwrap();
    assert_serves(&story);
    assert_eq!(running.join().unwrap().unwrap().status, 200);
    assert_eq!(old.wait(DEADLINE).code(), Some(0), "{}", old.output());
    assert_serves(&story);
}

fn slow() -> genkan::testing::backend::Answer {
    genkan::testing::backend::Answer::size(1 << 20).with_pace(Duration::from_millis(40))
}

#[test]
fn no_stranger_comes_between_a_process_and_its_successor() {
    let Some(mut story) = story() else { return };
    // They ask all the time: there is no moment in which nobody has it.
    story.use_runtime_directory("elsewhere");
    let mut stranger = story.spawn();
    story.use_runtime_directory("run");
    for _ in 0..3 {
        let mut old = story.start_successor();
        assert_eq!(old.wait(DEADLINE).code(), Some(0), "{}", old.output());
    }
    assert_eq!(stranger.wait(DEADLINE).code(), Some(1), "{}", stranger.output());
    let owner = story.process().id();
    assert_refused(story.use_runtime_directory("elsewhere").spawn(), owner);
    assert_serves(&story);
}

#[test]
fn detach_leaves_a_process_that_serves_alone_unless_it_is_forced() {
    let Some(mut story) = story() else { return };
    let (owner, pins) = (story.process().id(), story.pins());
    let output = story.genkan(&["detach"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(why.contains(&format!("in use by process {owner} (genkan): stop it first")), "{why}");
    assert_eq!(story.pins(), pins);
    assert_serves(&story);

    let output = story.genkan(&["detach", "--force"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!((story.pins(), story.xdp(EdgeLab::UPLINK)), (Vec::new(), None));
    // Its successor pins anew: the right of the first was that of pins which are gone.
    let mut old = story.start_successor();
    assert_eq!(old.wait(DEADLINE).code(), Some(0), "{}", old.output());
    assert_serves(&story);
    let owner = story.process().id();
    assert_refused(story.use_runtime_directory("elsewhere").spawn(), owner);
}
