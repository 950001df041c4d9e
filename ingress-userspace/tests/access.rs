//! Access rules on real connections: what they count, until when, and what is asked first.
#![allow(clippy::unwrap_used, reason = "tests panic where a promise is broken")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use genkan::config::Compat;
use genkan::testing::backend::{Answer, Backend, Fault};
use genkan::testing::ca::TestCa;
use genkan::testing::client::{self, Body, ask, full, get};
use genkan::testing::deadline::{DEADLINE, eventually};
use genkan::testing::edge::Edge;
use genkan::testing::story::Ingress;
use http::{HeaderMap, Method, Request};

const HOST: &str = "a.example";

struct Site {
    edge: Edge,
    ca: TestCa,
    backend: Backend,
}

impl Site {
    /// `annotations`: keys without prefix. HTTPS is there, and plain HTTP is not sent to it.
    fn new(compat: Compat, annotations: &[(&str, &str)]) -> Self {
        let edge = Edge::builder()
            .workers(2)
            .config(|config| {
                config.compat = compat;
                config.tls.https_redirect = Some(false);
            })
            .start();
        let (ca, backend) = (TestCa::new(), Backend::http1("pod"));
        // A head, and then nothing.
        backend.on("/stuck", Answer::size(64).with_fault(Fault::StallAfter(16)));
        edge.apply(&ca.issue(&[HOST]).secret_yaml("default", "a"));
        edge.service("pod", None, &[backend.address()]);
        let site = Self { edge, ca, backend };
        site.annotate(annotations);
        site
    }

    fn native(annotations: &[(&str, &str)]) -> Self {
        Self::new(Compat::None, annotations)
    }

    /// Replaces the Ingress.
    fn annotate(&self, annotations: &[(&str, &str)]) {
        let mut ingress = Ingress::new("a").rule(HOST, "/", "pod").tls("a", &[HOST]);
        for (key, value) in annotations {
            ingress = ingress.annotation(&format!("genkan.io/{key}"), value);
        }
        self.edge.apply(&ingress.yaml());
    }

    async fn status(&self, path: &str) -> u16 {
        self.answer(get(HOST, path)).await.0
    }

    async fn answer(&self, request: Request<Body>) -> (u16, HeaderMap) {
        let got = ask(self.edge.http(), request).await;
        (got.status.as_u16(), got.headers)
    }

    /// The status of a request, and its connection while the answer is not complete.
    fn hold(&self, path: &str, fields: &str) -> (u16, TcpStream) {
        head(self.edge.http(), path, fields)
    }
}

fn head(address: SocketAddr, path: &str, fields: &str) -> (u16, TcpStream) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n").unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "closed in the head");
        text.push(byte[0]);
    }
    let text = String::from_utf8(text).unwrap();
    (text.split(' ').nth(1).unwrap().parse().unwrap(), stream)
}

fn options(origin: &str) -> Request<Body> {
    let request = Request::builder().method(Method::OPTIONS).uri("/").header("host", HOST);
    request.header("origin", origin).body(full("")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_holds_for_all_workers_and_outlives_edits() {
    let limit = ("limit-rpm", "1");
    let site = Site::native(&[limit, ("limit-burst-multiplier", "3")]);
    let mut statuses = Vec::new();
    for number in 0..6 {
        if number == 3 {
            site.annotate(&[limit, ("limit-burst-multiplier", "3"), ("proxy-body-size", "1k")]);
        }
        let address = site.edge.http_of(number % 2);
        statuses.push(ask(address, get(HOST, "/")).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429]);
    assert_eq!(site.backend.requests().len(), 4);
    site.annotate(&[]);
    assert_eq!(site.status("/").await, 200, "no limit any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_stream_of_http2_counts_until_it_ends_or_is_reset() {
    let site = Site::native(&[("limit-connections", "2")]);
    let config = site.ca.client_config(&["h2"]);
    let mut sender = client::http2(site.edge.https_of(1), config, HOST).await;
    let mut request = async |path: &str| {
        let request = Request::get(format!("https://{HOST}{path}")).body(full("")).unwrap();
        sender.send_request(request).await.unwrap()
    };
    let first = request("/stuck").await;
    let second = request("/stuck").await;
    assert_eq!(
        (first.status(), second.status()),
        (200.try_into().unwrap(), 200.try_into().unwrap())
    );
    assert_eq!(request("/").await.status(), 429);
    assert_eq!(site.status("/").await, 429, "of the other worker");
    // The client resets the stream.
    drop(first);
    loop {
        let answer = request("/").await;
        match answer.status().as_u16() {
            200 => break assert!(client::read(answer).await.is_ok()),
            status => assert_eq!(status, 429),
        }
    }
    drop((second, sender));
    eventually("the connection's streams are over", || {
        let (one, two) = (site.hold("/stuck", ""), site.hold("/stuck", ""));
        (one.0, two.0) == (200, 200)
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_counts_until_its_client_leaves_and_an_upgrade_until_it_closes() {
    let site = Site::native(&[("limit-connections", "1")]);
    let upgrade = "Connection: Upgrade\r\nUpgrade: echo\r\n";
    for (path, fields, status) in [("/stuck", "", 200), ("/raw", upgrade, 101)] {
        eventually("nothing is under way", || {
            let (got, held) = site.hold(path, fields);
            let refused = || head(site.edge.http_of(1), "/", "").0 == 429;
            let holds = got == status && refused();
            drop(held);
            holds
        });
    }
    eventually("nothing is under way", || head(site.edge.http(), "/", "").0 == 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d21_natively_the_lists_come_first_and_as_nginx_redirects_and_preflights_do() {
    let annotations = [("denylist-source-range", "127.0.0.1"), ("enable-cors", "true")];
    for (compat, plain, preflight) in [(Compat::None, 403, 403), (Compat::Nginx, 308, 204)] {
        let site = Site::new(compat, &annotations);
        site.annotate(&[&annotations[..], &[("ssl-redirect", "true")]].concat());
        assert_eq!(site.status("/").await, plain, "{compat:?}");
        let (status, fields) = site.answer(options("https://b.example")).await;
        assert_eq!(status, preflight, "{compat:?}");
        assert_eq!(fields["access-control-allow-origin"], "*");
        assert!(site.backend.requests().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d11_the_status_of_a_limit_is_429_and_as_nginx_503() {
    for (compat, status) in [(Compat::None, 429), (Compat::Nginx, 503)] {
        let site = Site::new(compat, &[("limit-rpm", "1"), ("limit-burst-multiplier", "1")]);
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(site.status("/").await);
        }
        assert_eq!(statuses, [200, 200, status]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c9_as_nginx_a_missing_endpoint_shows_before_the_lists() {
    for (compat, status) in [(Compat::None, 403), (Compat::Nginx, 503)] {
        let site = Site::new(compat, &[("denylist-source-range", "127.0.0.1")]);
        site.edge.remove(genkan::model::Kind::EndpointSlice, "pod-0");
        assert_eq!(site.status("/").await, status, "{compat:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_ours_and_of_the_pod_can_be_read_by_a_listed_origin_only() {
    let site = Site::native(&[("enable-cors", "true"), ("cors-allow-origin", "https://b.example")]);
    let lost = Answer::fault(Fault::CloseBeforeHead);
    site.backend.on("/lost", lost);
    for (path, status) in [("/", 200), ("/lost", 502)] {
        for (origin, allowed) in [("https://b.example", true), ("https://c.example", false)] {
            let request = Request::get(path).header("host", HOST).header("origin", origin);
            let (got, fields) = site.answer(request.body(full("")).unwrap()).await;
            assert_eq!(got, status);
            let told = fields.get("access-control-allow-origin").map(|v| v.to_str().unwrap());
            assert_eq!(told, allowed.then_some(origin), "{path}");
            assert_eq!(fields["vary"], "Origin");
        }
    }
}

/// `ann` with a costly hash of `pw`.
const PASSWORDS: &str = "ann:$2y$04$abcdefghijklmnopqrstuuyvPXIbu7xe6/CED2DzX8z6Si09MlzlW";
const ASKING: [(&str, &str); 3] =
    [("auth-type", "basic"), ("auth-secret", "pw"), ("auth-realm", "the \"staff\"")];

fn passwords(file: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: pw}}\nstringData: {{auth: {file:?}}}\n"
    )
}

fn with(credentials: &str) -> Request<Body> {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
    let request = Request::get("/").header("host", HOST);
    request.header("authorization", format!("Basic {encoded}")).body(full("")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_opens_the_route_and_stays_with_us() {
    let site = Site::native(&[]);
    site.edge.apply(&passwords(PASSWORDS));
    site.annotate(&ASKING);
    let (status, fields) = site.answer(get(HOST, "/")).await;
    assert_eq!(status, 401);
    assert_eq!(fields["www-authenticate"], r#"Basic realm="the \"staff\"""#);
    assert_eq!(site.answer(with("ann:pv")).await.0, 401);
    assert_eq!(site.answer(with("eve:pw")).await.0, 401);
    assert!(site.backend.requests().is_empty());
    // Both workers, by the check and by what is remembered of it.
    for number in 0..4 {
        let got = ask(site.edge.http_of(number % 2), with("ann:pw")).await;
        assert_eq!(got.status, 200);
        assert!(!site.backend.last_request().headers.contains_key("authorization"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_changes_or_goes_is_followed_by_the_next_request() {
    let site = Site::native(&[]);
    site.edge.apply(&passwords(PASSWORDS));
    site.annotate(&ASKING);
    assert_eq!(site.answer(with("ann:pw")).await.0, 200);
    site.edge.apply(&passwords("ann:{PLAIN}new"));
    assert_eq!(site.answer(with("ann:pw")).await.0, 401);
    assert_eq!(site.answer(with("ann:new")).await.0, 200);
    site.edge.remove(genkan::model::Kind::Secret, "pw");
    assert_eq!(site.answer(with("ann:new")).await.0, 503);
    site.edge.apply(&passwords(PASSWORDS));
    assert_eq!(site.answer(with("ann:pw")).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preflight_needs_no_password_and_a_refusal_can_be_read() {
    let site = Site::native(&[]);
    site.edge.apply(&passwords(PASSWORDS));
    site.annotate(&[&ASKING[..], &[("enable-cors", "true")]].concat());
    assert_eq!(site.answer(options("https://b.example")).await.0, 204);
    let (status, fields) = site.answer(get(HOST, "/")).await;
    assert_eq!((status, &fields["access-control-allow-origin"]), (401, &"*".parse().unwrap()));
    let config = site.ca.client_config(&["h2"]);
    let mut sender = client::http2(site.edge.https(), config, HOST).await;
    let request = Request::get(format!("https://{HOST}/")).body(full("")).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 401);
    assert!(answer.headers().contains_key("www-authenticate"));
}
