//! What an edge node serves: both families and every protocol.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::net::SocketAddr;

use bytes::Bytes;
use genkan::testing::ca::TestCa;
use genkan::testing::lab::EdgeLab;
use genkan::testing::story::{
    Counted, Ingress, Request, Story, any_certificate, exchange, websocket_echo,
};
use genkan::testing::{backend, require_root};
use http::Version;
use ingress_common::verdict::Verdict;

fn story(pods: usize) -> Option<Story> {
    require_root().then(|| Story::new(env!("CARGO_BIN_EXE_genkan"), pods))
}

#[test]
fn edge_serves_vip_on_both_families() {
    let Some(mut story) = story(2) else { return };
    story.write_services();
    let shop = Ingress::new("shop").rule("shop.example", "/", "pods");
    let pages = Ingress::new("pages").path(Some("pages.example"), "/one", "Prefix", "pod-0").path(
        Some("pages.example"),
        "/two",
        "Exact",
        "pod-1",
    );
    story.manifests.write("shop.yaml", &shop.yaml());
    story.manifests.write("pages.yaml", &pages.yaml());
    story.start();

    let xdp = story.xdp(EdgeLab::UPLINK).unwrap();
    assert!(xdp.native, "{xdp:?}");
    let clients = story.lab.client_addresses();
    for (vip, client) in EdgeLab::VIPS.into_iter().zip(clients) {
        let (answer, counted) = story.counting(vip, || story.get(vip, "shop.example", "/cart?n=1"));
        assert_eq!((answer.status, answer.version), (200, Version::HTTP_11));
        assert!(["pod-0", "pod-1"].contains(&answer.pod()), "{answer:?}");
        assert_eq!(answer.upstream_path(), "/cart");
        assert_eq!(answer.upstream_header("x-forwarded-for"), client.to_string());
        assert_eq!(answer.upstream_header("x-real-ip"), client.to_string());
        assert_eq!(answer.upstream_header("x-forwarded-proto"), "http");
        assert_eq!(answer.upstream_header("x-forwarded-host"), "shop.example");
        assert_one_connection(&counted);

        assert_eq!(story.get(vip, "pages.example", "/one/more").pod(), "pod-0");
        assert_eq!(story.get(vip, "pages.example", "/two").pod(), "pod-1");
        assert_eq!(story.get(vip, "pages.example", "/two/more").status, 404);
        assert_eq!(story.get(vip, "other.example", "/").status, 404);

        let (_, counted) = story.counting(vip, || {
            story.lab.client.output("ping", &["-c1", "-W5", &vip.to_string()]);
        });
        assert_eq!(counted.of(Verdict::IcmpEcho), 1, "{counted:?}");
    }
}

/// One connection: one SYN, one choice of a worker, the rest belongs to a known socket.
fn assert_one_connection(counted: &Counted) {
    assert_eq!(counted.of(Verdict::TcpSyn), 1, "{counted:?}");
    assert_eq!(counted.dispatched(), 1, "{counted:?}");
    assert!(counted.of(Verdict::TcpKnown) >= 3, "{counted:?}");
}

#[test]
fn all_pods_of_a_service_take_their_turn() {
    let Some(mut story) = story(3) else { return };
    story.write_services();
    story
        .manifests
        .write("shop.yaml", &Ingress::new("shop").rule("shop.example", "/", "pods").yaml());
    story.start();
    let pods: std::collections::BTreeSet<String> =
        (0..40).map(|_| story.get(EdgeLab::VIP4, "shop.example", "/").pod().to_owned()).collect();
    assert_eq!(pods.len(), 3, "{pods:?}");
}

#[test]
fn tls_names_choose_certificate_and_route() {
    let Some(mut story) = story(2) else { return };
    let ca = TestCa::new();
    let exact = ca.issue(&["shop.example"]);
    let wildcard = ca.issue(&["*.apps.example"]);
    let fallback = ca.issue(&["fallback.example"]);
    story.write_services();
    story.manifests.write("exact.yaml", &exact.secret_yaml("default", "exact"));
    story.manifests.write("wildcard.yaml", &wildcard.secret_yaml("default", "wildcard"));
    story.manifests.write("fallback.yaml", &fallback.secret_yaml("default", "fallback"));
    let shop = Ingress::new("shop")
        .tls("exact", &["shop.example"])
        .tls("wildcard", &["*.apps.example"])
        .rule("shop.example", "/", "pod-0")
        .rule("*.apps.example", "/", "pod-1");
    story.manifests.write("shop.yaml", &shop.yaml());
    story.configure(|config| {
        config.tls.default_certificate = Some("default/fallback".to_owned());
    });
    story.start();

    for (vip, client) in EdgeLab::VIPS.into_iter().zip(story.lab.client_addresses()) {
        for alpn in ["http/1.1", "h2"] {
            let version = if alpn == "h2" { Version::HTTP_2 } else { Version::HTTP_11 };
            let trusting = ca.client_config(&[alpn]);
            for (host, pod, leaf) in
                [("shop.example", "pod-0", &exact), ("one.apps.example", "pod-1", &wildcard)]
            {
                let answer = story.send(vip, &Request::get(host, "/").tls(&trusting)).unwrap();
                assert_eq!((answer.status, answer.pod()), (200, pod));
                assert_eq!(answer.version, version);
                assert_eq!(answer.certificate, Some(leaf.certificate_der()));
                assert_eq!(answer.upstream_header("x-forwarded-proto"), "https");
                assert_eq!(answer.upstream_header("x-real-ip"), client.to_string());
            }
            let curious = any_certificate(&[alpn]);
            for request in [
                Request::get("unknown.example", "/").tls(&curious),
                Request::get("shop.example", "/").tls_without_name(&curious),
            ] {
                let answer = story.send(vip, &request).unwrap();
                assert_eq!(answer.certificate, Some(fallback.certificate_der()), "{request:?}");
            }
        }
        // A host with TLS sends clear text there.
        let answer = story.get(vip, "shop.example", "/cart?n=1");
        assert_eq!(answer.status, 308);
        assert_eq!(answer.header("location"), Some("https://shop.example/cart?n=1"));
    }
}

#[test]
fn bodies_stream_both_ways_and_websockets_open() {
    let Some(mut story) = story(1) else { return };
    story.write_services();
    story
        .manifests
        .write("shop.yaml", &Ingress::new("shop").rule("shop.example", "/", "pods").yaml());
    story.backends[0].on("/mirror", backend::Answer::mirror());
    story.start();
    for vip in EdgeLab::VIPS {
        let body: Bytes = (0..=u8::MAX).cycle().take(800 << 10).collect();
        let answer = story.send(vip, &Request::post("shop.example", "/mirror", body.clone()));
        assert!(answer.unwrap().body == body, "the mirrored body differs");

        let chunks = ["one", "two", "three"].map(Bytes::from);
        let (client, http) = (&story.lab.client, SocketAddr::new(vip, 80));
        exchange(client, http, "shop.example", "/mirror", &chunks).unwrap();
        websocket_echo(client, http, "shop.example", "/chat", &["hello", "again"]).unwrap();
    }
}
