//! What is asked, and what the manifests promise for it.

/// One set of manifests and the requests to it.
pub(crate) struct Act {
    pub(crate) title: &'static str,
    /// Directory below `deploy/examples`.
    pub(crate) manifests: &'static str,
    /// Secrets that are made for it, with the name in their certificate.
    pub(crate) secrets: &'static [(&'static str, &'static str)],
    pub(crate) asks: Vec<Ask>,
    /// A file of the set, and the file whose `spec` is put into it while it is served.
    pub(crate) edit: Option<(&'static str, &'static str)>,
    pub(crate) asks_after_edit: Vec<Ask>,
}

/// One request through the VIP.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) how: How,
    pub(crate) host: &'static str,
    pub(crate) path: &'static str,
    pub(crate) family: Family,
    pub(crate) promise: Promise,
}

#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum How {
    Http,
    /// HTTP/1.1 over TLS, the certificate verified for the host.
    Https,
    /// HTTP/2 over TLS, likewise.
    Http2,
    WebSocket,
    /// ICMP echo to the VIP.
    Ping,
    /// A connection to this port.
    Port(u16),
}

#[derive(Clone, Copy)]
pub(crate) enum Family {
    V4,
    V6,
}

#[derive(Clone)]
pub(crate) enum Promise {
    /// 200 from one of these pods.
    Pods(&'static [usize]),
    /// 200 from one of these pods, which sees this path.
    Rewritten(&'static [usize], &'static str),
    /// An answer of Genkan itself.
    Status(u16),
    /// An ICMP echo reply.
    Echo,
    /// No answer at all.
    Silence,
}

fn http(host: &'static str, path: &'static str, promise: Promise) -> Ask {
    Ask { how: How::Http, host, path, family: Family::V4, promise }
}

impl Ask {
    fn v6(mut self) -> Self {
        self.family = Family::V6;
        self
    }

    fn by(mut self, how: How) -> Self {
        self.how = how;
        self
    }
}

/// Pods of the example Services; deploy/examples/README.md has their addresses.
const WEB: &[usize] = &[0, 1];
const API: &[usize] = &[2];
const FALLBACK: &[usize] = &[3];
const WEBSOCKET: &[usize] = &[2, 3];
const S1: &[usize] = &[0, 1];
const S2: &[usize] = &[2];

pub(crate) fn all() -> Vec<Act> {
    vec![minimal(), fanout(), virtual_hosts(), tls_without_rules(), current()]
}

fn act(title: &'static str, manifests: &'static str, asks: Vec<Ask>) -> Act {
    Act { title, manifests, secrets: &[], asks, edit: None, asks_after_edit: Vec::new() }
}

fn minimal() -> Act {
    act(
        "v1beta1/01: one path, rewritten",
        "v1beta1/01-minimal",
        vec![
            http("any.example.com", "/testpath", Promise::Rewritten(S1, "/")),
            http("any.example.com", "/testpath", Promise::Rewritten(S1, "/")).v6(),
            http("any.example.com", "/elsewhere", Promise::Status(404)),
        ],
    )
}

fn fanout() -> Act {
    act(
        "v1beta1/02: two paths of one host, rewritten",
        "v1beta1/02-fanout",
        vec![
            http("foo.bar.com", "/foo", Promise::Rewritten(S1, "/")),
            http("foo.bar.com", "/bar", Promise::Rewritten(S2, "/")),
            http("foo.bar.com", "/baz", Promise::Status(404)),
            http("other.bar.com", "/foo", Promise::Status(404)),
        ],
    )
}

fn virtual_hosts() -> Act {
    Act {
        edit: Some(("03-name-based-virtual-hosts.yaml", "v1beta1/06-edited-rules.yaml")),
        asks_after_edit: vec![
            http("bar.baz.com", "/foo", Promise::Pods(S2)),
            http("foo.bar.com", "/foo", Promise::Pods(S1)).v6(),
            http("foo.bar.com", "/", Promise::Status(404)),
            http("bar.foo.com", "/", Promise::Status(404)),
        ],
        ..act(
            "v1beta1/03: two hosts; then 06 is edited into it",
            "v1beta1/03-name-based-virtual-hosts",
            vec![
                http("bar.foo.com", "/", Promise::Pods(S2)),
                http("foo.bar.com", "/", Promise::Pods(S1)).v6(),
            ],
        )
    }
}

fn tls_without_rules() -> Act {
    Act {
        secrets: &[("testsecret", "plain.example.com")],
        ..act(
            "v1beta1/05: a default backend with a certificate (04's Secret made good)",
            "v1beta1/05-tls-no-rules",
            vec![
                http("plain.example.com", "/", Promise::Pods(S1)).by(How::Http2),
                http("plain.example.com", "/", Promise::Pods(S1)).by(How::Https).v6(),
            ],
        )
    }
}

fn current() -> Act {
    let asks = vec![
        http("fanout.example.com", "/", Promise::Pods(WEB)),
        http("fanout.example.com", "/api/items", Promise::Pods(API)),
        http("fanout.example.com", "/api/health", Promise::Pods(WEB)).v6(),
        http("one.example.com", "/", Promise::Pods(WEB)),
        http("any.apps.example.com", "/", Promise::Pods(API)),
        http("shop.example.com", "/", Promise::Pods(WEB)).by(How::Http2),
        http("blog.example.com", "/", Promise::Pods(API)).by(How::Https).v6(),
        http("shop.example.com", "/", Promise::Status(308)),
        http("nobody.example.com", "/", Promise::Pods(FALLBACK)),
        http("ws.example.com", "/chat", Promise::Pods(WEBSOCKET)).by(How::WebSocket),
        http("", "", Promise::Echo).by(How::Ping),
        http("", "", Promise::Echo).by(How::Ping).v6(),
        http("", "", Promise::Silence).by(How::Port(22)),
    ];
    Act {
        secrets: &[("shop-tls", "shop.example.com"), ("blog-tls", "blog.example.com")],
        ..act("v1: fanout, hosts, two certificates, default backend, WebSocket", "v1", asks)
    }
}
