//! C13: keys that close the paths, or the host, of an Ingress when they cannot be followed.

use super::*;

#[test]
fn c13_every_access_key_that_cannot_be_followed_closes_its_paths() {
    let access = KEYS.iter().filter(|key| key.group != Group::Harmless);
    let mut seen = 0;
    for name in access.flat_map(Key::names) {
        for value in [Value::from("\u{1}"), Value::Null, Value::from(7)] {
            let (ingress, problems) = one(name, value);
            assert_eq!(problems.len(), 1, "{name}");
            assert!(is_closed(&ingress), "{name}");
        }
        seen += 1;
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn c13_snippets_and_firewall_rules_close_the_paths() {
    for key in [
        "configuration-snippet",
        "server-snippet",
        "stream-snippet",
        "auth-snippet",
        "modsecurity-snippet",
        "enable-modsecurity",
        "enable-owasp-core-rules",
    ] {
        let (ingress, problems) = one(key, "true");
        assert_eq!(problems, [field(key, "UnsupportedAnnotation")], "{key}");
        assert!(is_closed(&ingress), "{key}");
        assert_eq!(ingress.options.closes_hosts, key == "server-snippet", "{key}");
    }
}

#[test]
fn c13_client_certificates_close_the_whole_host() {
    for key in ["auth-tls-secret", "auth-tls-verify-client", "auth-tls-verify-dept"] {
        let (ingress, _) = one(key, "optional");
        assert!(is_closed(&ingress) && ingress.options.closes_hosts, "{key}");
    }
    assert!(!one("auth-url", "x").0.options.closes_hosts);
}

#[test]
fn c13_names_that_look_like_an_access_rule_close_the_paths_too() {
    for key in [
        "whitelist-source-ranges",
        "Whitelist-Source-Range",
        "whitelist_source_range",
        "auth-typ",
        "auth-uri",
        "oauth-url",
        "limit-rp",
        "ip-whitelist",
        "global-rate-limit",
        "denylist",
        "location-snippet",
        "lua-resty-waf",
        "satisfi",
    ] {
        let (ingress, problems) = one(key, "x");
        assert_eq!(problems, [field(key, "UnsupportedAnnotation")], "{key}");
        assert!(is_closed(&ingress), "{key}");
    }
    for key in ["proxy-body-sizes", "cors-allow-origins", "app_root", "authentic"] {
        let closes = key == "authentic";
        assert_eq!(is_closed(&one(key, "x").0), closes, "{key}");
    }
}

#[test]
fn operators_may_take_keys_as_absent() {
    let settings = Settings {
        ignored_annotations: ["configuration-snippet".to_owned(), "auth-typ".to_owned()].into(),
        ..nginx()
    };
    for (key, open) in
        [("configuration-snippet", true), ("auth-typ", true), ("server-snippet", false)]
    {
        let annotations = serde_json::json!({format!("{NGINX}{key}"): "deny all;"});
        let (ingress, problems) = annotated(&settings, &annotations);
        assert_eq!((is_open(&ingress), problems.is_empty()), (open, open), "{key}");
    }
}

#[test]
fn c13_access_control_closes_its_own_ingress_only_where_the_prefix_is_read() {
    let theirs = serde_json::json!({format!("{NGINX}auth-url"): "http://x"});
    assert!(is_open(&annotated(&Settings::default(), &theirs).0));
    assert!(is_closed(&annotated(&Settings::default(), &own("auth-url", "\u{1}")).0));
}
