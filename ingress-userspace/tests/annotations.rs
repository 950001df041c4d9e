//! Annotations on real connections: what they do to bodies, waits and header fields, over HTTP/1
//! and HTTP/2.
#![allow(clippy::unwrap_used, reason = "tests panic where a promise is broken")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use genkan::config::Compat;
use genkan::proxy::Failure;
use genkan::testing::backend::{Answer, Backend};
use genkan::testing::ca::TestCa;
use genkan::testing::client::{self, Body, Got, full, get};
use genkan::testing::deadline::eventually;
use genkan::testing::edge::Edge;
use http::{Method, Request};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

#[path = "annotations/sharing.rs"]
mod sharing;

const HOST: &str = "a.example";

struct Site {
    edge: Edge,
    ca: TestCa,
    backend: Backend,
}

impl Site {
    /// `annotations`: `key: value` pairs without prefix. HTTPS is there and nobody sent to it.
    fn new(annotations: &[(&str, &str)]) -> Self {
        Self::with("{path: /, pathType: Prefix}", annotations)
    }

    fn with(path: &str, annotations: &[(&str, &str)]) -> Self {
        let edge = Edge::builder()
            .config(|config| {
                config.compat = Compat::Nginx;
                config.limits.request_body = 1000;
                config.tls.https_redirect = Some(false);
            })
            .start();
        let ca = TestCa::new();
        let backend = Backend::http1("pod");
        edge.apply(&ca.issue(&[HOST]).secret_yaml("default", "a"));
        edge.service("pod", None, &[backend.address()]);
        let annotations: String = annotations
            .iter()
            .map(|(key, value)| format!("    nginx.ingress.kubernetes.io/{key}: {value:?}\n"))
            .collect();
        let path = path.trim_end_matches('}');
        edge.apply(&format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: a\n  \
             namespace: default\n  annotations:\n    test: x\n{annotations}spec:\n  \
             tls: [{{hosts: [{HOST}], secretName: a}}]\n  rules:\n  - host: {HOST}\n    \
             http: {{paths: [{path}, backend: {{service: {{name: pod, port: {{number: 80}}}}}}}}]}}\n"
        ));
        Self { edge, ca, backend }
    }

    async fn http1(&self, request: Request<Body>) -> Got {
        client::ask(self.edge.http(), request).await
    }

    async fn http2(&self, request: Request<Body>) -> Got {
        let config = self.ca.client_config(&["h2"]);
        let mut sender = client::http2(self.edge.https(), config, HOST).await;
        client::read(sender.send_request(request).await.unwrap()).await.unwrap()
    }
}

fn post(version: u8, path: &str, body: Body) -> Request<Body> {
    let builder = Request::builder().method(Method::POST);
    let builder = match version {
        1 => builder.uri(path).header("host", HOST),
        _ => builder.uri(format!("https://{HOST}{path}")),
    };
    builder.body(body).unwrap()
}

/// Of unknown length: chunked in HTTP/1.
fn streamed(length: usize) -> Body {
    let pieces = (0..length)
        .step_by(500)
        .map(move |at| Ok(Frame::data(Bytes::from(vec![b'x'; 500.min(length - at)]))));
    StreamBody::new(futures_util::stream::iter(pieces.collect::<Vec<_>>())).boxed()
}

#[tokio::test]
async fn proxy_body_size_replaces_the_limit_in_both_framings_and_both_protocols() {
    // The configuration says 1000.
    for (size, length, status) in [
        ("2k", 2048, 200),
        ("2k", 2049, 413),
        ("100", 100, 200),
        ("100", 101, 413),
        ("0", 9000, 200),
    ] {
        let site = Site::new(&[("proxy-body-size", size)]);
        for body in [|n| full(vec![b'x'; n]), streamed] {
            let got = site.http1(post(1, "/", body(length))).await;
            assert_eq!(got.status, status, "HTTP/1, {size}, {length}");
            let got = site.http2(post(2, "/", body(length))).await;
            assert_eq!(got.status, status, "HTTP/2, {size}, {length}");
        }
        if status == 200 {
            let lengths: Vec<_> = site.backend.requests().iter().map(|r| r.body.len()).collect();
            assert_eq!(lengths, [length; 4], "{size}");
        }
    }
}

#[tokio::test]
async fn bodies_of_other_routes_keep_the_limit_of_the_configuration() {
    let site = Site::new(&[]);
    for (length, status) in [(1000, 200), (1001, 413)] {
        for body in [|n| full(vec![b'x'; n]), streamed] {
            assert_eq!(site.http1(post(1, "/", body(length))).await.status, status, "{length}");
            assert_eq!(site.http2(post(2, "/", body(length))).await.status, status, "{length}");
        }
    }
}

#[tokio::test]
async fn a_limit_holds_for_its_own_request_of_a_kept_alive_connection() {
    let site = Site::with("{path: /large, pathType: Prefix}", &[("proxy-body-size", "3k")]);
    site.edge.ingress("b.example", "pod", "");
    let mut sender = client::http1(site.edge.http()).await;
    for (host, path, status) in [(HOST, "/large", 200), ("b.example", "/", 413)] {
        let request =
            Request::post(path).header("host", host).body(full(vec![b'x'; 2000])).unwrap();
        let got = client::read(sender.send_request(request).await.unwrap()).await.unwrap();
        assert_eq!(got.status, status, "{host}");
    }
}

#[tokio::test]
async fn proxy_read_timeout_is_504_in_its_own_time() {
    let site = Site::new(&[("proxy-read-timeout", "1")]);
    site.backend.on("/slow", Answer::bytes("late").with_delay(Duration::from_secs(3600)));
    for got in [site.http1(get(HOST, "/slow")).await, site.http2(post(2, "/slow", full(""))).await]
    {
        assert_eq!(got.status, 504);
    }
    assert_eq!(site.http1(get(HOST, "/")).await.status, 200);
}

#[tokio::test]
async fn proxy_send_timeout_is_504_in_its_own_time() {
    let site = Site::new(&[("proxy-send-timeout", "1"), ("proxy-body-size", "0")]);
    // Accepts by its backlog and never reads.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    site.edge.service("pod", None, &[deaf.local_addr().unwrap()]);
    let mut sender = client::http1(site.edge.http()).await;
    // The answer may be lost under the body that is still on its way.
    if let Ok(answer) = sender.send_request(post(1, "/", full(vec![b'x'; 64 << 20]))).await {
        assert_eq!(answer.status(), 504);
    }
    let failures = &site.edge.counters().failures;
    eventually("it is counted", || failures[Failure::SendTimeout.index()].value() == 1);
}

#[tokio::test]
async fn proxy_connect_timeout_is_504_in_its_own_time() {
    let site = Site::new(&[("proxy-connect-timeout", "1")]);
    // A full accept queue: the kernel does not answer further SYNs.
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let fill = || {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address.into());
        socket
    };
    let _filled: Vec<_> = (0..8).map(|_| fill()).collect();
    site.edge.service("pod", None, &[address]);
    assert_eq!(site.http1(get(HOST, "/")).await.status, 504);
}

#[tokio::test]
async fn upstream_vhost_is_the_host_that_the_endpoint_sees() {
    let site = Site::new(&[("upstream-vhost", "inner.example:8080")]);
    assert_eq!(site.http1(get(HOST, "/")).await.status, 200);
    assert_eq!(site.http2(post(2, "/", full(""))).await.status, 200);
    for request in site.backend.requests() {
        assert_eq!(request.headers["host"], "inner.example:8080");
        assert_eq!(request.headers["x-forwarded-host"], HOST);
    }
}

#[tokio::test]
async fn x_forwarded_prefix_is_told_of_rewritten_paths() {
    let rewritten = [("rewrite-target", "/$1"), ("x-forwarded-prefix", "/app")];
    let path = "{path: '/app/(.*)', pathType: ImplementationSpecific}";
    for (annotations, prefix) in [(&rewritten[..], Some("/app")), (&rewritten[1..], None)] {
        let site = Site::with(path, annotations);
        let asked = if prefix.is_some() { "/app/x" } else { "/app/(.*)" };
        let status = site.http1(get(HOST, asked)).await.status;
        assert_eq!(status, 200, "{annotations:?}");
        let seen = site.backend.last_request();
        let told = seen.headers.get("x-forwarded-prefix").map(|v| v.to_str().unwrap());
        assert_eq!(told, prefix, "{annotations:?}");
    }
}
