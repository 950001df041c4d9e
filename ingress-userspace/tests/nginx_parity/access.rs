//! Allow and deny lists.

use std::net::{IpAddr, Ipv4Addr};

use genkan::testing::story::Request;

use super::case::{Case, get};

/// Loopback addresses that clients come from.
fn from(last: [u8; 3]) -> Request {
    let [b, c, d] = last;
    get("/").from_source(IpAddr::V4(Ipv4Addr::new(127, b, c, d)))
}

fn from_several() -> [Request; 5] {
    [[0, 0, 1], [0, 0, 2], [0, 1, 0], [1, 0, 1], [1, 255, 255]].map(from)
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("whitelist-source-range", "networks and addresses; all others 403")
            .annotate("whitelist-source-range", "127.0.0.2, 127.1.0.0/16,10.0.0.0/8")
            .location("allow 127.0.0.2; allow 127.1.0.0/16; allow 10.0.0.0/8; deny all;")
            .ask_all(from_several()),
        Case::new("allowlist-source-range", "the newer name")
            .annotate("allowlist-source-range", "127.0.0.0/24")
            .location("allow 127.0.0.0/24; deny all;")
            .ask_all(from_several()),
        Case::new("whitelist-source-range", "host bits are ignored")
            .annotate("whitelist-source-range", "127.1.2.3/16")
            .location("allow 127.1.2.3/16; deny all;")
            .ask_all(from_several()),
        Case::new("whitelist-source-range", "IPv6 only: no IPv4 client")
            .annotate("whitelist-source-range", "::/0")
            .location("allow ::/0; deny all;")
            .ask_all(from_several()),
        Case::new("whitelist-source-range", "an entry that is none: 503")
            .annotate("whitelist-source-range", "127.0.0.0/24, 127.0.0.1/33")
            .location("return 503;")
            .ask_all(from_several()),
        Case::new("whitelist-source-range", "an empty list: 503")
            .annotate("whitelist-source-range", "")
            .location("return 503;")
            .ask_all(from_several()),
        Case::new("denylist-source-range", "networks and addresses: 403")
            .annotate("denylist-source-range", "127.0.0.2,127.1.0.0/16")
            .location("deny 127.0.0.2; deny 127.1.0.0/16;")
            .ask_all(from_several()),
        Case::new("denylist-source-range", "wins over the allow list")
            .annotate("denylist-source-range", "127.1.0.1")
            .annotate("whitelist-source-range", "127.1.0.0/16, 127.0.0.2")
            .location("deny 127.1.0.1; allow 127.1.0.0/16; allow 127.0.0.2; deny all;")
            .ask_all(from_several()),
        Case::new("satisfy", "any, with lists alone: the lists decide")
            .annotate("satisfy", "any")
            .annotate("whitelist-source-range", "127.0.0.2")
            .location("satisfy any; allow 127.0.0.2; deny all;")
            .ask_all(from_several()),
    ]
}
