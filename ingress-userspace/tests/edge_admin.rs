//! What a running process tells about itself, and how it is asked to leave.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use genkan::admin::status::{ConditionState, Readiness, Status, Steer};
use genkan::testing::ca::TestCa;
use genkan::testing::deadline::{DEADLINE, eventually, eventually_some};
use genkan::testing::lab::EdgeLab;
use genkan::testing::story::{Ingress, Request, Story, any_certificate, connect};
use genkan::testing::{backend::Answer, openmetrics, require_root};
use http::StatusCode;

fn story(pods: usize) -> Option<Story> {
    require_root().then(|| {
        let story = Story::new(env!("CARGO_BIN_EXE_genkan"), pods);
        story.write_services();
        let shop = Ingress::new("shop").rule("shop.example", "/", "pods");
        story.manifests.write("shop.yaml", &shop.yaml());
        story
    })
}

fn socket_argument(story: &Story) -> String {
    format!("--socket={}", story.admin().socket().display())
}

#[test]
fn process_is_ready_with_reasons_and_tells_what_it_serves() {
    let Some(mut story) = story(2) else { return };
    let probe = |story: &Story, what: &str| story.genkan(&["probe", what, &socket_argument(story)]);
    let nobody = probe(&story, "ready");
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
    let told = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(told.contains("admin.sock"), "{told}");

    story.start();
    for what in ["live", "ready"] {
        assert_eq!(probe(&story, what).status.code(), Some(0));
    }
    let readiness: Readiness = story.admin().document("/readyz?output=json").unwrap();
    let good = readiness.conditions.iter().all(|c| c.state == ConditionState::Good);
    assert!(readiness.ready && good, "{readiness:?}");

    for vip in EdgeLab::VIPS {
        assert_eq!(story.get(vip, "shop.example", "/").status, 200);
        assert_eq!(story.get(vip, "other.example", "/").status, 404);
    }
    // A request is counted when its answer is out.
    let status = eventually_some("four requests are counted", || {
        let status: Status = story.admin().document("/status").unwrap();
        (status.traffic.requests == 4).then_some(status)
    });
    assert_eq!(status.traffic.answers["2xx"], 2);
    assert_eq!(status.traffic.failures["no_route"], 2);
    let [vip] = &status.vips[..] else { panic!("{:?}", status.vips) };
    assert_eq!((vip.name.as_str(), vip.steer), (Story::VIP, Steer::Native));
    assert_eq!(vip.addresses, EdgeLab::VIPS);
    assert!(vip.verdicts["tcp_syn"] >= 4, "{:?}", vip.verdicts);
    let routes = status.routes.unwrap();
    assert_eq!(routes.items[0].host.as_deref(), Some("shop.example"));
    let clusters = status.clusters.unwrap();
    assert_eq!(clusters.items[0].endpoints.len(), 4, "two pods with two addresses each");
    assert!(status.workers.iter().all(|worker| worker.served > 0), "{:?}", status.workers);
    assert!(status.process.resident_bytes > 0);
}

#[test]
fn metrics_move_with_requests_and_with_dropped_packets() {
    let Some(mut story) = story(1) else { return };
    story.configure_vip(|vip| vip.deny = vec!["198.51.100.0/24".parse().unwrap()]);
    story.backends[0].on("/teapot", Answer::status(418));
    let ca = TestCa::new();
    let leaf = ca.issue(&["shop.example"]);
    story.manifests.write("secret.yaml", &leaf.secret_yaml("default", "shop-tls"));
    story.start();
    let before = scrape(&story);
    let named = [("namespace", "default"), ("ingress", "shop"), ("service", "pods")];
    assert_eq!(before.sum("genkan_requests_total", &named), 0.0);

    for vip in EdgeLab::VIPS {
        for path in ["/", "/teapot"] {
            story.get(vip, "shop.example", path);
        }
        story.get(vip, "nobody.example", "/");
        let tls = Request::get("shop.example", "/").tls(&any_certificate(&["h2"]));
        story.send(vip, &tls).unwrap();
    }
    let refused: IpAddr = "198.51.100.7".parse().unwrap();
    story.lab.client_source(refused);
    let to = SocketAddr::new(EdgeLab::VIP4, 80);
    connect(&story.lab.client, Some(refused), to, Duration::from_millis(300));

    // A request is counted when its answer is out.
    let after = eventually_some("eight requests are counted", || {
        let after = scrape(&story);
        (after.sum("genkan_requests_total", &[]) == 8.0).then_some(after)
    });
    let requests = |status: &str| {
        let labels: Vec<_> = named.into_iter().chain([("status", status)]).collect();
        after.sum("genkan_requests_total", &labels)
    };
    assert_eq!((requests("200"), requests("418")), (4.0, 2.0));
    let route = [("route", "default/shop/rules[0].paths[0]")];
    assert_eq!(after.sum("genkan_requests_total", &route), 6.0);
    assert_eq!(after.sum("genkan_requests_total", &[("route", ""), ("status", "404")]), 2.0);
    assert_eq!(after.sum("genkan_request_duration_seconds_count", &named), 6.0);
    assert_eq!(after.sum("genkan_upstream_response_seconds_count", &named), 6.0);
    assert!(after.sum("genkan_response_body_bytes_total", &named) > 0.0);
    assert_eq!(after.sum("genkan_failures_total", &[("reason", "no_route")]), 2.0);
    let h2 = [("version", "TLSv1.3"), ("alpn", "h2"), ("resumed", "false")];
    assert_eq!(after.sum("genkan_tls_handshakes_total", &h2), 2.0);
    assert_eq!(after.sum("genkan_upstream_requests_total", &[]), 6.0);
    assert!(after.sum("genkan_upstream_connections_opened_total", &[]) >= 1.0);
    let denied = [("vip", Story::VIP), ("verdict", "denied")];
    assert!(after.sum("genkan_vip_packets_total", &denied) >= 1.0);
    assert_eq!(after.sum("genkan_interface_steer", &[("mode", "native")]), 1.0);
    assert_eq!(after.sum("genkan_ready", &[]), 1.0);
    assert!(after.sum("genkan_certificate_expiry_timestamp_seconds", &[]) > 0.0);

    // An edit of the host takes no count away; a route that is gone takes its series along.
    let more =
        Ingress::new("shop").rule("shop.example", "/", "pods").rule("b.example", "/", "pods");
    story.manifests.write("shop.yaml", &more.yaml());
    story.wait_for_status("b.example", "/", 200);
    assert_eq!(scrape(&story).sum("genkan_requests_total", &[("status", "418")]), 2.0);
    story.manifests.remove("shop.yaml");
    story.wait_for_status("b.example", "/", 404);
    assert_eq!(scrape(&story).sum("genkan_requests_total", &named), 0.0);
}

/// What a scraper that knows OpenMetrics gets, read strictly.
fn scrape(story: &Story) -> openmetrics::Families {
    let text = story.admin().get("/metrics?form=openmetrics").unwrap().or_refused().unwrap().text();
    openmetrics::parse(&text).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

#[test]
fn what_is_wrong_shows_until_it_is_right() {
    let Some(mut story) = story(1) else { return };
    story.start();
    let lost = Ingress::new("lost").rule("lost.example", "/", "no-such-service");
    story.manifests.write("lost.yaml", &lost.yaml());
    let status = || -> Status { story.admin().document("/status").unwrap() };
    let problem = eventually_some("the problem shows", || status().problems?.items.pop());
    assert_eq!(problem.reason, "ServiceNotFound");
    assert!(problem.file.unwrap().ends_with("lost.yaml"));
    story.manifests.remove("lost.yaml");
    eventually("the problem is gone", || status().configuration.problems == 0);

    let file = story.config_file().to_owned();
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "vips: [{name: A}]\n").unwrap();
    let refused = eventually_some("the refusal shows", || status().configuration.errors.pop());
    assert!(refused.contains("genkan.yaml:1"), "{refused}");
    let degraded = story.admin().get("/readyz").unwrap();
    assert_eq!(degraded.status, StatusCode::OK);
    assert!(degraded.text().contains("[~] configuration"), "{}", degraded.text());
    std::fs::write(&file, before).unwrap();
    eventually("the refusal is gone", || status().configuration.errors.is_empty());
}

#[test]
fn nothing_secret_leaves_the_process() {
    let Some(mut story) = story(1) else { return };
    let ca = TestCa::new();
    let leaf = ca.issue(&["shop.example"]);
    let secret = leaf.secret_yaml("default", "shop-tls");
    story.manifests.write("secret.yaml", &secret);
    let shop =
        Ingress::new("shop").tls("shop-tls", &["shop.example"]).rule("shop.example", "/", "pods");
    story.manifests.write("shop.yaml", &shop.yaml());
    story.start();
    let key = secret.lines().find_map(|line| line.trim().strip_prefix("tls.key:")).unwrap().trim();
    assert!(key.len() > 100, "{secret}");
    for target in ["/config_dump", "/status", "/problems", "/version", "/log", "/readyz"] {
        let text = story.admin().get(target).unwrap().or_refused().unwrap().text();
        assert!(!text.contains(key) && !text.contains("PRIVATE KEY"), "{target}: {text}");
    }
    let dump = story.admin().get("/config_dump").unwrap().text();
    assert!(dump.contains("shop-tls") && dump.contains("shop.example"), "{dump}");
    assert!(dump.contains("\"drain\""), "the whole configuration: {dump}");
}

#[test]
fn drain_by_command_ends_the_process_as_sigterm_does() {
    let Some(mut story) = story(1) else { return };
    story.start();
    assert_eq!(story.get(EdgeLab::VIP4, "shop.example", "/").status, 200);
    let output = story.genkan(&["drain", "--wait", &socket_argument(&story)]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(story.process().wait(DEADLINE).code(), Some(0));
    assert!(!story.admin().socket().exists(), "the process takes its socket away");
}

#[test]
fn newest_process_has_the_socket_whatever_was_there() {
    let Some(mut story) = story(1) else { return };
    // What a killed process leaves behind.
    drop(UnixListener::bind(story.admin().socket()).unwrap());
    story.start();
    let pid = |story: &Story| {
        let status: Status = story.admin().document("/status?lists=").unwrap();
        status.process.pid
    };
    assert_eq!(pid(&story), story.process().id());
    let mut first = story.start_successor();
    assert_eq!(pid(&story), story.process().id());
    first.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(first.wait(DEADLINE).code(), Some(0), "{}", first.output());
    assert_eq!(pid(&story), story.process().id(), "the older process leaves it alone");
}

#[test]
fn log_level_changes_while_the_process_runs() {
    let Some(mut story) = story(1) else { return };
    story.start();
    let wish = r#"{"filter": "info,genkan::source=debug,genkan::agent=debug", "seconds": 1}"#;
    let put =
        |body: &'static str| story.admin().ask(http::Method::PUT, "/log", body.into()).unwrap();
    assert_eq!(put(r#"{"filter": "=nonsense="}"#).status, StatusCode::BAD_REQUEST);
    assert_eq!(put(wish).status, StatusCode::OK);
    let more = Ingress::new("more").rule("more.example", "/", "pods");
    story.manifests.write("more.yaml", &more.yaml());
    story.wait_for_log("DEBUG");
    story.wait_for_log("as at the start again");
    let told = story.admin().get("/log").unwrap().text();
    assert!(told.contains(r#""filter":"info""#), "{told}");
}

#[test]
fn access_log_names_pod_and_request_and_follows_its_file_and_configuration() {
    let Some(mut story) = story(1) else { return };
    let ca = TestCa::new();
    let leaf = ca.issue(&["shop.example"]);
    story.manifests.write("secret.yaml", &leaf.secret_yaml("default", "shop-tls"));
    let shop =
        Ingress::new("shop").tls("shop-tls", &["shop.example"]).rule("shop.example", "/", "pods");
    story.manifests.write("shop.yaml", &shop.yaml());
    let file = story.config_file().with_file_name("access.log");
    let log_to = |config: &mut genkan::config::Config, rest: serde_json::Value| {
        let mut log = rest;
        log["to"] = file.to_str().unwrap().into();
        config.access_log = serde_json::from_value(log).unwrap();
    };
    story.configure(|config| log_to(config, serde_json::json!({}))).start();
    let line = |what: &str| {
        let text = || std::fs::read_to_string(&file).unwrap_or_default();
        let found = || text().lines().find(|line| line.contains(what)).map(str::to_owned);
        eventually_some(&format!("a line with {what}"), found)
    };

    let request = Request::get("shop.example", "/one").tls(&any_certificate(&["h2"]));
    let answer = story.send(EdgeLab::VIP4, &request).unwrap();
    let logged: serde_json::Value = serde_json::from_str(&line("/one")).unwrap();
    assert_eq!(logged["request_id"], answer.upstream_header("x-request-id"));
    assert_eq!(logged["cluster"], "default/pods:80");
    assert_eq!(logged["route"], "default/shop/rules[0].paths[0]");
    assert_eq!(logged["protocol"], "HTTP/2.0");
    assert_eq!(
        (&logged["sni"], &logged["tls_version"]),
        (&"shop.example".into(), &"TLSv1.3".into())
    );
    assert!(logged["tls_cipher"].as_str().unwrap().starts_with("TLS13_"), "{logged}");
    assert!(logged["upstream_us"].as_u64().unwrap() > 0, "{logged}");
    assert!(logged["endpoint"].as_str().unwrap().ends_with(":8080"), "{logged}");

    // As logrotate does it.
    let old = file.with_extension("log.1");
    std::fs::rename(&file, &old).unwrap();
    story.process().signal(nix::sys::signal::Signal::SIGHUP);
    eventually("the file is there again", || file.exists());
    story.send(EdgeLab::VIP4, &request_to("/two")).unwrap();
    line("/two");
    assert!(!std::fs::read_to_string(&old).unwrap().contains("/two"));

    story.configure(|config| {
        log_to(config, serde_json::json!({"format": "own: $status $path $pod"}));
    });
    let own = eventually_some("the new form is taken", || {
        story.send(EdgeLab::VIP4, &request_to("/three")).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        text.lines().find(|line| line.starts_with("own:")).map(str::to_owned)
    });
    assert!(own.starts_with("own: 200 /three "), "{own}");
}

fn request_to(path: &str) -> Request {
    Request::get("shop.example", path).tls(&any_certificate(&["http/1.1"]))
}
