//! Annotations of manifests on a running edge node: read from files, followed by the next request,
//! closed where they cannot be followed.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use genkan::config::Compat;
use genkan::testing::deadline::eventually;
use genkan::testing::lab::EdgeLab;
use genkan::testing::require_root;
use genkan::testing::story::{Ingress, Request, Story};

const HOST: &str = "shop.example";
const PREFIX: &str = "nginx.ingress.kubernetes.io/";

fn story() -> Option<Story> {
    if !require_root() {
        return None;
    }
    let mut story = Story::new(env!("CARGO_BIN_EXE_genkan"), 2);
    story.write_services();
    story.configure(|config| {
        config.compat = Compat::Nginx;
        config.headers.allowed_custom = vec!["X-Frame-Options".to_owned()];
    });
    story.manifests.write("shop.yaml", &shop(&[]));
    story.start();
    Some(story)
}

fn shop(annotations: &[(&str, &str)]) -> String {
    let mut ingress = Ingress::new("shop").rule(HOST, "/", "pod-0");
    for (key, value) in annotations {
        ingress = ingress.annotation(&format!("{PREFIX}{key}"), value);
    }
    ingress.yaml()
}

fn config_map(value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: headers}}\n\
         data: {{X-Frame-Options: {value}}}\n"
    )
}

#[test]
fn edited_annotations_and_config_maps_hold_for_the_next_requests() {
    let Some(story) = story() else { return };
    let post = || Request::post(HOST, "/", vec![b'x'; 2000]);
    let status = || story.send(EdgeLab::VIP4, &post()).map_or(0, |answer| answer.status);
    assert_eq!(status(), 200);
    story.manifests.write("shop.yaml", &shop(&[("proxy-body-size", "1k")]));
    eventually("the smaller limit holds", || status() == 413);
    story.manifests.write("shop.yaml", &shop(&[("proxy-body-size", "1m"), ("app-root", "/x")]));
    story.wait_for_status(HOST, "/", 302);

    let frame = || {
        let answer = story.get(EdgeLab::VIP4, HOST, "/y");
        (answer.status, answer.header("x-frame-options").map(str::to_owned))
    };
    story.manifests.write("shop.yaml", &shop(&[("custom-headers", "headers")]));
    eventually("a missing ConfigMap closes the paths", || frame() == (503, None));
    story.manifests.write("headers.yaml", &config_map("DENY"));
    eventually("it opens them", || frame() == (200, Some("DENY".to_owned())));
    story.manifests.write("headers.yaml", &config_map("SAMEORIGIN"));
    eventually("it is followed", || frame() == (200, Some("SAMEORIGIN".to_owned())));
    story.manifests.remove("headers.yaml");
    eventually("without it they are closed", || frame() == (503, None));
}

#[test]
fn what_may_restrict_access_and_is_not_supported_closes_the_paths_until_the_operator_ignores_it() {
    let Some(mut story) = story() else { return };
    story.manifests.write("shop.yaml", &shop(&[("configuration-snippet", "deny all;")]));
    story.wait_for_status(HOST, "/", 503);
    story.configure(|config| config.annotations.ignore = vec!["configuration-snippet".to_owned()]);
    story.wait_for_status(HOST, "/", 200);
    story.manifests.write("shop.yaml", &shop(&[("whitelist-source-ranges", "10.0.0.0/8")]));
    story.wait_for_status(HOST, "/", 503);
    story.configure(|config| config.compat = Compat::None);
    story.wait_for_status(HOST, "/", 200);
}

#[test]
fn a_canary_takes_its_share_and_gives_it_back() {
    let Some(story) = story() else { return };
    let canary = Ingress::new("new")
        .rule(HOST, "/", "pod-1")
        .annotation(&format!("{PREFIX}canary"), "true")
        .annotation(&format!("{PREFIX}canary-by-header"), "x-new");
    let pod = |value: &str| {
        let request = Request::get(HOST, "/").header("x-new", value);
        story.send(EdgeLab::VIP6, &request).unwrap().pod().to_owned()
    };
    assert_eq!(pod("always"), "pod-0");
    story.manifests.write("new.yaml", &canary.yaml());
    eventually("the canary is served", || pod("always") == "pod-1");
    assert_eq!(pod("never"), "pod-0");
    story.manifests.remove("new.yaml");
    eventually("it is gone", || pod("always") == "pod-0");
}
