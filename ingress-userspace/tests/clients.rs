//! Clients that other people wrote, from the network through the VIP: curl, nghttp, h2load, wrk.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::net::IpAddr;

use genkan::testing::ca::TestCa;
use genkan::testing::lab::EdgeLab;
use genkan::testing::story::{Ingress, Story};
use genkan::testing::{backend, require_root, require_tool};

/// An edge that serves `shop.example` in clear text and by TLS, and the file of its CA.
fn story(tool: &str) -> Option<(Story, String)> {
    if !require_root() || !require_tool(tool) {
        return None;
    }
    let mut story = Story::new(env!("CARGO_BIN_EXE_genkan"), 2);
    let ca = TestCa::new();
    let shop =
        Ingress::new("shop").tls("shop", &["shop.example"]).rule("shop.example", "/", "pods");
    let secret = ca.issue(&["shop.example"]).secret_yaml("default", "shop");
    story.write_services();
    story.manifests.write("shop.yaml", &shop.yaml());
    story.manifests.write("secret.yaml", &secret);
    for backend in &story.backends {
        backend
            .on("/mirror", backend::Answer::mirror())
            .on("/large", backend::Answer::size(3 << 20));
    }
    // Load generators are not to be told to come back on another connection.
    story.configure(|config| {
        config.tls.https_redirect = Some(false);
        config.limits.keep_alive_requests = u64::from(u32::MAX);
    });
    story.start();
    let roots = story.config_file().with_file_name("ca.pem");
    std::fs::write(&roots, ca.pem()).unwrap();
    let roots = roots.to_str().unwrap().to_owned();
    Some((story, roots))
}

/// An address as it stands in a URL.
fn literal(vip: IpAddr) -> String {
    if vip.is_ipv6() { format!("[{vip}]") } else { vip.to_string() }
}

#[test]
fn curl_is_served_by_http1_and_http2() {
    let Some((story, roots)) = story("curl") else { return };
    let upload = story.config_file().with_file_name("upload");
    let body: Vec<u8> = (0..=u8::MAX).cycle().take(900 << 10).collect();
    std::fs::write(&upload, &body).unwrap();
    let echoed = upload.with_file_name("echoed");
    for vip in EdgeLab::VIPS {
        let resolve = [80, 443].map(|port| format!("shop.example:{port}:{}", literal(vip)));
        let curl = |arguments: &[&str]| {
            let fixed = ["-sS", "--fail", "--max-time", "30", "--cacert", &roots];
            let resolve = ["--resolve", &resolve[0], "--resolve", &resolve[1]];
            story.lab.client.output("curl", &[&fixed[..], &resolve, arguments].concat())
        };
        let facts = "%{http_version} %{http_code} %{size_download} %{num_connects}\n";
        for (arguments, url, version) in [
            (&["--http1.1"][..], "http://shop.example", "1.1"),
            (&["--http1.1"], "https://shop.example", "1.1"),
            (&["--http2", "--tlsv1.3"], "https://shop.example", "2"),
            (&["--http2", "--tls-max", "1.2"], "https://shop.example", "2"),
            (&["--http1.0"], "http://shop.example", "1.1"),
        ] {
            let large = format!("{url}/large");
            let mut all = vec!["-w", facts, "-o", "/dev/null", "-o", "/dev/null"];
            all.extend(arguments);
            all.extend([large.as_str(), large.as_str()]);
            let printed = curl(&all);
            let served = format!("{version} 200 {}", 3 << 20);
            assert_eq!(
                printed.lines().filter(|line| line.starts_with(&served)).count(),
                2,
                "{printed}"
            );
            if !arguments.contains(&"--http1.0") {
                // The second transfer goes on the connection of the first.
                assert!(printed.ends_with(" 0\n"), "{url} {arguments:?}: {printed}");
            }

            let mut all = vec!["--data-binary", "@upload", "-H", "Expect: 100-continue", "-o"];
            let (data, mirror) = (format!("@{}", upload.display()), format!("{url}/mirror"));
            all[1] = &data;
            all.extend([echoed.to_str().unwrap(), mirror.as_str()]);
            all.extend(arguments);
            curl(&all);
            assert!(std::fs::read(&echoed).unwrap() == body, "{url} {arguments:?}");
        }
    }
}

#[test]
fn nghttp_is_served() {
    let Some((story, _)) = story("nghttp") else { return };
    for vip in EdgeLab::VIPS {
        let url = format!("https://{}/large", literal(vip));
        let arguments = ["-nv", "-m", "8", "--no-dep", "-H", ":authority: shop.example", &url];
        let printed = story.lab.client.output("nghttp", &arguments);
        let answers = printed.matches(":status: 200").count();
        assert_eq!(answers, 8, "{printed}");
        assert!(!printed.contains("RST_STREAM"), "{printed}");
    }
}

#[test]
fn h2load_has_every_request_answered() {
    let Some((story, _)) = story("h2load") else { return };
    for (vip, arguments) in EdgeLab::VIPS.into_iter().zip([&["-m", "16"][..], &["--h1"]]) {
        let to = format!("--connect-to={}:443", literal(vip));
        let mut all = vec!["-n", "2000", "-c", "16", "-t", "2", &to];
        all.extend(arguments);
        all.push("https://shop.example/cart");
        let printed = story.lab.client.output("h2load", &all);
        assert!(printed.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{printed}");
        assert!(printed.contains("status codes: 2000 2xx"), "{printed}");
    }
}

#[test]
fn wrk_meets_no_error() {
    let Some((story, _)) = story("wrk") else { return };
    for vip in EdgeLab::VIPS {
        let url = format!("http://{}/cart", literal(vip));
        let arguments = ["-c", "64", "-t", "2", "-d", "2s", "-H", "Host: shop.example", &url];
        let printed = story.lab.client.output("wrk", &arguments);
        let requests = printed.lines().find(|line| line.contains("requests in"));
        assert!(requests.is_some_and(|line| !line.trim_start().starts_with("0 ")), "{printed}");
        for trouble in ["Non-2xx", "Socket errors"] {
            assert!(!printed.contains(trouble), "{printed}");
        }
    }
}
