//! Without annotations: what a pod is told of the client (A3).

use genkan::testing::story::Request;

use super::case::{Case, HOST, get};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("-", "fields of the client are replaced or kept")
            .ask(get("/a/b?c=%2F"))
            .ask(
                get("/x")
                    .header("x-forwarded-for", "192.0.2.1")
                    .header("x-forwarded-host", "evil.example")
                    .header("x-forwarded-proto", "https")
                    .header("x-real-ip", "192.0.2.2")
                    .header("proxy", "evil")
                    .header("bad_name", "1")
                    .header("user-agent", "test"),
            )
            .ask(Request::post(HOST, "/post", "body"))
            .pod_sees(&[
                "host",
                "x-real-ip",
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-port",
                "x-forwarded-proto",
                "x-forwarded-scheme",
                "x-scheme",
                "x-original-forwarded-for",
                "x-original-forwarded-host",
                "proxy",
                "bad_name",
                "user-agent",
                "content-length",
            ])
            .answers_with(&["content-type", "content-length", "x-pod"]),
        Case::new("-", "authorization goes to the pod when nobody else asks for it")
            .ask(get("/").header("authorization", "Basic dTpw"))
            .pod_sees(&["authorization"]),
    ]
}
