//! The admission policies refuse what would not be served, for Ingresses of our classes.

use serde_json::{Map, Value, json};

use super::lab::{Lab, lab, wait_for, yaml};

const NGINX: &str = "nginx.ingress.kubernetes.io/";

fn ingress(name: &str, class: &str, annotations: &[(String, &str)]) -> Value {
    let annotations: Map<String, Value> =
        annotations.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations},
        "spec": {
            "ingressClassName": class,
            "defaultBackend": {"service": {"name": "s", "port": {"number": 80}}},
        },
    })
}

fn nginx(key: &str) -> String {
    format!("{NGINX}{key}")
}

/// The policies for a class of this name, without the rest of the release.
fn apply(lab: &Lab, class: &str, compat: &str) {
    let arguments = [
        "template",
        class,
        "deploy/chart",
        "--show-only",
        "templates/validation.yaml",
        "--set",
        &format!("ingressClass.name={class},config.compat={compat}"),
        "--set",
        "config.annotations.ignore={enable-modsecurity}",
    ];
    let manifests = lab.helm(&arguments).good();
    lab.kubectl_with(&["apply", "-f", "-"], &manifests).good();
    // A policy is in force when the API server has seen it.
    let bad = ingress("probe", class, &[("genkan.io/use-regex".to_owned(), "perhaps")]);
    wait_for("the policy is not in force", || {
        lab.would_create(std::slice::from_ref(&bad)).0.is_empty().then_some(())
    });
}

#[test]
fn values_that_no_parser_takes_are_refused_and_others_pass() {
    let lab = lab();
    apply(&lab, "strict", "nginx");
    let table = yaml("deploy/chart/files/annotations.yaml");
    let (mut items, mut bad) = (Vec::new(), Vec::new());
    for (index, grammar) in table["grammars"].as_array().unwrap().iter().enumerate() {
        for (key, value) in grammar["keys"].as_array().unwrap().iter().flat_map(|key| {
            grammar["bad"].as_array().unwrap().iter().map(move |value| (key, value))
        }) {
            let name = format!("bad-{index}-{}", items.len());
            let annotation = (nginx(key.as_str().unwrap()), value.as_str().unwrap());
            bad.push((name.clone(), annotation.clone()));
            items.push(ingress(&name, "strict", &[annotation]));
        }
    }
    for (name, annotation) in [
        ("half", (nginx("auth-type"), "basic")),
        ("snippet", (nginx("configuration-snippet"), "deny all;")),
        ("length", (nginx("allowlist-source-range"), "10.0.0.0/33")),
    ] {
        bad.push((name.to_owned(), annotation.clone()));
        items.push(ingress(name, "strict", &[annotation]));
    }
    let (created, said) = lab.would_create(&items);
    for (name, annotation) in &bad {
        assert!(
            !created.iter().any(|item| item.ends_with(&format!("/{name}"))),
            "{annotation:?}\n{said}"
        );
    }
    assert!(said.contains(
        "Ingress default/snippet: metadata.annotations[nginx.ingress.kubernetes.io/configuration-snippet]: \
         it restricts access and is not supported: the paths would answer 503"
    ));

    let good = [
        ingress("plain", "strict", &[]),
        ingress(
            "rewrites",
            "strict",
            &[(nginx("rewrite-target"), "/$1"), (nginx("use-regex"), "true")],
        ),
        ingress("empty-snippet", "strict", &[(nginx("server-snippet"), "")]),
        ingress("ignored-key", "strict", &[(nginx("enable-modsecurity"), "true")]),
        ingress(
            "passwords",
            "strict",
            &[
                (nginx("auth-type"), "basic"),
                (nginx("auth-secret"), "users"),
                (
                    "genkan.io/allowlist-source-range".to_owned(),
                    "10.0.0.0/8, 2001:db8::/32,::ffff:10.0.0.1",
                ),
            ],
        ),
        ingress("of-others", "another", &[(nginx("auth-type"), "digest")]),
        ingress(
            "hints",
            "strict",
            &[(nginx("proxy-buffering"), "on"), ("genkan.io/nonsense".to_owned(), "x")],
        ),
    ];
    let (created, said) = lab.would_create(&good);
    assert_eq!(created.len(), good.len(), "{created:?}\n{said}");
    assert!(
        said.contains("not supported and ignored: nginx.ingress.kubernetes.io/proxy-buffering"),
        "{said}"
    );
    assert!(said.contains("not known: genkan.io/nonsense"), "{said}");
}

#[test]
fn annotations_with_the_nginx_prefix_count_in_compat_mode_only() {
    let lab = lab();
    apply(&lab, "native", "none");
    let (created, said) = lab.would_create(&[
        ingress("not-read", "native", &[(nginx("use-regex"), "perhaps")]),
        ingress("read", "native", &[("genkan.io/use-regex".to_owned(), "perhaps")]),
    ]);
    assert_eq!(
        created.into_iter().collect::<Vec<_>>(),
        ["ingress.networking.k8s.io/not-read"],
        "{said}"
    );
}

#[test]
fn what_was_there_before_stays_editable() {
    let lab = lab();
    let old = ingress("old", "late", &[("genkan.io/use-regex".to_owned(), "perhaps")]);
    lab.kubectl_with(&["create", "-f", "-"], &old.to_string()).good();
    apply(&lab, "late", "none");
    lab.kubectl(&["label", "ingress", "old", "team=shop"]).good();
    let annotate = lab.kubectl(&["annotate", "ingress", "old", "genkan.io/app-root=shop"]);
    assert!(!annotate.success && annotate.err.contains("app-root"), "{}", annotate.err);
    lab.kubectl(&["annotate", "ingress", "old", "genkan.io/use-regex-"]).good();
    lab.kubectl(&["delete", "ingress", "old"]).good();
}
