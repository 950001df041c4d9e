//! Keys that restrict access, and those that tell browsers of it.

use std::net::IpAddr;

use super::*;
use crate::model::options::{AccessOptions, SecretName};

/// With several nginx annotations.
fn several(pairs: &[(&str, &str)]) -> (Ingress, Vec<String>) {
    let map: serde_json::Map<_, _> =
        pairs.iter().map(|(key, value)| (format!("{NGINX}{key}"), (*value).into())).collect();
    let (ingress, problems) = annotated(&nginx(), &Value::Object(map));
    (ingress, told(&problems))
}

fn access(key: &str, value: &str) -> AccessOptions {
    let (ingress, problems) = one(key, value);
    assert_eq!(problems, [""; 0], "{key}: {value}");
    assert!(is_open(&ingress), "{key}: {value}");
    ingress.options.access
}

#[track_caller]
fn closes(key: &str, value: &str, reason: &str) {
    let (ingress, problems) = one(key, value);
    assert_eq!(problems, [field(key, reason)], "{value:?}");
    assert!(is_closed(&ingress), "{value:?}");
}

#[test]
fn lists_are_networks_and_addresses() {
    let source = |text: &str| text.parse::<IpAddr>().unwrap();
    let text = "10.0.0.0/8, 192.0.2.1 ,2001:db8::/32,::1,172.16.5.6/12";
    for key in ["whitelist-source-range", "allowlist-source-range"] {
        let allow = access(key, text).allow.expect("a list");
        for inside in ["10.9.8.7", "192.0.2.1", "2001:db8::9", "::1", "172.31.0.1"] {
            assert!(allow.contains(source(inside)), "{inside}");
        }
        for outside in ["11.0.0.0", "192.0.2.2", "2001:db9::", "::2", "172.32.0.0"] {
            assert!(!allow.contains(source(outside)), "{outside}");
        }
    }
    assert!(access("denylist-source-range", text).deny.is_some());
    assert!(access("limit-whitelist", text).limits.exempt.is_some());
    assert!(access("limit-allowlist", text).limits.exempt.is_some());
    for key in ["whitelist-source-range", "denylist-source-range", "limit-allowlist"] {
        for bad in
            ["", ",", "10.0.0.0/8,", "10.0.0.0/33", "10.0.0", "a.example", "10.0.0.0/8;", "all"]
        {
            closes(key, bad, "InvalidAnnotation");
        }
    }
}

#[test]
fn limits_are_numbers_and_0_is_none() {
    let limits = |key: &str, value: &str| access(key, value).limits;
    assert_eq!(limits("limit-rps", "10").per_second, Some(10));
    assert_eq!(limits("limit-rpm", "7").per_minute, Some(7));
    assert_eq!(limits("limit-connections", "3").connections, Some(3));
    assert_eq!(limits("limit-rps", "99999999999").per_second, Some(u32::MAX));
    assert_eq!(limits("limit-burst-multiplier", "2").burst_multiplier, Some(2));
    for key in ["limit-rps", "limit-rpm", "limit-connections"] {
        assert_eq!(limits(key, "0"), LimitOptions::default());
        for bad in ["", "-1", "1.5", "ten", "10r/s", " 1"] {
            closes(key, bad, "InvalidAnnotation");
        }
    }
    closes("limit-burst-multiplier", "0", "InvalidAnnotation");
}

#[test]
fn basic_authentication_needs_a_type_and_a_secret() {
    let (ingress, problems) = several(&[
        ("auth-type", "basic"),
        ("auth-secret", "team/passwords"),
        ("auth-secret-type", "auth-map"),
        ("auth-realm", "Staff \"only\""),
    ]);
    assert_eq!(problems, [""; 0]);
    assert!(is_open(&ingress));
    let auth = &ingress.options.access.auth;
    assert!(auth.basic && auth.map);
    let secret = SecretName { namespace: Some("team".into()), name: "passwords".into() };
    assert_eq!(auth.secret, Some(secret));
    assert_eq!(auth.realm.as_deref(), Some("Staff \"only\""));

    closes("auth-type", "basic", "InvalidAnnotation");
    closes("auth-secret", "passwords", "InvalidAnnotation");
    closes("auth-type", "digest", "UnsupportedAnnotation");
    for (key, bad) in [
        ("auth-type", "Basic"),
        ("auth-type", ""),
        ("auth-secret", ""),
        ("auth-secret", "a/b/c"),
        ("auth-secret", "/b"),
        ("auth-secret", "UPPER"),
        ("auth-secret", "../etc/passwd"),
        ("auth-secret-type", "file"),
        ("auth-realm", "a\r\nX: y"),
        ("satisfy", "some"),
        ("satisfy", ""),
    ] {
        closes(key, bad, "InvalidAnnotation");
    }
    assert!(access("satisfy", "any").satisfy_any);
    assert!(!access("satisfy", "all").satisfy_any);
    // Alone they restrict nothing.
    assert_eq!(access("auth-realm", "x").auth.secret, None);
    assert!(access("auth-secret-type", "auth-file").auth.secret.is_none());
}

#[test]
fn one_bad_half_of_a_rule_is_told_of_once() {
    let (ingress, problems) = several(&[("auth-type", "basic"), ("auth-secret", "a b")]);
    assert_eq!(problems, [field("auth-secret", "InvalidAnnotation")]);
    assert!(is_closed(&ingress));
}

#[test]
fn origins_are_taken_one_by_one_and_never_become_a_star() {
    let origins = |value: &str| {
        let (ingress, problems) = one("cors-allow-origin", value);
        assert!(is_open(&ingress));
        let origins = ingress.options.cors.origins.unwrap_or_default();
        (origins.iter().map(|origin| origin.to_string()).collect::<Vec<_>>(), problems)
    };
    for good in [
        "*",
        "https://a.example",
        "http://a.example:8080",
        "https://*.a.example",
        "app://localhost",
        "chrome-extension://abc",
    ] {
        assert_eq!(origins(good), (vec![good.to_owned()], Vec::new()));
    }
    let bad = [field("cors-allow-origin", "InvalidAnnotation")];
    for none in [
        "",
        ",",
        "null",
        "a.example",
        "https://",
        "https://a.example/",
        "https://a.*.example",
        "https://*",
        "https://a.example:x",
        "https://a$b",
        "https://a\r\nX: y",
        "://a.example",
    ] {
        assert_eq!(origins(none), (Vec::new(), bad.to_vec()), "{none:?}");
    }
    let some = origins("https://a.example, nonsense,http://b.example");
    assert_eq!(some, (vec!["https://a.example".into(), "http://b.example".into()], bad.to_vec()));
}

#[test]
fn other_cross_origin_values_are_kept_or_ignored() {
    let (ingress, problems) = several(&[
        ("enable-cors", "true"),
        ("cors-allow-methods", "GET, PUT"),
        ("cors-allow-headers", "X-One,X_Two"),
        ("cors-expose-headers", "*, X-Three"),
        ("cors-allow-credentials", "false"),
        ("cors-max-age", "600"),
    ]);
    assert_eq!(problems, [""; 0]);
    let cors = &ingress.options.cors;
    assert!(cors.enabled && cors.origins.is_none());
    assert_eq!(cors.methods.as_deref(), Some("GET, PUT"));
    assert_eq!(cors.headers.as_deref(), Some("X-One,X_Two"));
    assert_eq!(cors.expose.as_deref(), Some("*, X-Three"));
    assert_eq!((cors.credentials, cors.max_age), (Some(false), Some(600)));
    for (key, bad) in [
        ("enable-cors", "yes"),
        ("cors-allow-methods", ""),
        ("cors-allow-methods", "GET;PUT"),
        ("cors-allow-methods", "GET\r\nX: y"),
        ("cors-allow-headers", "X-One: y"),
        ("cors-allow-headers", " X"),
        ("cors-expose-headers", "\u{fc}"),
        ("cors-allow-credentials", "on"),
        ("cors-max-age", "-1"),
    ] {
        let (ingress, problems) = one(key, bad);
        assert_eq!(problems, [field(key, "InvalidAnnotation")], "{bad:?}");
        assert!(is_open(&ingress), "{key}");
        assert_eq!(*ingress.options, IngressOptions::default(), "{key}");
    }
}
