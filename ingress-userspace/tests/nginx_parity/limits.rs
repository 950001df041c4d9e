//! Rates and requests at a time, of one client.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use genkan::testing::backend::{Answer, Fault};
use genkan::testing::story::Request;

use super::case::{Case, get};

/// A head, and then nothing.
fn stuck() -> Answer {
    Answer::size(64).with_fault(Fault::StallAfter(16))
}

fn other() -> Request {
    get("/").from_source(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)))
}

fn zone(key: &str, name: &str, rate: &str) -> String {
    format!("limit_req_zone {key} zone={name}:5m rate={rate};")
}

pub(crate) fn cases() -> Vec<Case> {
    const CLIENT: &str = "$binary_remote_addr";
    let requests = |count| (0..count).map(|_| get("/"));
    vec![
        Case::new("limit-rpm", "one and five times the rate at once, then 503; others are free")
            .annotate("limit-rpm", "1")
            .http(&zone(CLIENT, "rpm", "1r/m"))
            .location("limit_req zone=rpm burst=5 nodelay;")
            .ask_all(requests(8))
            .ask(other())
            .within(Duration::from_secs(30)),
        Case::new("limit-rps", "one and five times the rate at once, then 503")
            .annotate("limit-rps", "1")
            .http(&zone(CLIENT, "rps", "1r/s"))
            .location("limit_req zone=rps burst=5 nodelay;")
            .ask_all(requests(8))
            .within(Duration::from_millis(900)),
        Case::new("limit-burst-multiplier", "another burst")
            .annotate("limit-rpm", "2")
            .annotate("limit-burst-multiplier", "2")
            .http(&zone(CLIENT, "rpm", "2r/m"))
            .location("limit_req zone=rpm burst=4 nodelay;")
            .ask_all(requests(7))
            .within(Duration::from_secs(15)),
        Case::new("limit-rpm", "beside limit-rps: each has to admit")
            .annotate("limit-rpm", "3")
            .annotate("limit-rps", "1")
            .annotate("limit-burst-multiplier", "1")
            .http(&format!("{}{}", zone(CLIENT, "rps", "1r/s"), zone(CLIENT, "rpm", "3r/m")))
            .location("limit_req zone=rps burst=1 nodelay; limit_req zone=rpm burst=3 nodelay;")
            .ask_all(requests(5))
            .within(Duration::from_millis(900)),
        Case::new("limit-rpm", "all paths of the Ingress count together")
            .annotate("limit-rpm", "1")
            .paths(&[("/a", "Prefix"), ("/b", "Prefix")])
            .http(&zone(CLIENT, "rpm", "1r/m"))
            .server(
                "location /a { limit_req zone=rpm burst=5 nodelay; PROXY }\n\
                 location /b { limit_req zone=rpm burst=5 nodelay; PROXY }",
            )
            .ask_all((0..9).map(|n| get(if n % 2 == 0 { "/a" } else { "/b" })))
            .within(Duration::from_secs(30)),
        Case::new("limit-rpm", "0 is no limit").annotate("limit-rpm", "0").ask_all(requests(8)),
        Case::new("limit-whitelist", "clients without limits")
            .annotate("limit-rpm", "1")
            .annotate("limit-whitelist", "127.0.0.0/30,127.0.0.5")
            .http(&format!(
                "geo $free {{ default 0; 127.0.0.0/30 1; 127.0.0.5 1; }}\n\
                 map $free $limited {{ 0 $binary_remote_addr; 1 \"\"; }}\n{}",
                zone("$limited", "rpm", "1r/m")
            ))
            .location("limit_req zone=rpm burst=5 nodelay;")
            .ask_all(requests(8))
            .ask_all((0..8).map(|_| get("/").from_source(IpAddr::from([127, 0, 0, 9]))))
            .within(Duration::from_secs(30)),
        Case::new("limit-connections", "so many requests at a time, then 503; others are free")
            .annotate("limit-connections", "2")
            .http("limit_conn_zone $binary_remote_addr zone=conn:5m;")
            .location("limit_conn conn 2;")
            .pod("/stuck", stuck())
            .ask_all(requests(5))
            .hold("/stuck")
            .ask(get("/"))
            .hold("/stuck")
            .ask(get("/"))
            .hold("/stuck")
            .ask(other()),
        Case::new("limit-connections", "counts after the rates, which are used")
            .annotate("limit-connections", "1")
            .annotate("limit-rpm", "1")
            .annotate("limit-burst-multiplier", "3")
            .http(&format!(
                "limit_conn_zone $binary_remote_addr zone=conn:5m;{}",
                zone(CLIENT, "rpm", "1r/m")
            ))
            .location("limit_conn conn 1; limit_req zone=rpm burst=3 nodelay;")
            .pod("/stuck", stuck())
            .hold("/stuck")
            .ask_all(requests(6))
            .within(Duration::from_secs(30)),
        Case::new("limit-rpm", "comes before the allow list")
            .annotate("limit-rpm", "1")
            .annotate("limit-burst-multiplier", "1")
            .annotate("whitelist-source-range", "10.0.0.0/8")
            .http(&zone(CLIENT, "rpm", "1r/m"))
            .location("limit_req zone=rpm burst=1 nodelay; allow 10.0.0.0/8; deny all;")
            .ask_all(requests(4))
            .within(Duration::from_secs(30)),
        Case::new("limit-rpm", "a value that is no number: 503")
            .annotate("limit-rpm", "ten")
            .location("return 503;")
            .ask_all(requests(1)),
    ]
}
