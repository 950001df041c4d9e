//! A take-over that fails somewhere: whoever serves goes on, and the next try succeeds.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::os::unix::process::ExitStatusExt;

use genkan::testing::deadline::DEADLINE;
use genkan::testing::lab::{EdgeLab, Process};
use genkan::testing::require_root;
use genkan::testing::story::{Ingress, PINS, Story};
use nix::sys::signal::Signal;

const HOST: &str = "shop.example";
const GAVE_UP: &str = "the successor ended before it served";

/// Nothing runs yet.
fn prepared() -> Option<Story> {
    require_root().then(|| {
        let story = Story::new(env!("CARGO_BIN_EXE_genkan"), 1);
        story.write_services();
        story.manifests.write("shop.yaml", &Ingress::new("shop").rule(HOST, "/", "pod-0").yaml());
        story
    })
}

fn story() -> Option<Story> {
    let mut story = prepared()?;
    story.start();
    Some(story)
}

fn assert_serves(story: &Story) {
    for vip in EdgeLab::VIPS {
        let answer = story.get(vip, HOST, "/");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

fn assert_left(mut old: Process) {
    let status = old.wait(DEADLINE);
    assert_eq!(status.code(), Some(0), "{}", old.output());
}

fn crash_a_successor(story: &mut Story, step: &str) {
    story.with_environment("GENKAN_TEST_CRASH", Some(step));
    let mut crashing = story.spawn();
    let status = crashing.wait(DEADLINE);
    assert_eq!(status.signal(), Some(Signal::SIGABRT as i32), "{}", crashing.output());
    story.with_environment("GENKAN_TEST_CRASH", None);
}

/// The successor has to pin maps anew and ends at `step`; the next one finds what it has pinned.
fn upgrade_succeeds_after_one_that_ended(step: &str) {
    let Some(mut story) = story() else { return };
    let pins = story.pins();
    let maps = format!("{PINS}/maps-{}", ingress_common::ABI);
    story.edge().output("rm", &["-r", &maps]);
    crash_a_successor(&mut story, step);
    story.wait_for_log(GAVE_UP);
    assert_serves(&story);
    assert_left(story.start_successor());
    assert_serves(&story);
    assert_eq!(story.pins(), pins);
}

#[test]
fn upgrade_succeeds_after_one_that_ended_when_it_had_begun() {
    upgrade_succeeds_after_one_that_ended("begun");
}

#[test]
fn upgrade_succeeds_after_one_that_ended_when_its_maps_were_pinned() {
    upgrade_succeeds_after_one_that_ended("ready");
}

#[test]
fn successor_that_cannot_be_found_itself_leaves_the_first_serving() {
    let Some(mut story) = prepared() else { return };
    let runtime = story.runtime_directory();
    std::fs::create_dir(&runtime).unwrap();
    let runtime = runtime.to_str().unwrap();
    // Room for the directory, its lock and one socket: a second socket finds none.
    let edge = story.edge();
    edge.output("mount", &["-t", "tmpfs", "-o", "nr_inodes=3", "genkan", runtime]);
    story.start();
    let mut failing = story.spawn();
    assert_eq!(failing.wait(DEADLINE).code(), Some(1), "{}", failing.output());
    assert!(failing.output().contains("cannot listen on"), "{}", failing.output());
    story.wait_for_log(GAVE_UP);
    assert_serves(&story);

    story.edge().output("mount", &["-o", "remount,nr_inodes=10", runtime]);
    assert_left(story.start_successor());
    assert_serves(&story);
}

#[test]
fn what_fails_after_the_first_has_yielded_ends_nobody() {
    let Some(mut story) = story() else { return };
    // A place in which something is mounted cannot be renamed over.
    let socket = story.runtime_directory().join("handover.sock");
    let socket = socket.to_str().unwrap().to_owned();
    story.edge().output("mount", &["--bind", &socket, &socket]);
    assert_left(story.start_successor());
    story.wait_for_log("no process can take over from this one");
    assert_serves(&story);
    // Nobody finds it: it has to be stopped before another one starts.
    let owner = story.process().id();
    let mut refused = story.spawn();
    assert_eq!(refused.wait(DEADLINE).code(), Some(1), "{}", refused.output());
    assert!(refused.output().contains(&format!("in use by process {owner} ")));
    assert_serves(&story);
    assert_eq!(story.terminate().code(), Some(0));
    story.edge().output("umount", &[&socket]);
    story.start();
    assert_serves(&story);
}
