//! The committed examples load with exactly the objects and problems that their README promises.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise, with its place")]

use std::path::{Path, PathBuf};

use genkan::config::{Config, Overrides, read};
use genkan::model::decode::Settings;
use genkan::model::{Backend, HostPattern, Ingress, Kind, Object, PathKind, PortRef, Reason};
use genkan::source::{Update, manifests};
use genkan::testing::ca::TestCa;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples")
}

fn config() -> Config {
    read::read(&examples().join("genkan.yaml"), &Overrides::default()).unwrap()
}

fn load(directory: &str) -> Update {
    manifests::load(&examples().join(directory), &Settings::from(&config())).unwrap()
}

/// `Kind namespace/name` of all objects, sorted.
fn objects(update: &Update) -> Vec<String> {
    let mut objects: Vec<_> =
        update.change.upserts.iter().map(|object| object.reference().to_string()).collect();
    objects.sort();
    objects
}

fn ingress<'u>(update: &'u Update, name: &str) -> &'u Ingress {
    let found = update.change.upserts.iter().find_map(|object| match object {
        Object::Ingress(ingress) if &*ingress.object.name == name => Some(ingress),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("{name} is not there"))
}

/// `host path service:port` of all paths.
fn paths(ingress: &Ingress) -> Vec<String> {
    let rules = ingress.rules.iter().flat_map(|rule| rule.paths.iter().map(move |p| (rule, p)));
    rules
        .map(|(rule, path)| {
            let host = match &rule.host {
                HostPattern::Any => "any".to_owned(),
                HostPattern::Exact(name) => name.to_string(),
                HostPattern::Wildcard(parent) => format!("*.{parent}"),
            };
            format!("{host} {:?} {}", &*path.path, service(&path.backend))
        })
        .collect()
}

fn service(backend: &Backend) -> String {
    match backend {
        Backend::Service { name, port: PortRef::Number(port) } => format!("{name}:{port}"),
        Backend::Service { name, port: PortRef::Name(port) } => format!("{name}:{port}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_configuration_example_is_valid_and_complete() {
    let config = config();
    assert!(config.classes.serve_classless);
    let text = std::fs::read_to_string(examples().join("genkan.yaml")).unwrap();
    let serde_json::Value::Object(fields) = serde_json::to_value(Config::default()).unwrap() else {
        panic!("a mapping")
    };
    for section in fields.keys() {
        assert!(text.contains(&format!("\n{section}:")), "{section} is missing");
    }
}

#[test]
fn v1beta1_01_minimal_loads() {
    let update = load("v1beta1/01-minimal");
    assert_eq!(update.problems, []);
    assert_eq!(
        objects(&update),
        ["Endpoints default/test", "Ingress default/test-ingress", "Service default/test"]
    );
    let ingress = ingress(&update, "test-ingress");
    assert_eq!(paths(ingress), [r#"any "/testpath" test:80"#]);
    assert_eq!(ingress.options.rewrite.target.as_deref(), Some("/"));
    assert_eq!(ingress.rules[0].paths[0].kind, PathKind::ImplementationSpecific);
}

#[test]
fn v1beta1_02_fanout_loads() {
    let update = load("v1beta1/02-fanout");
    assert_eq!(update.problems, []);
    assert_eq!(
        objects(&update),
        [
            "EndpointSlice default/s1-v4",
            "EndpointSlice default/s2-v4",
            "Ingress default/test",
            "Service default/s1",
            "Service default/s2",
        ]
    );
    let ingress = ingress(&update, "test");
    assert_eq!(paths(ingress), [r#"foo.bar.com "/foo" s1:80"#, r#"foo.bar.com "/bar" s2:80"#]);
    assert_eq!(ingress.options.rewrite.target.as_deref(), Some("/"));
}

#[test]
fn v1beta1_03_name_based_virtual_hosts_loads() {
    let update = load("v1beta1/03-name-based-virtual-hosts");
    assert_eq!(update.problems, []);
    assert_eq!(objects(&update).len(), 5);
    let ingress = ingress(&update, "test");
    assert_eq!(paths(ingress), [r#"foo.bar.com "" s1:80"#, r#"bar.foo.com "" s2:80"#]);
    assert_eq!(ingress.options.rewrite.target, None);
}

#[test]
fn v1beta1_04_tls_secret_is_reported_with_file_line_object_field_and_reason() {
    let update = load("v1beta1/04-tls-secret");
    assert_eq!(objects(&update), [""; 0]);
    let told: Vec<_> = update.problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    for (told, key, line) in [(&told[0], "tls.crt", 3), (&told[1], "tls.key", 4)] {
        let place = format!("v1beta1/04-tls-secret/04-tls-secret.yaml:{line}: ");
        let (_, rest) = told.split_once(&place).unwrap_or_else(|| panic!("{told}"));
        let start = format!("Secret default/testsecret: data[{key}]: not base64: ");
        assert!(rest.starts_with(&start), "{told}");
        assert!(rest.ends_with("(SecretInvalid, T3)"), "{told}");
    }
}

#[test]
fn v1beta1_05_tls_no_rules_loads() {
    let update = load("v1beta1/05-tls-no-rules");
    assert_eq!(update.problems, []);
    assert_eq!(
        objects(&update),
        [
            "EndpointSlice default/s1-v4",
            "EndpointSlice default/s1-v6",
            "Ingress default/no-rules-map",
            "Service default/s1",
        ]
    );
    let ingress = ingress(&update, "no-rules-map");
    assert!(ingress.rules.is_empty());
    assert_eq!(ingress.default_backend.as_ref().map(service).as_deref(), Some("s1:80"));
    assert_eq!(ingress.tls.len(), 1);
    assert_eq!(ingress.tls[0].secret.as_deref(), Some("testsecret"));
    assert!(ingress.tls[0].hosts.is_empty());
}

/// 06 is the `spec` of 03 after an edit.
#[tokio::test]
async fn v1beta1_06_edits_03_live() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("test.yaml");
    let at = |name: &str| examples().join("v1beta1").join(name);
    let before = std::fs::read_to_string(
        at("03-name-based-virtual-hosts").join("03-name-based-virtual-hosts.yaml"),
    )
    .unwrap();
    let spec = std::fs::read_to_string(at("06-edited-rules.yaml")).unwrap();
    std::fs::write(&file, &before).unwrap();
    let settings = Settings::from(&config());
    let (mut source, _) = manifests::ManifestSource::start(dir.path(), settings).unwrap();

    let (head, _) = before.split_once("spec:").unwrap();
    std::fs::write(&file, format!("{head}{spec}")).unwrap();
    let update = source.next().await;
    assert_eq!(update.problems, []);
    assert_eq!(update.change.removals, []);
    let edited = ingress(&update, "test");
    assert_eq!(paths(edited), [r#"foo.bar.com "/foo" s1:80"#, r#"bar.baz.com "/foo" s2:80"#]);
}

#[test]
fn v1beta1_as_one_tree_reports_the_names_that_are_there_twice() {
    let update = load("v1beta1");
    let duplicates: Vec<_> = update
        .problems
        .iter()
        .filter(|problem| problem.reason == Reason::DuplicateObject)
        .collect();
    let test = duplicates
        .iter()
        .find(|problem| problem.object.as_ref().is_some_and(|o| o.kind == Kind::Ingress))
        .unwrap();
    let told = test.to_string();
    for file in ["02-fanout/02-fanout.yaml:1", "03-name-based-virtual-hosts.yaml:1"] {
        assert!(told.contains(file), "{told}");
    }
    assert_eq!(ingress(&update, "test").options.rewrite.target.as_deref(), Some("/"));
    assert!(update.problems.iter().any(|p| p.reason == Reason::InvalidDocument), "06 is no object");
}

#[test]
fn v1_loads_and_names_what_it_shows() {
    let update = load("v1");
    assert_eq!(update.problems, []);
    assert_eq!(
        objects(&update),
        [
            "EndpointSlice default/api-v4",
            "EndpointSlice default/fallback-v4",
            "EndpointSlice default/web-v4",
            "EndpointSlice default/web-v6",
            "EndpointSlice default/websocket-v4",
            "Ingress default/blog",
            "Ingress default/default-backend",
            "Ingress default/fanout",
            "Ingress default/shop",
            "Ingress default/virtual-hosts",
            "Ingress default/websocket",
            "IngressClass genkan",
            "Service default/api",
            "Service default/fallback",
            "Service default/web",
            "Service default/websocket",
        ]
    );
    assert_eq!(
        paths(ingress(&update, "fanout")),
        [
            r#"fanout.example.com "/" web:80"#,
            r#"fanout.example.com "/api" api:http"#,
            r#"fanout.example.com "/api/health" web:80"#,
        ]
    );
    assert_eq!(ingress(&update, "blog").options.redirects.ssl, Some(false));
    for name in ["fanout", "shop", "default-backend"] {
        assert_eq!(ingress(&update, name).class_name.as_deref(), Some("genkan"), "{name}");
    }
}

#[test]
fn generated_secrets_beside_the_examples_load() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    for host in ["shop", "blog"] {
        let leaf = ca.issue(&[&format!("{host}.example.com")]);
        let file = dir.path().join(format!("{host}-tls.yaml"));
        std::fs::write(file, leaf.secret_yaml("default", &format!("{host}-tls"))).unwrap();
    }
    let update = manifests::load(dir.path(), &Settings::from(&config())).unwrap();
    assert_eq!(update.problems, []);
    assert_eq!(objects(&update), ["Secret default/blog-tls", "Secret default/shop-tls"]);
}
