//! Bodies and waits towards the pods.

use std::time::Duration;

use genkan::testing::backend::{Answer, Fault};
use genkan::testing::story::Request;

use super::case::{Case, HOST, get};

pub(crate) fn cases() -> Vec<Case> {
    let post = |length: usize| Request::post(HOST, "/x", vec![b'x'; length]);
    vec![
        Case::new("proxy-body-size", "the last byte decides")
            .annotate("proxy-body-size", "2k")
            .location("client_max_body_size 2k;")
            .ask_all([post(0), post(2048), post(2049), post(1 << 20)]),
        Case::new("proxy-body-size", "without it 1m").ask_all([post(1 << 20), post((1 << 20) + 1)]),
        Case::new("proxy-body-size", "0 is no limit")
            .annotate("proxy-body-size", "0")
            .location("client_max_body_size 0;")
            .ask(post((1 << 20) + 1)),
        Case::new("proxy-body-size", "comes before redirects")
            .annotate("proxy-body-size", "10")
            .annotate("force-ssl-redirect", "true")
            .location("client_max_body_size 10; return 308 https://$host$request_uri;")
            .ask_all([post(10), post(11)])
            .answers_with(&["location"]),
        Case::new("proxy-read-timeout", "504 when the pod is slower")
            .annotate("proxy-read-timeout", "1")
            .instead("proxy_read_timeout 60s;", "proxy_read_timeout 1s;")
            .pod("/slow", Answer::bytes("late").with_delay(Duration::from_secs(3600)))
            .ask_all([get("/slow"), get("/fast")]),
        Case::new("custom-headers", "in the place of the pod's, on every answer")
            .annotate("custom-headers", "default/headers")
            .objects(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: headers, namespace: default}\n\
                 data: {X-Frame-Options: DENY, X-Team: 'a b; c'}\n",
            )
            .location("more_set_headers \"X-Frame-Options: DENY\" \"X-Team: a b; c\";")
            .pod("/own", Answer::bytes("ok").with_header("x-frame-options", "ALLOWALL"))
            .pod("/none", Answer::status(404))
            .pod("/broken", Answer::fault(Fault::CloseBeforeHead))
            .ask_all([get("/"), get("/own"), get("/none"), get("/broken")])
            .answers_with(&["x-frame-options", "x-team"]),
        Case::new("custom-headers", "on the answer to an upgrade too")
            .annotate("custom-headers", "default/headers")
            .objects(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: headers, namespace: default}\n\
                 data: {X-Team: blue}\n",
            )
            .location("more_set_headers \"X-Team: blue\";")
            .ask(get("/chat").header("connection", "Upgrade").header("upgrade", "echo"))
            .pod_sees(&["connection", "upgrade"])
            .answers_with(&["connection", "upgrade", "x-team"]),
        Case::new("server-alias", "the same rules under another name")
            .annotate("server-alias", "alias.example, *.more.example")
            .ask_all([
                Request::get("alias.example", "/a"),
                Request::get("x.more.example", "/b"),
                get("/c"),
            ])
            .pod_sees(&["host", "x-forwarded-host"]),
    ]
}
