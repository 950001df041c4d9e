//! Annotations.

use super::*;

fn one(key: &str, value: &str) -> (Ingress, Vec<String>) {
    annotated(&nginx(), &format!("{{nginx.ingress.kubernetes.io/{key}: {value}}}"))
}

fn field(key: &str, reason: &str) -> String {
    format!("metadata.annotations[nginx.ingress.kubernetes.io/{key}]: {reason}")
}

#[test]
fn d19_the_nginx_prefix_counts_in_compat_mode_only() {
    let annotations = "{nginx.ingress.kubernetes.io/use-regex: 'true'}";
    let (ingress, problems) = annotated(&Settings::default(), annotations);
    assert!(!ingress.options.use_regex);
    assert_eq!(problems, [""; 0]);
    assert!(annotated(&nginx(), annotations).0.options.use_regex);
    for settings in [Settings::default(), nginx()] {
        assert!(annotated(&settings, "{genkan.io/use-regex: 'true'}").0.options.use_regex);
    }
}

#[test]
fn d19_our_own_prefix_wins() {
    let (ingress, _) = annotated(
        &nginx(),
        "{genkan.io/rewrite-target: /own, nginx.ingress.kubernetes.io/rewrite-target: /other}",
    );
    assert_eq!(ingress.options.rewrite_target.as_deref(), Some("/own"));
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
        let (ingress, problems) = one("ssl-redirect", &format!("'{text}'"));
        assert_eq!(problems, [""; 0], "{text}");
        assert_eq!(ingress.options.ssl_redirect, Some(expected), "{text}");
    }
    for text in ["yes", "on", "tRUE", "", " true", "2"] {
        let (ingress, problems) = one("ssl-redirect", &format!("'{text}'"));
        assert_eq!(problems, [field("ssl-redirect", "InvalidAnnotation")], "{text}");
        assert_eq!(ingress.options.ssl_redirect, None, "{text}");
    }
}

#[test]
fn c13_a_value_that_is_no_string_disables_its_key_only() {
    let (ingress, problems) = annotated(
        &nginx(),
        "{nginx.ingress.kubernetes.io/use-regex: true, nginx.ingress.kubernetes.io/rewrite-target: /x}",
    );
    assert_eq!(problems, [field("use-regex", "InvalidAnnotation")]);
    assert!(!ingress.options.use_regex);
    assert_eq!(ingress.options.rewrite_target.as_deref(), Some("/x"));
    assert_eq!(ingress.rules[0].paths[0].backend, service_backend("s", 80));
}

#[test]
fn rewrite_targets_are_absolute_paths_with_groups() {
    for text in ["/", "/$1", "/a/$2/b-$1", "/~x/%20"] {
        let (ingress, problems) = one("rewrite-target", &format!("{text:?}"));
        assert_eq!(problems, [""; 0], "{text}");
        assert_eq!(ingress.options.rewrite_target.as_deref(), Some(text));
    }
    for (text, reason) in [
        ("", "InvalidAnnotation"),
        ("x", "InvalidAnnotation"),
        ("$1", "InvalidAnnotation"),
        ("/a b", "InvalidAnnotation"),
        ("/a\\nb", "InvalidAnnotation"),
        ("/{x}", "InvalidAnnotation"),
        ("/a?b=c", "InvalidAnnotation"),
        ("https://x/", "InvalidAnnotation"),
        ("/$uri", "UnsupportedAnnotation"),
        ("/$0", "UnsupportedAnnotation"),
        ("/$", "UnsupportedAnnotation"),
    ] {
        let (ingress, problems) = one("rewrite-target", &format!("\"{text}\""));
        assert_eq!(problems, [field("rewrite-target", reason)], "{text}");
        assert_eq!(ingress.options.rewrite_target, None, "{text}");
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
        assert_eq!(ingress.options.backend_protocol, Some(expected));
    }
    for (text, reason) in [
        ("FCGI", "UnsupportedAnnotation"),
        ("AUTO_HTTP", "UnsupportedAnnotation"),
        ("h3", "InvalidAnnotation"),
    ] {
        let (ingress, problems) = one("backend-protocol", text);
        assert_eq!(problems, [field("backend-protocol", reason)], "{text}");
        assert_eq!(ingress.options.backend_protocol, None, "{text}");
    }
}

#[test]
fn other_keys_of_the_prefix_are_reported_and_change_nothing() {
    for key in
        ["force-ssl-redirect", "app-root", "server-snippet", "proxy-read-timeout", "nonsense"]
    {
        let (ingress, problems) = one(key, "'1'");
        assert_eq!(problems, [field(key, "UnsupportedAnnotation")]);
        assert_eq!(ingress.rules[0].paths[0].backend, service_backend("s", 80));
    }
}

#[test]
fn a_mistyped_key_is_answered_with_a_suggestion() {
    let yaml = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: i, annotations: \
         {{genkan.io/rewrite-targt: /}}}}\nspec: {{defaultBackend: {S}}}\n"
    );
    let (_, problems) = decoded(&yaml);
    assert!(problems[0].message.contains("did you mean \"rewrite-target\"?"), "{problems:?}");
}

#[test]
fn c13_access_control_keys_fail_closed() {
    for key in [
        "whitelist-source-range",
        "allowlist-source-range",
        "denylist-source-range",
        "auth-type",
        "auth-url",
        "auth-tls-secret",
        "auth-tls-verify-client",
        "auth-snippet",
        "limit-rps",
        "limit-connections",
        "satisfy",
    ] {
        for value in ["x", "7", "null"] {
            let (ingress, problems) = one(key, value);
            assert_eq!(problems, [field(key, "UnsupportedAnnotation")], "{key}");
            assert_eq!(ingress.rules[0].paths[0].backend, Backend::Closed, "{key}");
            assert_eq!(ingress.default_backend, Some(Backend::Closed), "{key}");
        }
    }
}

#[test]
fn c13_access_control_closes_its_own_ingress_only_where_the_prefix_is_read() {
    let annotations = "{nginx.ingress.kubernetes.io/auth-url: 'http://x'}";
    let (ingress, problems) = annotated(&Settings::default(), annotations);
    assert_eq!(problems, [""; 0]);
    assert_eq!(ingress.rules[0].paths[0].backend, service_backend("s", 80));
    let (ingress, _) = annotated(&Settings::default(), "{genkan.io/auth-url: 'http://x'}");
    assert_eq!(ingress.rules[0].paths[0].backend, Backend::Closed);
}

#[test]
fn foreign_annotations_are_nobodys_business() {
    let (_, problems) =
        annotated(&nginx(), "{cert-manager.io/issuer: x, meta.helm.sh/release-name: 5}");
    assert_eq!(problems, [""; 0]);
}
