//! Redirects and rewriting.

use genkan::testing::story::Request;

use super::case::{Case, HOST, get};

/// What ingress-nginx does in Lua: to HTTPS, and without the last slash.
const TO_HTTPS: &str = r"
    set $target $request_uri;
    if ($request_uri ~ ^(.*)/$) { set $target $1; }
    return 308 https://$host$target;";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = moved();
    cases.extend(to_https());
    cases.extend(rewriting());
    cases
}

fn moved() -> Vec<Case> {
    let asks = || [get("/"), get("/a/b?c=d"), Request::post(HOST, "/x", "body")];
    vec![
        Case::new("permanent-redirect", "every path, not appended")
            .annotate("permanent-redirect", "https://new.example/there?x=1")
            .location("return 301 https://new.example/there?x=1;")
            .ask_all(asks())
            .answers_with(&["location"]),
        Case::new("permanent-redirect-code", "308")
            .annotate("permanent-redirect", "http://new.example")
            .annotate("permanent-redirect-code", "308")
            .location("return 308 http://new.example;")
            .ask_all(asks())
            .answers_with(&["location"]),
        Case::new("permanent-redirect-code", "one that is none is 301")
            .annotate("permanent-redirect", "http://new.example/")
            .annotate("permanent-redirect-code", "200")
            .location("return 301 http://new.example/;")
            .ask_all(asks())
            .answers_with(&["location"]),
        Case::new("temporal-redirect", "wins over the permanent one")
            .annotate("temporal-redirect", "https://soon.example/")
            .annotate("permanent-redirect", "https://new.example/")
            .location("return 302 https://soon.example/;")
            .ask_all(asks())
            .answers_with(&["location"]),
        Case::new("temporal-redirect-code", "307")
            .annotate("temporal-redirect", "https://soon.example/")
            .annotate("temporal-redirect-code", "307")
            .location("return 307 https://soon.example/;")
            .ask_all(asks())
            .answers_with(&["location"]),
        Case::new("app-root", "the root of the host only")
            .annotate("app-root", "/app/start")
            .server(
                "if ($uri = /) { return 302 $scheme://$http_host/app/start; }
                 location / { PROXY }",
            )
            .ask_all([get("/"), get("/?x"), get("//"), get("/app/start"), get("/x")])
            .answers_with(&["location"]),
    ]
}

fn to_https() -> Vec<Case> {
    vec![
        Case::new("force-ssl-redirect", "one last slash is dropped")
            .annotate("force-ssl-redirect", "true")
            .location(TO_HTTPS)
            .ask_all([get("/"), get("/a/"), get("/a//"), get("/a?b=/"), get("/%41b"), get("/a/?")])
            .ask(Request::post(HOST, "/x", "body"))
            .answers_with(&["location"]),
        Case::new("force-ssl-redirect", "an encoded slash")
            .annotate("force-ssl-redirect", "true")
            .location(TO_HTTPS)
            .ask(get("/a%2fb"))
            .differs("400: a path that pods and proxies read in two ways is not served"),
        Case::new("preserve-trailing-slash", "the target is kept as it is")
            .annotate("force-ssl-redirect", "true")
            .annotate("preserve-trailing-slash", "true")
            .location("return 308 https://$host$request_uri;")
            .ask_all([get("/"), get("/a/"), get("/a?b=/")])
            .answers_with(&["location"]),
        Case::new("ssl-redirect", "nothing without a certificate")
            .annotate("ssl-redirect", "true")
            .ask(get("/"))
            .answers_with(&["location"]),
        Case::new("permanent-redirect", "comes before the redirect to HTTPS")
            .annotate("force-ssl-redirect", "true")
            .annotate("permanent-redirect", "http://new.example/")
            .location("return 301 http://new.example/;")
            .ask(get("/x"))
            .answers_with(&["location"]),
    ]
}

fn rewriting() -> Vec<Case> {
    let forwarded = &["x-forwarded-prefix", "host", "x-forwarded-host"];
    vec![
        Case::new("rewrite-target", "groups of the path, query kept")
            .annotate("rewrite-target", "/$2")
            .annotate("x-forwarded-prefix", "/app")
            .paths(&[("/app(/|$)(.*)", "ImplementationSpecific")])
            .server(
                r#"location ~* "^/app(/|$)(.*)" {
                    rewrite "(?i)/app(/|$)(.*)" /$2 break;
                    proxy_set_header X-Forwarded-Prefix "/app";
                    PROXY
                }
                location / { return 404; }"#,
            )
            .ask_all([
                get("/app"),
                get("/app/"),
                get("/app/x/y?q=%2F&r"),
                get("/APP/x"),
                get("/application"),
                get("/app/a%20b"),
            ])
            .pod_sees(forwarded),
        Case::new("rewrite-target", "one that has no group takes every path")
            .annotate("rewrite-target", "/fixed")
            .paths(&[("/old", "Prefix")])
            .server(
                r#"location ~* "^/old" {
                    rewrite "(?i)/old" /fixed break;
                    PROXY
                }
                location / { return 404; }"#,
            )
            .ask_all([get("/old"), get("/old/x?y=1"), get("/older"), get("/OLD"), get("/new")])
            .pod_sees(forwarded),
        Case::new("use-regex", "case-insensitive, anchored at the start")
            .annotate("use-regex", "true")
            .paths(&[(r"/v[0-9]+/", "ImplementationSpecific"), ("/exact", "Exact")])
            .server(
                r#"location ~* "^/v[0-9]+/" { PROXY }
                location ~* "^/exact" { PROXY }
                location / { return 404; }"#,
            )
            .ask_all([get("/v1/"), get("/V22/x"), get("/v/"), get("/x/v1/"), get("/EXACT/more")]),
        Case::new("upstream-vhost", "the host of the pod")
            .annotate("upstream-vhost", "inner.example")
            .instead("proxy_set_header Host $http_host;", "proxy_set_header Host inner.example;")
            .ask(get("/"))
            .pod_sees(&["host", "x-forwarded-host"]),
    ]
}
