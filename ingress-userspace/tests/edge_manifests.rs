//! Where an edge's objects and configuration come from: files that are edited, swapped, removed,
//! wrong or odd. What is wrong disables itself only.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::symlink;
use std::time::Duration;

use genkan::testing::backend::{Backend, Protocol};
use genkan::testing::deadline::{eventually, eventually_some};
use genkan::testing::lab::EdgeLab;
use genkan::testing::require_root;
use genkan::testing::story::{Ingress, Story, service, slice};

fn story(pods: usize) -> Option<Story> {
    if !require_root() {
        return None;
    }
    let story = Story::new(env!("CARGO_BIN_EXE_genkan"), pods);
    story.write_services();
    Some(story)
}

/// `shop.example`, served by one Service.
fn shop(service: &str) -> String {
    Ingress::new("shop").rule("shop.example", "/", service).yaml()
}

#[test]
fn bad_document_disables_only_itself() {
    let Some(mut story) = story(1) else { return };
    let good = Ingress::new("good").rule("good.example", "/", "pods").yaml();
    let late = Ingress::new("late").rule("late.example", "/", "pods").yaml();
    let bad = Ingress::new("bad").path(Some("bad.example"), "/", "Sometimes", "pods").yaml();
    story.manifests.write("shops.yaml", &format!("{good}---\n{bad}---\n{late}"));
    story.manifests.write("broken.yaml", "apiVersion: v1\nkind: [unfinished\n");
    story.start();
    for host in ["good.example", "late.example"] {
        assert_eq!(story.get(EdgeLab::VIP4, host, "/").status, 200);
    }
    assert_eq!(story.get(EdgeLab::VIP4, "bad.example", "/").status, 404);
    // File, object, field and reason.
    let problem = story.wait_for_log("Sometimes");
    for part in ["shops.yaml", "bad", "pathType"] {
        assert!(problem.contains(part), "no {part} in: {problem}");
    }
    story.wait_for_log("broken.yaml");

    let repaired = Ingress::new("bad").rule("bad.example", "/", "pods").yaml();
    story.manifests.write("shops.yaml", &format!("{good}---\n{repaired}---\n{late}"));
    story.wait_for_status("bad.example", "/", 200);
}

#[test]
fn configmap_symlink_swap_is_followed() {
    let Some(mut story) = story(2) else { return };
    story.manifests.swap_volume("first", &[("shop.yaml", &shop("pod-0"))]);
    story.start();
    assert_eq!(story.get(EdgeLab::VIP4, "shop.example", "/").pod(), "pod-0");
    for (name, pod) in [("second", "pod-1"), ("third", "pod-0"), ("fourth", "pod-1")] {
        story.manifests.swap_volume(name, &[("shop.yaml", &shop(pod))]);
        story.get_until(&format!("the {name} volume serves"), "shop.example", "/", |answer| {
            answer.pod() == pod
        });
    }
}

#[test]
fn duplicate_object_leaves_the_first_and_names_both_files() {
    let Some(mut story) = story(2) else { return };
    story.manifests.write("a-first.yaml", &shop("pod-0"));
    story.manifests.write("b-second.yaml", &shop("pod-1"));
    story.start();
    let problem = eventually_some("the second is reported", || {
        let log = story.log();
        let line = log.lines().find(|line| line.contains("b-second.yaml"))?;
        Some(line.to_owned())
    });
    assert!(problem.contains("a-first.yaml"), "{problem}");
    assert_eq!(story.get(EdgeLab::VIP4, "shop.example", "/").pod(), "pod-0");
    story.manifests.remove("a-first.yaml");
    story.get_until("the second takes over", "shop.example", "/", |answer| answer.pod() == "pod-1");
}

#[test]
fn file_that_is_removed_takes_its_routes_with_it() {
    let Some(mut story) = story(1) else { return };
    story.manifests.write("shop.yaml", &shop("pods"));
    story.start();
    story.wait_for_status("shop.example", "/", 200);
    story.manifests.remove("shop.yaml");
    story.wait_for_status("shop.example", "/", 404);
}

#[test]
fn bad_configuration_changes_nothing() {
    let Some(mut story) = story(1) else { return };
    story.manifests.write("shop.yaml", &shop("pods"));
    story.start();
    std::fs::write(story.config_file(), "vip: []\n").unwrap();
    let line = story.wait_for_log("vips");
    assert!(line.contains("genkan.yaml"), "{line}");
    for vip in EdgeLab::VIPS {
        assert_eq!(story.get(vip, "shop.example", "/").status, 200);
    }
}

/// Rules of access go with the VIPs: a file that has lost them is no configuration.
#[test]
fn emptied_or_half_written_configuration_changes_nothing() {
    let Some(mut story) = story(1) else { return };
    story.manifests.write("shop.yaml", &shop("pods"));
    story.start();
    let whole = fs::read_to_string(story.config_file()).unwrap();
    let serves = |story: &Story| {
        for vip in EdgeLab::VIPS {
            assert_eq!(story.get(vip, "shop.example", "/").status, 200);
        }
    };
    fs::write(story.config_file(), "").unwrap();
    let line = story.wait_for_log("the file is empty");
    assert!(line.contains("genkan.yaml") && line.contains("1 stays in force"), "{line}");
    serves(&story);
    fs::write(story.config_file(), "compat: nginx\n").unwrap();
    // The line about the empty file ends in the same words: it must not be taken for this one, or
    // the writer below starts before this file has been read.
    story.wait_for_log("genkan.yaml: no `vips` are given; `vips: []`");
    serves(&story);

    // A writer that is not done: `vips` is there, its one entry is not.
    let mut file = fs::File::create(story.config_file()).unwrap();
    file.write_all(b"vips: [] #").unwrap();
    story.manifests.write("late.yaml", &shop("pods").replace("shop", "late"));
    story.wait_for_status("late.example", "/", 200);
    serves(&story);
    file.set_len(0).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(
        whole.replace("\"serve_classless\": true", "\"serve_classless\": false").as_bytes(),
    )
    .unwrap();
    drop(file);
    story.wait_for_log("configuration 2 is in force");
    story.wait_for_status("shop.example", "/", 404);
    assert!(!story.log().contains("configuration 3"), "{}", story.log());
}

/// Bound sockets cannot follow other VIPs: then nothing else of the configuration is followed either.
#[test]
fn configuration_that_a_part_cannot_follow_is_in_force_nowhere() {
    let Some(mut story) = story(1) else { return };
    story.manifests.write("shop.yaml", &shop("pods"));
    story.with_arguments(&["--no-bpf"]).start();
    assert_eq!(story.get(EdgeLab::VIP4, "shop.example", "/").status, 200);
    let before = fs::read_to_string(story.config_file()).unwrap();
    story.configure(|config| {
        config.vips[0].addresses.pop();
        config.classes.serve_classless = false;
    });
    let line = story.wait_for_log("configuration not taken, 1 stays in force");
    assert!(line.contains("bound at the start"), "{line}");
    // Not for a moment, also while it is tried again.
    for _ in 0..200 {
        for vip in EdgeLab::VIPS {
            assert_eq!(story.get(vip, "shop.example", "/").status, 200);
        }
    }
    fs::write(story.config_file(), before).unwrap();
    story.wait_for_log("the file is as configuration 1 again");
    story.configure(|config| {
        config.vips[0].addresses = EdgeLab::VIPS.to_vec();
        config.classes.serve_classless = false;
    });
    story.wait_for_status("shop.example", "/", 404);
}

/// E9: pods of this node have addresses of their own; the node's are no endpoints, unless allowed,
/// from the moment at which a device has them.
#[test]
fn endpoints_at_the_nodes_own_addresses_are_refused() {
    let Some(mut story) = story(1) else { return };
    let own: IpAddr = "192.0.2.77".parse().unwrap();
    let objects = format!("{}---\n{}", service("own"), slice("own", "IPv4", &[own]));
    story.manifests.write("own.yaml", &objects);
    story.manifests.write("shop.yaml", &shop("own"));
    story.configure(|config| config.timeouts.upstream_connect = Duration::from_millis(100)).start();
    let status = story.get(EdgeLab::VIP4, "shop.example", "/").status;
    assert!(matches!(status, 502 | 504), "nobody is there, but it was tried: {status}");
    story.edge().ip(&["addr", "add", "192.0.2.77/32", "dev", "lo"]);
    story.wait_for_status("shop.example", "/", 503);
    let line = story.wait_for_log("192.0.2.77 is an address of this node");
    assert!(line.contains("own.yaml") && line.contains("endpoints[0].addresses[0]"), "{line}");

    let at_node = SocketAddr::new(own, Story::POD_PORT);
    let _local = story.edge().run(|| Backend::bind("local", Protocol::Http1, at_node).unwrap());
    story.configure(|config| config.endpoints.allow = vec![own.into()]);
    story.get_until("the allow list is followed", "shop.example", "/", |answer| {
        answer.pod() == "local"
    });
}

/// A reader that goes away, as `head` does, ends the printing of events, not the program.
#[test]
fn reader_of_events_that_goes_away_is_survived() {
    let Some(mut story) = story(1) else { return };
    story.manifests.write("shop.yaml", &shop("pods"));
    story.configure(|config| config.steering.event_sample = 1);
    story.with_arguments(&["--events"]).start_into("head -n 1");
    story.wait_for_status("shop.example", "/", 200);
    eventually("nobody reads", || {
        story.get(EdgeLab::VIP4, "shop.example", "/");
        story.log().contains("events are printed no more")
    });
    for vip in EdgeLab::VIPS {
        assert_eq!(story.get(vip, "shop.example", "/").status, 200);
    }
}

#[test]
fn configuration_of_a_swapped_volume_is_followed() {
    let Some(mut story) = story(1) else { return };
    story.manifests.write("shop.yaml", &shop("pods"));
    // As the kubelet mounts a ConfigMap.
    let volume = story.config_file().with_file_name("volume");
    let text = fs::read_to_string(story.config_file()).unwrap();
    let write = |version: &str, text: &str| {
        fs::create_dir_all(volume.join(version)).unwrap();
        fs::write(volume.join(version).join("genkan.yaml"), text).unwrap();
        symlink(version, volume.join("..new")).unwrap();
        fs::rename(volume.join("..new"), volume.join("..data")).unwrap();
    };
    write("..first", &text);
    symlink("..data/genkan.yaml", volume.join("genkan.yaml")).unwrap();
    story.use_config_file(volume.join("genkan.yaml")).start();
    assert_eq!(story.get(EdgeLab::VIP4, "shop.example", "/").status, 200);

    write("..second", &text.replace("\"serve_classless\": true", "\"serve_classless\": false"));
    story.wait_for_status("shop.example", "/", 404);
    write("..third", &text);
    story.wait_for_status("shop.example", "/", 200);
}

#[test]
fn manifests_directory_behind_a_swapped_symlink_is_followed() {
    let Some(mut story) = story(2) else { return };
    // As git-sync publishes a revision: the directory itself is a symlink.
    let current = story.manifests.directory().to_owned();
    let revisions = ["first", "second", "third"].map(|name| current.with_file_name(name));
    for (revision, service) in revisions.iter().zip(["pod-0", "pod-1", "pod-0"]) {
        fs::create_dir(revision).unwrap();
        fs::copy(current.join("pods.yaml"), revision.join("pods.yaml")).unwrap();
        fs::write(revision.join("shop.yaml"), shop(service)).unwrap();
    }
    fs::remove_dir_all(&current).unwrap();
    let publish = |revision: &std::path::Path| {
        let staged = current.with_file_name("staged");
        symlink(revision, &staged).unwrap();
        fs::rename(staged, &current).unwrap();
    };
    publish(&revisions[0]);
    story.start();
    assert_eq!(story.get(EdgeLab::VIP4, "shop.example", "/").pod(), "pod-0");
    for (revision, pod) in [(&revisions[1], "pod-1"), (&revisions[2], "pod-0")] {
        publish(revision);
        story.get_until("the next revision is served", "shop.example", "/", |answer| {
            answer.pod() == pod
        });
    }
}

#[test]
fn odd_files_do_no_harm() {
    let Some(mut story) = story(1) else { return };
    let directory = story.manifests.directory();
    symlink(".", directory.join("loop")).unwrap();
    symlink("nowhere", directory.join("dangling.yaml")).unwrap();
    nix::unistd::mkfifo(&directory.join("fifo.yaml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::write(directory.join("binary.yaml"), [0xff, 0xfe, 0x00, 0x80]).unwrap();
    fs::write(directory.join("empty.yaml"), "").unwrap();
    let bomb: String = ('b'..='z').fold("a: &a [x,x,x,x,x,x,x,x]\n".to_owned(), |text, name| {
        let before = char::from(name as u8 - 1);
        let all = format!("*{before},").repeat(8);
        format!("{text}{name}: &{name} [{all}]\n")
    });
    fs::write(directory.join("bomb.yaml"), bomb).unwrap();
    story.manifests.write("shop.yaml", &shop("pods"));
    story.start();
    for file in ["binary.yaml", "bomb.yaml"] {
        story.wait_for_log(file);
    }
    assert_eq!(story.get(EdgeLab::VIP4, "shop.example", "/").status, 200);
    story
        .manifests
        .write("late.yaml", &Ingress::new("late").rule("late.example", "/", "pods").yaml());
    story.wait_for_status("late.example", "/", 200);
}
