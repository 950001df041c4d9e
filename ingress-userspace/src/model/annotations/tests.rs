//! Annotations of whole objects.

use std::collections::BTreeSet;

use super::*;
use crate::model::decode::{Settings, decode};
use crate::model::options::{BackendProtocol, LimitOptions};
use crate::model::{Backend, Ingress, Object, Origin, PortRef, Problem};

mod access;
mod closing;
mod document;
mod policy;

fn nginx() -> Settings {
    Settings { nginx_annotations: true, ..Settings::default() }
}

/// An Ingress with these annotations and one path of each kind of backend place.
fn annotated(settings: &Settings, annotations: &Value) -> (Ingress, Vec<Problem>) {
    let backend = serde_json::json!({"service": {"name": "s", "port": {"number": 80}}});
    let path = serde_json::json!({"path": "/", "pathType": "Prefix", "backend": backend});
    let document = serde_json::json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "i", "annotations": annotations},
        "spec": {"defaultBackend": backend, "rules": [{"http": {"paths": [path]}}]},
    });
    let decoded = decode(&document, &Origin::Cluster, settings).remove(0);
    match decoded.objects.into_iter().next() {
        Some(Object::Ingress(ingress)) => (ingress, decoded.problems),
        other => panic!("{other:?}"),
    }
}

/// With one nginx annotation.
fn one(key: &str, value: impl Into<Value>) -> (Ingress, Vec<String>) {
    let (ingress, problems) =
        annotated(&nginx(), &serde_json::json!({format!("{NGINX}{key}"): value.into()}));
    (ingress, told(&problems))
}

fn own(key: &str, value: impl Into<Value>) -> Value {
    serde_json::json!({format!("{OWN}{key}"): value.into()})
}

/// `field: Reason` of each problem.
fn told(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|p| format!("{}: {}", p.field, p.reason.as_str())).collect()
}

fn field(key: &str, reason: &str) -> String {
    format!("metadata.annotations[{NGINX}{key}]: {reason}")
}

fn backends(ingress: &Ingress) -> [&Backend; 2] {
    let default = ingress.default_backend.as_ref().expect("a default backend");
    [&ingress.rules[0].paths[0].backend, default]
}

fn is_open(ingress: &Ingress) -> bool {
    let service = Backend::Service { name: "s".into(), port: PortRef::Number(80) };
    backends(ingress) == [&service; 2] && !ingress.options.closes_hosts
}

fn is_closed(ingress: &Ingress) -> bool {
    backends(ingress) == [&Backend::Closed; 2]
}

#[test]
fn keys_and_their_aliases_are_unique() {
    let names: Vec<&str> = KEYS.iter().flat_map(Key::names).collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), unique.len());
    assert!(names.iter().all(|name| !name.contains('/')));
}

#[test]
fn d19_the_nginx_prefix_counts_in_compat_mode_only() {
    let theirs = serde_json::json!({format!("{NGINX}use-regex"): "true"});
    let (ingress, problems) = annotated(&Settings::default(), &theirs);
    assert!(!ingress.options.rewrite.use_regex);
    assert_eq!(told(&problems), [""; 0]);
    assert!(annotated(&nginx(), &theirs).0.options.rewrite.use_regex);
    for settings in [Settings::default(), nginx()] {
        let (ingress, _) = annotated(&settings, &own("use-regex", "true"));
        assert!(ingress.options.rewrite.use_regex);
    }
}

#[test]
fn d19_annotations_that_are_not_read_are_told_of_and_access_rules_by_name() {
    let unread = |settings: &Settings, keys: &[&str]| {
        let map: serde_json::Map<_, _> =
            keys.iter().map(|key| (format!("{NGINX}{key}"), "x".into())).collect();
        annotated(settings, &Value::Object(map)).0.unread
    };
    let native = Settings::default();
    assert_eq!(unread(&native, &[]), None);
    assert_eq!(unread(&nginx(), &["rewrite-target", "auth-url"]), None);
    let harmless = unread(&native, &["rewrite-target", "proxy-body-size"]).expect("a sentence");
    assert!(harmless.starts_with("2 nginx.ingress.kubernetes.io/ annotations are not read"));
    assert!(!harmless.contains("restrict"), "{harmless}");
    let access = unread(&native, &["auth-url", "whitelist-source-rang", "app-root"]);
    let access = access.expect("a sentence");
    assert!(access.contains("auth-url, whitelist-source-rang, which restrict access"), "{access}");
    let settings = Settings { ignored_annotations: ["auth-url".to_owned()].into(), ..native };
    assert_eq!(unread(&settings, &["auth-url"]), None);
}

#[test]
fn d19_our_own_prefix_wins_also_over_an_older_name() {
    for (name, value) in [("genkan.io/proxy-body-size", "1k"), ("genkan.io/proxy-body-size", "x")] {
        let both = serde_json::json!({name: value, format!("{NGINX}proxy-body-size"): "2k"});
        let (ingress, problems) = annotated(&nginx(), &both);
        let wanted = (value == "1k").then_some(1024);
        assert_eq!(ingress.options.upstream.body_size, wanted, "{value}");
        assert_eq!(problems.len(), usize::from(wanted.is_none()));
    }
}

#[test]
fn booleans_follow_the_go_parser() {
    for (text, expected) in [
        ("1", true),
        ("t", true),
        ("T", true),
        ("TRUE", true),
        ("true", true),
        ("True", true),
        ("0", false),
        ("f", false),
        ("F", false),
        ("FALSE", false),
        ("false", false),
        ("False", false),
    ] {
        let (ingress, problems) = one("ssl-redirect", text);
        assert_eq!(problems, [""; 0], "{text}");
        assert_eq!(ingress.options.redirects.ssl, Some(expected), "{text}");
    }
    for text in ["yes", "on", "tRUE", "", " true", "2"] {
        let (ingress, problems) = one("ssl-redirect", text);
        assert_eq!(problems, [field("ssl-redirect", "InvalidAnnotation")], "{text}");
        assert_eq!(ingress.options.redirects.ssl, None, "{text}");
    }
}

#[test]
fn c13_a_value_that_is_no_string_disables_its_key_only() {
    let annotations = serde_json::json!({
        format!("{NGINX}use-regex"): true,
        format!("{NGINX}rewrite-target"): "/x",
    });
    let (ingress, problems) = annotated(&nginx(), &annotations);
    assert_eq!(told(&problems), [field("use-regex", "InvalidAnnotation")]);
    assert!(!ingress.options.rewrite.use_regex);
    assert_eq!(ingress.options.rewrite.target.as_deref(), Some("/x"));
    assert!(is_open(&ingress));
}

#[test]
fn rewrite_targets_are_absolute_paths_with_groups() {
    for text in ["/", "/$1", "/a/$2/b-$1", "/~x/%20"] {
        let (ingress, problems) = one("rewrite-target", text);
        assert_eq!(problems, [""; 0], "{text}");
        assert_eq!(ingress.options.rewrite.target.as_deref(), Some(text));
    }
    for (text, reason) in [
        ("", "InvalidAnnotation"),
        ("x", "InvalidAnnotation"),
        ("$1", "InvalidAnnotation"),
        ("/a b", "InvalidAnnotation"),
        ("/a\nb", "InvalidAnnotation"),
        ("/{x}", "InvalidAnnotation"),
        ("/a?b=c", "InvalidAnnotation"),
        ("https://x/", "InvalidAnnotation"),
        ("/$uri", "UnsupportedAnnotation"),
        ("/$0", "UnsupportedAnnotation"),
        ("/$", "UnsupportedAnnotation"),
    ] {
        let (ingress, problems) = one("rewrite-target", text);
        assert_eq!(problems, [field("rewrite-target", reason)], "{text}");
        assert_eq!(ingress.options.rewrite.target, None, "{text}");
    }
}

#[test]
fn backend_protocols_are_read_in_any_case() {
    for (text, expected) in [
        ("HTTP", BackendProtocol::Http),
        ("https", BackendProtocol::Https),
        ("Grpc", BackendProtocol::H2c),
        ("GRPCS", BackendProtocol::H2),
    ] {
        let (ingress, problems) = one("backend-protocol", text);
        assert_eq!(problems, [""; 0], "{text}");
        assert_eq!(ingress.options.upstream.protocol, Some(expected));
    }
    for (text, reason) in [
        ("FCGI", "UnsupportedAnnotation"),
        ("AUTO_HTTP", "UnsupportedAnnotation"),
        ("h3", "InvalidAnnotation"),
    ] {
        let (ingress, problems) = one("backend-protocol", text);
        assert_eq!(problems, [field("backend-protocol", reason)], "{text}");
        assert_eq!(ingress.options.upstream.protocol, None, "{text}");
    }
}

#[test]
fn sizes_are_digits_with_a_unit() {
    for (text, bytes) in
        [("0", 0), ("8", 8), ("8b", 8), ("8k", 8192), ("8M", 8 << 20), ("2g", 2 << 30), ("010", 10)]
    {
        let (ingress, problems) = one("proxy-body-size", text);
        assert_eq!(problems, [""; 0], "{text}");
        assert_eq!(ingress.options.upstream.body_size, Some(bytes), "{text}");
    }
    for text in
        ["", "k", "-1", "1.5m", "8 k", "8kb", "8t", "99999999999999999999", "9999999999999999g"]
    {
        let (ingress, problems) = one("proxy-body-size", text);
        assert_eq!(problems, [field("proxy-body-size", "InvalidAnnotation")], "{text}");
        assert_eq!(ingress.options.upstream.body_size, None, "{text}");
    }
}

#[test]
fn timeouts_are_plain_seconds() {
    for text in ["1", "3600", "0060"] {
        let (ingress, problems) = one("proxy-read-timeout", text);
        assert_eq!(problems, [""; 0], "{text}");
        assert!(ingress.options.upstream.read_timeout.is_some(), "{text}");
    }
    for text in ["", "0", "-1", "5s", "1.5", "604801", " 5"] {
        for key in ["proxy-read-timeout", "proxy-send-timeout", "proxy-connect-timeout"] {
            let (ingress, problems) = one(key, text);
            assert_eq!(problems, [field(key, "InvalidAnnotation")], "{text}");
            assert_eq!(*ingress.options, IngressOptions::default(), "{text}");
        }
    }
}

#[test]
fn upstream_hosts_are_names_or_addresses_with_or_without_port() {
    for text in ["a.example", "A-1.example:8080", "10.0.0.1", "[2001:db8::1]:443", "svc_1"] {
        let (ingress, problems) = one("upstream-vhost", text);
        assert_eq!(problems, [""; 0], "{text}");
        assert_eq!(ingress.options.upstream.vhost.as_deref(), Some(text));
    }
    for text in ["", "a b", "a/b", "a:b", "a:0", "u@a", "$host", "a\r\nx: y", "a:70000", "a;b"] {
        let (ingress, problems) = one("upstream-vhost", text);
        assert_eq!(problems, [field("upstream-vhost", "InvalidAnnotation")], "{text}");
        assert_eq!(ingress.options.upstream.vhost, None, "{text}");
    }
}

#[test]
fn forwarded_prefixes_are_absolute_paths() {
    let prefix = |text: &str| one("x-forwarded-prefix", text);
    assert_eq!(prefix("/app").0.options.headers.forwarded_prefix.as_deref(), Some("/app"));
    for text in ["", "app", "/a b", "/$1", "/a\n"] {
        assert_eq!(prefix(text).1, [field("x-forwarded-prefix", "InvalidAnnotation")], "{text}");
    }
}

#[test]
fn redirect_urls_are_absolute_without_variables() {
    let urls = ["http://a", "https://a.example:8443/x?y=%20#z", "https://[::1]/", "http://a?b"];
    for key in ["permanent-redirect", "temporal-redirect"] {
        for url in urls {
            let (ingress, problems) = one(key, url);
            assert_eq!(problems, [""; 0], "{url}");
            let (_, to) = ingress.options.redirects.everything().expect("a redirect");
            assert_eq!(&**to, url);
        }
        for url in [
            "",
            "/x",
            "a.example",
            "ftp://a",
            "http://",
            "http:///x",
            "https://a/$uri",
            "http://a b",
            "https://a/\r\nX: y",
            "javascript:alert(1)",
            "http://u@a/",
            "https://a/{x}",
            "https://a/\"",
        ] {
            let (ingress, problems) = one(key, url);
            assert_eq!(problems, [field(key, "InvalidAnnotation")], "{url}");
            assert_eq!(ingress.options.redirects.everything(), None, "{url}");
        }
    }
}

#[test]
fn a_temporal_redirect_wins_and_a_bad_code_leaves_the_default() {
    let redirect = |pairs: &[(&str, &str)]| {
        let map: serde_json::Map<_, _> =
            pairs.iter().map(|(key, value)| (format!("{OWN}{key}"), (*value).into())).collect();
        let (ingress, problems) = annotated(&Settings::default(), &Value::Object(map));
        let (status, to) = ingress.options.redirects.everything().expect("a redirect");
        (status, to.to_string(), problems.len())
    };
    let permanent = ("permanent-redirect", "http://p");
    let temporal = ("temporal-redirect", "http://t");
    for (pairs, status, to, problems) in [
        (&[permanent][..], 301, "http://p", 0),
        (&[temporal], 302, "http://t", 0),
        (&[permanent, temporal], 302, "http://t", 0),
        (&[permanent, ("permanent-redirect-code", "308")], 308, "http://p", 0),
        (&[permanent, ("permanent-redirect-code", "309")], 301, "http://p", 1),
        (&[permanent, ("permanent-redirect-code", "200")], 301, "http://p", 1),
        (&[temporal, ("temporal-redirect-code", "307")], 307, "http://t", 0),
        (&[temporal, ("temporal-redirect-code", "308")], 302, "http://t", 1),
        (&[temporal, ("permanent-redirect-code", "308")], 302, "http://t", 0),
    ] {
        assert_eq!(redirect(pairs), (status, to.to_owned(), problems), "{pairs:?}");
    }
}

#[test]
fn values_of_canaries_and_sessions_are_checked_one_by_one() {
    for (key, good, bad) in [
        ("canary", &["true", "0"][..], &["yes", ""][..]),
        ("canary-weight", &["0", "100", "1000"], &["-1", "5%", "", "99999999999"]),
        ("canary-weight-total", &["100", "1000"], &["99", "0", "x"]),
        ("canary-by-header", &["X-Canary", "x_y"], &["", "a b", "a:", "\u{e9}"]),
        ("canary-by-header-value", &["eu", "a b;c"], &["", " a", "a\r\nb", "\u{e9}"]),
        ("canary-by-header-pattern", &["^(a|b)$", "x"], &["(", "(?=a)", "(a)\\1"]),
        ("canary-by-cookie", &["try"], &["", "a=b", "a;b"]),
        ("affinity", &["cookie"], &["ip", "Cookie", ""]),
        ("affinity-mode", &["balanced", "persistent"], &["sticky", ""]),
        ("affinity-canary-behavior", &["sticky", "legacy"], &["off"]),
        ("session-cookie-name", &["INGRESSCOOKIE", "a-b_c"], &["", "a b", "a=b", "a;b"]),
        ("session-cookie-path", &["/", "/a/b"], &["", "a", "/a;b", "/a b", "/a,b"]),
        ("session-cookie-domain", &["a.example", ".a.example"], &["", "a;b", "a b", "-a"]),
        (
            "session-cookie-expires",
            &["0", "172800", "-1"],
            &["", "1.5", "1d", "--1", "99999999999999"],
        ),
        ("session-cookie-max-age", &["0", "172800", "-1"], &["", "+1"]),
        ("session-cookie-samesite", &["Lax", "none", "STRICT"], &["", "any"]),
        ("session-cookie-secure", &["true", "false"], &["yes"]),
        ("session-cookie-change-on-failure", &["true"], &["2"]),
    ] {
        for value in good {
            let (ingress, problems) = one(key, *value);
            assert_eq!(problems, [""; 0], "{key}: {value}");
            let off = matches!(*value, "0" if key == "canary");
            assert!(off || *ingress.options != IngressOptions::default(), "{key}: {value}");
        }
        for value in bad {
            let (ingress, problems) = one(key, *value);
            assert_eq!(problems, [field(key, "InvalidAnnotation")], "{key}: {value}");
            assert_eq!(*ingress.options, IngressOptions::default(), "{key}: {value}");
            assert!(is_open(&ingress), "{key}: {value}");
        }
    }
}

#[test]
fn aliases_are_host_names() {
    let names = |text: &str| one("server-alias", text).0.options.aliases.len();
    assert_eq!(names("b.example"), 1);
    assert_eq!(names("b.example, *.c.example,D.example"), 3);
    for (text, reason) in [
        ("", "InvalidAnnotation"),
        ("b.example,", "InvalidAnnotation"),
        ("a b", "InvalidAnnotation"),
        ("10.0.0.1", "InvalidAnnotation"),
        ("b.example:80", "InvalidAnnotation"),
        (r"~^www\d+\.example\.com$", "UnsupportedAnnotation"),
    ] {
        let (ingress, problems) = one("server-alias", text);
        assert_eq!(problems, [field("server-alias", reason)], "{text}");
        assert!(ingress.options.aliases.is_empty());
    }
}

#[test]
fn custom_headers_that_name_no_config_map_close_the_paths() {
    for text in ["m", "ns/m"] {
        let (ingress, problems) = one("custom-headers", text);
        assert!(problems.is_empty() && is_open(&ingress), "{text}");
        assert!(ingress.options.headers.custom.is_some(), "{text}");
    }
    for text in ["", "a/b/c", "A", "/m", "n s/m"] {
        let (ingress, problems) = one("custom-headers", text);
        assert_eq!(problems, [field("custom-headers", "InvalidAnnotation")], "{text}");
        assert!(is_closed(&ingress), "{text}");
    }
}

#[test]
fn other_keys_are_reported_and_change_nothing() {
    for key in ["mirror-target", "load-balance", "nonsense", "proxy-redirect-form"] {
        let (ingress, problems) = one(key, "x");
        assert_eq!(problems, [field(key, "UnsupportedAnnotation")]);
        assert!(is_open(&ingress), "{key}");
        assert_eq!(*ingress.options, IngressOptions::default(), "{key}");
    }
}

#[test]
fn values_that_ask_for_what_happens_anyway_are_no_problem() {
    for (key, value) in [
        ("proxy-buffering", "off"),
        ("proxy-request-buffering", "off"),
        ("load-balance", "round_robin"),
        ("http2-push-preload", "true"),
        ("enable-modsecurity", "false"),
        ("configuration-snippet", " "),
        ("satisfy", "all"),
        ("limit-rps", "0"),
    ] {
        let (ingress, problems) = one(key, value);
        assert_eq!(problems, [""; 0], "{key}");
        assert!(is_open(&ingress), "{key}");
    }
}

#[test]
fn a_mistyped_key_is_answered_with_a_suggestion() {
    let (_, problems) = annotated(&Settings::default(), &own("rewrite-targt", "/"));
    assert!(problems[0].message.contains("did you mean \"rewrite-target\"?"), "{problems:?}");
    assert!(problems[0].message.ends_with("it is ignored"), "{problems:?}");
}

#[test]
fn foreign_annotations_are_nobodys_business() {
    let foreign = serde_json::json!({"cert-manager.io/issuer": "x", "meta.helm.sh/release": 5});
    let (ingress, problems) = annotated(&nginx(), &foreign);
    assert_eq!(told(&problems), [""; 0]);
    assert!(is_open(&ingress));
}

proptest::proptest! {
    /// Whatever a tenant writes: no panic, at most one problem for each key, and an access rule
    /// that is not understood never leaves the paths open.
    #[test]
    fn any_text_is_a_value_or_a_problem(number in 0..KEYS.len(), text in "\\PC{0,40}|[ -~]{0,40}|.{0,8}") {
        let key = &KEYS[number];
        let (ingress, problems) = one(key.name, text.as_str());
        proptest::prop_assert!(problems.len() <= 1, "{}: {problems:?}", key.name);
        if key.group != Group::Harmless && !problems.is_empty() {
            proptest::prop_assert!(is_closed(&ingress), "{}: {text:?}", key.name);
        }
    }
}
