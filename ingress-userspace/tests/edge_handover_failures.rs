//! A take-over that fails somewhere: whoever serves goes on, and the next try succeeds.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::os::unix::process::ExitStatusExt;
use std::process::Output;

use genkan::testing::deadline::{DEADLINE, eventually};
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

/// Long enough for a successor that does not hang.
const PATIENCE: &str = "5";

fn assert_killed(process: &mut Process) {
    let status = process.wait(DEADLINE);
    assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{}", process.output());
}

#[test]
fn successor_that_hangs_is_ended_and_the_first_goes_on() {
    let Some(mut story) = prepared() else { return };
    story.with_environment("GENKAN_TEST_PATIENCE", Some(PATIENCE)).start();
    let pins = story.pins();
    for step in ["begun", "ready"] {
        let mut hanging = story.with_environment("GENKAN_TEST_HANG", Some(step)).spawn();
        assert_killed(&mut hanging);
        eventually("the first process has put right what was changed", || {
            let whole = story.log().matches("the kernel side is as it was").count();
            whole == if step == "begun" { 1 } else { 2 }
        });
        assert_serves(&story);
    }
    story.wait_for_log("the successor does not become ready and is killed");
    // It follows changes again, and can be replaced.
    story.configure(|config| config.steering.event_sample = 1000);
    story.wait_for_log(" is in force");
    assert_left(story.with_environment("GENKAN_TEST_HANG", None).start_successor());
    assert_serves(&story);
    assert_eq!(story.pins(), pins);
}

fn reload(story: &Story) -> (Output, String) {
    let runtime = story.runtime_directory();
    let output = story.genkan(&["reload", "--runtime-dir", runtime.to_str().unwrap()]);
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, why)
}

#[test]
fn reload_ends_when_the_new_process_hangs() {
    let Some(mut story) = prepared() else { return };
    // The new process has the environment of the first.
    story.with_environment("GENKAN_TEST_PATIENCE", Some(PATIENCE));
    story.with_environment("GENKAN_TEST_HANG", Some("asking")).start();
    for _ in 0..2 {
        let (output, why) = reload(&story);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(why.contains("the new process ended with signal: 9"), "{why}");
        assert_serves(&story);
    }
    assert_left(story.with_environment("GENKAN_TEST_HANG", None).start_successor());
    assert_serves(&story);
}

#[test]
fn kernel_side_that_cannot_be_put_right_at_once_is_tried_again() {
    let Some(mut story) = story() else { return };
    let pins = story.pins();
    // Nothing can be pinned there: neither by the successor nor by the first, after it.
    let links = format!("{PINS}/links");
    story.edge().output("mount", &["-t", "tmpfs", "genkan", &links]);
    let mut failing = story.spawn();
    assert_eq!(failing.wait(DEADLINE).code(), Some(1), "{}", failing.output());
    story.wait_for_log("the kernel side is not as it was");
    story.configure(|config| config.steering.event_sample = 1000);
    story.edge().output("umount", &[&links]);
    story.wait_for_log("the kernel side is as it was");
    // What came meanwhile is followed then.
    story.wait_for_log(" is in force");
    assert_eq!(story.pins(), pins);
    assert!(story.xdp(EdgeLab::UPLINK).unwrap().native);
    assert_serves(&story);
    assert_left(story.start_successor());
    assert_serves(&story);
}

#[test]
fn successor_that_dies_when_it_has_the_place_is_no_good_end_of_the_first() {
    let Some(mut story) = prepared() else { return };
    // The new process has the environment of the first.
    story.with_environment("GENKAN_TEST_CRASH", Some("yielded")).start();
    assert_serves(&story);
    let (output, why) = reload(&story);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(why.contains("the new process has taken over and does not serve"), "{why}");
    // A service manager starts the service anew after that.
    let status = story.process().wait(DEADLINE);
    assert_eq!(status.code(), Some(1), "{}", story.log());
    story.wait_for_log("does not serve: nobody does");
    story.with_environment("GENKAN_TEST_CRASH", None).start();
    assert_serves(&story);
    assert_left(story.start_successor());
}
