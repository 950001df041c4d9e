//! Which pod gets a request: canaries and sessions.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use genkan::config::Compat;
use genkan::testing::backend::{Answer, Backend};
use genkan::testing::client::{Body, Got, ask, full};
use genkan::testing::edge::Edge;
use http::Request;

const HOST: &str = "shared.example";

fn edge() -> Edge {
    Edge::builder().config(|config| config.compat = Compat::Nginx).start()
}

/// An Ingress for `/` of the host.
fn ingress(edge: &Edge, name: &str, service: &str, annotations: &[(&str, &str)]) {
    let annotations: String = annotations
        .iter()
        .map(|(key, value)| format!("    nginx.ingress.kubernetes.io/{key}: {value:?}\n"))
        .collect();
    edge.apply(&format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  \
         namespace: default\n  annotations:\n    test: x\n{annotations}spec:\n  rules:\n  \
         - host: {HOST}\n    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: \
         {{name: {service}, port: {{number: 80}}}}}}}}]}}\n"
    ));
}

fn get(fields: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::get("/").header("host", HOST);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(full("")).unwrap()
}

async fn pod(edge: &Edge, fields: &[(&str, &str)]) -> String {
    let got = ask(edge.http(), get(fields)).await;
    assert_eq!(got.status, 200);
    got.headers["x-pod"].to_str().unwrap().to_owned()
}

/// The main Service and its canary.
struct Site {
    edge: Edge,
    _pods: [Backend; 2],
}

impl Site {
    fn new(main: &[(&str, &str)], canary: &[(&str, &str)]) -> Self {
        let edge = edge();
        let pods = [Backend::http1("main"), Backend::http1("new")];
        for pod in &pods {
            edge.service(pod.pod(), None, &[pod.address()]);
        }
        ingress(&edge, "main", "main", main);
        ingress(&edge, "new", "new", &[&[("canary", "true")], canary].concat());
        Self { edge, _pods: pods }
    }

    /// How many of 200 requests each pod gets.
    async fn shares(&self, fields: &[(&str, &str)]) -> BTreeMap<String, usize> {
        let mut shares = BTreeMap::new();
        for _ in 0..200 {
            *shares.entry(pod(&self.edge, fields).await).or_default() += 1;
        }
        shares
    }
}

#[tokio::test]
async fn canary_weight_is_the_share_of_requests() {
    let shares = Site::new(&[], &[("canary-weight", "50")]).shares(&[]).await;
    // 200 even draws are this far from 100 once in a million runs.
    assert!((65..=135).contains(&shares["new"]), "{shares:?}");
    let none = Site::new(&[], &[("canary-weight", "0")]).shares(&[]).await;
    assert_eq!(none.get("new"), None);
    let all = Site::new(&[], &[("canary-weight", "100")]).shares(&[]).await;
    assert_eq!(all.get("main"), None);
    let tenth = [("canary-weight", "100"), ("canary-weight-total", "1000")];
    let shares = Site::new(&[], &tenth).shares(&[]).await;
    assert!(shares["main"] > 150, "{shares:?}");
}

#[tokio::test]
async fn canary_by_header_comes_before_cookie_and_both_before_weight() {
    let rules =
        [("canary-by-header", "X-New"), ("canary-by-cookie", "new"), ("canary-weight", "100")];
    let site = Site::new(&[], &rules);
    for (fields, expected) in [
        (&[][..], "new"),
        (&[("x-new", "never")], "main"),
        (&[("cookie", "new=never")], "main"),
        (&[("x-new", "always"), ("cookie", "new=never")], "new"),
        (&[("x-new", "other"), ("cookie", "a=b; new=never")], "main"),
    ] {
        assert_eq!(pod(&site.edge, fields).await, expected, "{fields:?}");
    }
}

#[tokio::test]
async fn canary_by_header_value_and_pattern_choose_by_the_value() {
    let value = [("canary-by-header", "x-region"), ("canary-by-header-value", "eu")];
    let pattern = [("canary-by-header", "x-region"), ("canary-by-header-pattern", "^eu(-|$)")];
    for (rules, sent, expected) in [
        (&value, "eu", "new"),
        (&value, "eu-1", "main"),
        (&value, "always", "main"),
        (&pattern, "eu-1", "new"),
        (&pattern, "europe", "main"),
    ] {
        let site = Site::new(&[], rules);
        assert_eq!(pod(&site.edge, &[("x-region", sent)]).await, expected, "{sent}");
    }
}

#[tokio::test]
async fn c13_a_closed_path_is_closed_to_its_canary_and_answers_nothing_else() {
    let rules = [("canary-by-header", "x-new"), ("canary-weight", "100")];
    let site = Site::new(&[("enable-cors", "true")], &rules);
    assert_eq!(pod(&site.edge, &[("x-new", "always")]).await, "new");
    for unreadable in
        ["whitelist-source-range: nowhere", "auth-url: http://x", "auth-tls-secret: a"]
    {
        let yaml = format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: main\n  \
             namespace: default\n  annotations:\n    nginx.ingress.kubernetes.io/enable-cors: \
             \"true\"\n    nginx.ingress.kubernetes.io/app-root: /a\n    \
             nginx.ingress.kubernetes.io/{unreadable}\nspec:\n  rules:\n  - host: {HOST}\n    \
             http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: main, \
             port: {{number: 80}}}}}}}}]}}\n"
        );
        assert!(!site.edge.apply_anyway(&yaml).is_empty(), "{unreadable}");
        for fields in [&[][..], &[("x-new", "always")], &[("x-new", "never")]] {
            let got = ask(site.edge.http(), get(fields)).await;
            assert_eq!(got.status, 503, "{unreadable} {fields:?}");
        }
        let preflight =
            Request::options("/").header("host", HOST).header("origin", "https://b.example");
        let got = ask(site.edge.http(), preflight.body(full("")).unwrap()).await;
        assert_eq!(got.status, 503, "{unreadable}");
    }
}

#[tokio::test]
async fn a_canary_without_endpoints_gets_nothing() {
    let site = Site::new(&[], &[("canary-weight", "100")]);
    site.edge.remove(genkan::model::Kind::EndpointSlice, "new-0");
    assert_eq!(pod(&site.edge, &[]).await, "main");
}

/// A Service of several pods with sessions.
struct Sessions {
    edge: Edge,
    pods: Vec<Backend>,
}

impl Sessions {
    fn new(annotations: &[(&str, &str)]) -> Self {
        let pods: Vec<Backend> = (0..4).map(|n| Backend::http1(&format!("pod-{n}"))).collect();
        let site = Self { edge: edge(), pods };
        site.serve(&site.edge, 0..4);
        ingress(&site.edge, "main", "main", &[&[("affinity", "cookie")], annotations].concat());
        site
    }

    fn serve(&self, edge: &Edge, pods: std::ops::Range<usize>) {
        for number in 0..self.pods.len() {
            edge.remove(genkan::model::Kind::EndpointSlice, &format!("main-{number}"));
        }
        let addresses: Vec<SocketAddr> = self.pods[pods].iter().map(Backend::address).collect();
        edge.service("main", None, &addresses);
    }

    /// The pod and the cookie of a new client.
    async fn begin(&self) -> (String, String) {
        let got = ask(self.edge.http(), get(&[])).await;
        let cookie = session_cookie(&got).expect("a new session has a cookie");
        (got.headers["x-pod"].to_str().unwrap().to_owned(), cookie)
    }
}

/// `name=value` of the session's cookie.
fn session_cookie(got: &Got) -> Option<String> {
    let cookies = got.headers.get_all("set-cookie").into_iter();
    let ours = cookies.map(|cookie| cookie.to_str().unwrap()).find(|c| c.starts_with("INGRESS"))?;
    Some(ours.split(';').next().unwrap().to_owned())
}

#[tokio::test]
async fn requests_of_a_session_meet_one_pod_on_every_node() {
    for mode in ["balanced", "persistent"] {
        let site = Sessions::new(&[("affinity-mode", mode)]);
        let other_node = edge();
        site.serve(&other_node, 0..4);
        ingress(&other_node, "main", "main", &[("affinity", "cookie"), ("affinity-mode", mode)]);
        let mut met = std::collections::BTreeSet::new();
        for _ in 0..16 {
            let (first, cookie) = site.begin().await;
            for edge in [&site.edge, &other_node, &site.edge] {
                let got = ask(edge.http(), get(&[("cookie", &cookie)])).await;
                assert_eq!(got.headers["x-pod"], *first, "{mode}");
                assert_eq!(session_cookie(&got), None, "{mode}: an old session gets no new cookie");
            }
            met.insert(first);
        }
        assert!(met.len() > 1, "{mode}: sessions spread: {met:?}");
    }
}

#[tokio::test]
async fn a_persistent_session_stays_when_pods_come_and_moves_when_its_own_goes() {
    let site = Sessions::new(&[("affinity-mode", "persistent")]);
    site.serve(&site.edge, 0..2);
    let mut sessions = Vec::new();
    for _ in 0..8 {
        sessions.push(site.begin().await);
    }
    site.serve(&site.edge, 0..4);
    for (first, cookie) in &sessions {
        assert_eq!(pod(&site.edge, &[("cookie", cookie)]).await, *first);
    }
    site.serve(&site.edge, 2..4);
    for (first, cookie) in &sessions {
        let got = ask(site.edge.http(), get(&[("cookie", cookie)])).await;
        assert_ne!(got.headers["x-pod"], **first);
        assert!(session_cookie(&got).is_some_and(|moved| moved != *cookie));
    }
}

#[tokio::test]
async fn cookies_of_pods_and_of_ours_both_reach_the_client() {
    let site =
        Sessions::new(&[("session-cookie-name", "INGRESS-1"), ("session-cookie-path", "/x")]);
    for pod in &site.pods {
        pod.on("/", Answer::bytes("ok").with_header("set-cookie", "app=1; Path=/"));
    }
    let got = ask(site.edge.http(), get(&[("cookie", "INGRESS-1=forged")])).await;
    let cookies: Vec<&str> =
        got.headers.get_all("set-cookie").iter().map(|c| c.to_str().unwrap()).collect();
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    assert_eq!(cookies[0], "app=1; Path=/");
    assert!(cookies[1].starts_with("INGRESS-1="), "{cookies:?}");
    assert!(cookies[1].ends_with("; Path=/x; HttpOnly"), "{cookies:?}");
}

#[tokio::test]
async fn a_session_whose_pod_fails_moves_for_good_only_when_that_is_asked_for() {
    for (change, mode) in [
        ("false", "balanced"),
        ("false", "persistent"),
        ("true", "balanced"),
        ("true", "persistent"),
    ] {
        let annotations = [("session-cookie-change-on-failure", change), ("affinity-mode", mode)];
        let mut site = Sessions::new(&annotations);
        let (first, cookie) = site.begin().await;
        // Its port is closed, and it is still an endpoint.
        let at = site.pods.iter().position(|pod| pod.pod() == first).unwrap();
        drop(site.pods.remove(at));
        let got = ask(site.edge.http(), get(&[("cookie", &cookie)])).await;
        assert_eq!(got.status, 200, "{change} {mode}");
        assert_ne!(got.headers["x-pod"], *first);
        let moved = session_cookie(&got);
        assert_eq!(moved.is_some(), change == "true", "{mode}");
        if let Some(moved) = moved {
            let second = got.headers["x-pod"].to_str().unwrap();
            assert_eq!(pod(&site.edge, &[("cookie", &moved)]).await, second, "{mode}");
        }
    }
}

#[tokio::test]
async fn a_session_decides_before_the_rules_of_a_canary_unless_it_is_legacy() {
    for (behaviour, kept) in [("sticky", true), ("legacy", false)] {
        let site = Site::new(
            &[("affinity", "cookie")],
            &[("canary-by-header", "x-new"), ("affinity-canary-behavior", behaviour)],
        );
        let got = ask(site.edge.http(), get(&[("x-new", "always")])).await;
        assert_eq!(got.headers["x-pod"], "new");
        let cookie = session_cookie(&got);
        assert_eq!(cookie.is_some(), kept, "{behaviour}");
        let main = session_cookie(&ask(site.edge.http(), get(&[])).await).unwrap();
        let with_main = [("x-new", "always"), ("cookie", main.as_str())];
        let expected = if kept { "main" } else { "new" };
        assert_eq!(pod(&site.edge, &with_main).await, expected, "{behaviour}");
        if let Some(cookie) = cookie {
            assert_eq!(pod(&site.edge, &[("cookie", &cookie)]).await, "new");
        }
    }
}
