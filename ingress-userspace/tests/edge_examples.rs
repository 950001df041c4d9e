//! The example manifests that are delivered with the program, served as they are.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use genkan::config::Compat;
use genkan::testing::ca::TestCa;
use genkan::testing::deadline::eventually;
use genkan::testing::lab::EdgeLab;
use genkan::testing::require_root;
use genkan::testing::story::{Answer, Request, Story, any_certificate, websocket_echo};

/// An edge with a directory of examples, in the lab whose pods have the addresses that they name.
fn story(directory: &str) -> Option<Story> {
    if !require_root() {
        return None;
    }
    let story = Story::new(env!("CARGO_BIN_EXE_genkan"), 4);
    for file in std::fs::read_dir(examples().join(directory)).unwrap() {
        let file = file.unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        story.manifests.write(file.file_name().to_str().unwrap(), &text);
    }
    Some(story)
}

/// `s1` and `test` are pods 0 and 1, `s2` is pod 2.
fn v1beta1_story(directory: &str) -> Option<Story> {
    let mut story = story(&format!("v1beta1/{directory}"))?;
    story.configure(|config| config.compat = Compat::Nginx);
    Some(story)
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples")
}

#[test]
fn serves_the_v1_examples() {
    let Some(mut story) = story("v1") else { return };
    let ca = TestCa::new();
    for host in ["shop", "blog"] {
        let leaf = ca.issue(&[&format!("{host}.example.com")]);
        let secret = leaf.secret_yaml("default", &format!("{host}-tls"));
        story.manifests.write(&format!("{host}-tls.yaml"), &secret);
    }
    story.configure(|config| config.classes.serve_classless = false).start();
    let (web, api) = (["pod-0", "pod-1"], ["pod-2", "pod-2"]);
    let (fallback, websocket) = (["pod-3", "pod-3"], ["pod-2", "pod-3"]);
    let tls = ca.client_config(&["h2"]);
    for vip in EdgeLab::VIPS {
        for (host, path, pods) in [
            ("fanout.example.com", "/", web),
            ("fanout.example.com", "/api/v2", api),
            ("fanout.example.com", "/api/health", web),
            ("fanout.example.com", "/apis", web),
            ("one.example.com", "/", web),
            ("two.apps.example.com", "/", api),
            ("a.two.apps.example.com", "/", fallback),
            ("unknown.example.com", "/", fallback),
            ("blog.example.com", "/", api),
            ("ws.example.com", "/", websocket),
        ] {
            let answer = story.get(vip, host, path);
            assert_eq!(answer.status, 200, "{host}{path}: {answer:?}");
            assert!(pods.contains(&answer.pod()), "{host}{path}: {answer:?}");
        }
        assert_eq!(story.get(vip, "shop.example.com", "/").status, 308);
        for (host, pods) in [("shop.example.com", web), ("blog.example.com", api)] {
            let answer = story.send(vip, &Request::get(host, "/").tls(&tls)).unwrap();
            assert!(pods.contains(&answer.pod()), "{host}: {answer:?}");
        }
        let (client, http) = (&story.lab.client, SocketAddr::new(vip, 80));
        websocket_echo(client, http, "ws.example.com", "/", &["hello"]).unwrap();
    }
}

const S1: [&str; 2] = ["pod-0", "pod-1"];

#[test]
fn serves_v1beta1_01_minimal() {
    let Some(mut story) = v1beta1_story("01-minimal") else { return };
    story.start();
    for vip in EdgeLab::VIPS {
        let answer = story.get(vip, "any.example", "/testpath");
        assert_eq!((answer.status, answer.upstream_path().as_str()), (200, "/"));
        assert!(S1.contains(&answer.pod()), "{answer:?}");
        assert_eq!(story.get(vip, "any.example", "/other").status, 404);
    }
}

#[test]
fn serves_v1beta1_02_fanout() {
    let Some(mut story) = v1beta1_story("02-fanout") else { return };
    story.start();
    for vip in EdgeLab::VIPS {
        let [foo, bar] = ["/foo", "/bar"].map(|path| story.get(vip, "foo.bar.com", path));
        assert_eq!((foo.upstream_path().as_str(), bar.upstream_path().as_str()), ("/", "/"));
        assert!(S1.contains(&foo.pod()), "{foo:?}");
        assert_eq!(bar.pod(), "pod-2");
        assert_eq!(story.get(vip, "foo.bar.com", "/else").status, 404);
    }
}

#[test]
fn serves_v1beta1_03_and_its_live_edit() {
    let Some(mut story) = v1beta1_story("03-name-based-virtual-hosts") else { return };
    story.start();
    for vip in EdgeLab::VIPS {
        assert!(S1.contains(&story.get(vip, "foo.bar.com", "/x").pod()));
        assert_eq!(story.get(vip, "bar.foo.com", "/x").pod(), "pod-2");
        assert_eq!(story.get(vip, "bar.baz.com", "/foo").status, 404);
    }

    // What `kubectl edit` would do: the same object with another spec.
    let edited = std::fs::read_to_string(examples().join("v1beta1/06-edited-rules.yaml")).unwrap();
    let file = "03-name-based-virtual-hosts.yaml";
    let text = std::fs::read_to_string(story.manifests.directory().join(file)).unwrap();
    let (head, _) = text.split_once("spec:").unwrap();
    story.manifests.write(file, &format!("{head}{edited}"));

    story.wait_for_status("bar.baz.com", "/foo", 200);
    for vip in EdgeLab::VIPS {
        assert!(S1.contains(&story.get(vip, "foo.bar.com", "/foo").pod()));
        assert_eq!(story.get(vip, "bar.baz.com", "/foo").pod(), "pod-2");
        assert_eq!(story.get(vip, "foo.bar.com", "/x").status, 404);
        assert_eq!(story.get(vip, "bar.foo.com", "/foo").status, 404);
    }
}

#[test]
fn reports_v1beta1_04_and_serves_05_with_the_secret_that_replaces_it() {
    let Some(mut story) = v1beta1_story("05-tls-no-rules") else { return };
    // The Secret as it stands in the documentation: its data is no base64.
    let file = "04-tls-secret.yaml";
    let broken = examples().join("v1beta1/04-tls-secret").join(file);
    story.manifests.write(file, &std::fs::read_to_string(broken).unwrap());
    story.start();
    let problem = story.wait_for_log("testsecret");
    assert!(problem.contains(file) && problem.contains("base64"), "{problem}");
    let curious = any_certificate(&["http/1.1"]);
    let ask = |story: &Story| -> Answer {
        story.send(EdgeLab::VIP4, &Request::get("any.example", "/").tls(&curious)).unwrap()
    };
    assert!(S1.contains(&ask(&story).pod()));

    let leaf = TestCa::new().issue(&["any.example"]);
    story.manifests.write(file, &leaf.secret_yaml("default", "testsecret"));
    eventually("the generated Secret is shown", || {
        ask(&story).certificate == Some(leaf.certificate_der())
    });
}
