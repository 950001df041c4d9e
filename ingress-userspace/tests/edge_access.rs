//! Who gets through to the pods of a route, by its Ingress: real manifests, through the VIP and XDP.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use genkan::config::Compat;
use genkan::testing::lab::EdgeLab;
use genkan::testing::story::{Answer, Ingress, Request, Story};
use genkan::testing::{require_root, require_tool};

const HOST: &str = "shop.example";

const OUTSIDERS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 66)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x66, 0, 0, 0, 0, 0x66)),
];

/// An edge as ingress-nginx's successor, with `shop.example` and a second source at the client.
fn story(annotations: &[(&str, &str)]) -> Option<Story> {
    if !require_root() || !require_tool("bpftool") {
        return None;
    }
    let mut story = Story::new(env!("CARGO_BIN_EXE_genkan"), 1);
    story.configure(|config| config.compat = Compat::Nginx);
    story.write_services();
    write(&story, annotations);
    for outsider in OUTSIDERS {
        story.lab.client_source(outsider);
    }
    story.start();
    assert!(story.xdp(EdgeLab::UPLINK).is_some(), "packets go through XDP");
    Some(story)
}

fn write(story: &Story, annotations: &[(&str, &str)]) {
    let mut ingress = Ingress::new("shop").rule(HOST, "/", "pods");
    for (key, value) in annotations {
        ingress = ingress.annotation(&format!("nginx.ingress.kubernetes.io/{key}"), value);
    }
    story.manifests.write("shop.yaml", &ingress.yaml());
}

fn passwords(story: &Story, file: &str) {
    let yaml = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: passwords}}\nstringData: {{auth: {file:?}}}\n"
    );
    story.manifests.write("passwords.yaml", &yaml);
}

fn ask(story: &Story, source: IpAddr, vip: IpAddr, request: Request) -> Answer {
    let answer = request.from_source(source).send(&story.lab.client, SocketAddr::new(vip, 80));
    answer.unwrap_or_else(|error| panic!("{source} to {vip}: {error:#}\n{}", story.log()))
}

fn get() -> Request {
    Request::get(HOST, "/")
}

fn with(credentials: &str) -> Request {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
    get().header("authorization", &format!("Basic {encoded}"))
}

#[test]
fn an_allow_list_admits_its_sources_of_both_families_and_an_edit_is_followed() {
    let allowed = EdgeLab::CLIENT.map(|address| address.to_string()).join(",");
    let Some(story) = story(&[("whitelist-source-range", &allowed)]) else { return };
    for (family, vip) in EdgeLab::VIPS.into_iter().enumerate() {
        let inside = ask(&story, EdgeLab::CLIENT[family], vip, get());
        assert_eq!((inside.status, inside.pod()), (200, "pod-0"), "{}", story.log());
        let outside = ask(&story, OUTSIDERS[family], vip, get());
        assert_eq!((outside.status, outside.pod()), (403, ""));
    }
    write(&story, &[("denylist-source-range", &allowed)]);
    story.wait_for_status(HOST, "/", 403);
    for (family, vip) in EdgeLab::VIPS.into_iter().enumerate() {
        assert_eq!(ask(&story, EdgeLab::CLIENT[family], vip, get()).status, 403);
        assert_eq!(ask(&story, OUTSIDERS[family], vip, get()).status, 200);
    }
    write(&story, &[("denylist-source-range", "no network")]);
    story.wait_for_status(HOST, "/", 503);
}

#[test]
fn a_password_of_a_secret_opens_the_route_and_its_change_is_followed() {
    let asking = [("auth-type", "basic"), ("auth-secret", "passwords"), ("auth-realm", "Staff")];
    let Some(story) = story(&asking) else { return };
    story.wait_for_status(HOST, "/", 503);
    passwords(&story, "ann:$apr1$abcdefgh$5VEbMkemELfbhC5ck.U.z1\n");
    story.wait_for_status(HOST, "/", 401);
    let vip = EdgeLab::VIP4;
    let client = EdgeLab::CLIENT[0];
    let challenge = ask(&story, client, vip, get());
    assert_eq!(challenge.header("www-authenticate"), Some("Basic realm=\"Staff\""));
    let opened = ask(&story, client, vip, with("ann:pw"));
    assert_eq!((opened.status, opened.pod()), (200, "pod-0"));
    assert!(opened.json()["headers"]["authorization"].is_null(), "the pod sees no password");
    assert_eq!(ask(&story, client, vip, with("ann:pv")).status, 401);
    passwords(&story, "bob:{PLAIN}pw\n");
    genkan::testing::deadline::eventually("the old password is refused", || {
        ask(&story, client, vip, with("ann:pw")).status == 401
    });
    assert_eq!(ask(&story, client, vip, with("bob:pw")).status, 200);
    story.manifests.remove("passwords.yaml");
    story.wait_for_status(HOST, "/", 503);
}

#[test]
fn a_limit_is_that_of_one_client_whichever_worker_its_connections_reach() {
    let Some(story) = story(&[("limit-rpm", "1")]) else { return };
    for (family, vip) in EdgeLab::VIPS.into_iter().enumerate() {
        // Each request is a connection of its own: they land on all workers.
        let statuses: Vec<u16> =
            (0..9).map(|_| ask(&story, EdgeLab::CLIENT[family], vip, get()).status).collect();
        assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 503, 503, 503], "{}", story.log());
        assert_eq!(ask(&story, OUTSIDERS[family], vip, get()).status, 200);
    }
}
