use super::super::resource::{CLASSES, INGRESSES, SECRETS, SERVICES};
use super::*;
use crate::config::Config;
use crate::model::Reason;
use crate::testing::ca::TestCa;

fn catalog() -> Catalog {
    let config = Config::default();
    Catalog::new(decode::Settings::from(&config), routing::Settings::from(&config))
}

fn take_in(catalog: &mut Catalog, resource: &'static Resource, yaml: &str) -> Taken {
    let value: serde_json::Value = serde_saphyr::from_str(yaml).unwrap();
    let item: Item = serde_json::from_value(value).unwrap();
    let item = item.with_type(resource);
    let object = item.reference(resource).unwrap();
    catalog.upsert(&object, &item)
}

fn service(name: &str, version: u32) -> String {
    format!(
        "metadata: {{name: {name}, namespace: shop, resourceVersion: '{version}'}}\n\
         spec: {{ports: [{{port: 80}}]}}\n"
    )
}

fn all(resource: &'static Resource, namespace: Option<&str>) -> Subject {
    Subject { resource, namespace: namespace.map(Into::into), select: Select::All }
}

fn names(change: &Change) -> (Vec<String>, Vec<String>) {
    let mut upserts: Vec<_> =
        change.upserts.iter().map(|object| object.reference().to_string()).collect();
    let mut removals: Vec<_> = change.removals.iter().map(ToString::to_string).collect();
    upserts.sort();
    removals.sort();
    (upserts, removals)
}

#[test]
fn an_object_of_a_known_version_is_nothing_new() {
    let mut catalog = catalog();
    assert_eq!(take_in(&mut catalog, &SERVICES, &service("a", 1)), Taken::New);
    catalog.take();
    assert_eq!(take_in(&mut catalog, &SERVICES, &service("a", 1)), Taken::Known);
    assert!(!catalog.is_new());
    assert_eq!(take_in(&mut catalog, &SERVICES, &service("a", 2)), Taken::New);
    assert_eq!(names(&catalog.take().change).0, ["Service shop/a"]);
}

#[test]
fn what_a_full_list_does_not_name_goes_with_its_end() {
    let mut catalog = catalog();
    let round = catalog.begin();
    for name in ["a", "b"] {
        take_in(&mut catalog, &SERVICES, &service(name, 1));
    }
    assert_eq!(catalog.complete(&all(&SERVICES, None), round), []);
    catalog.take();
    let round = catalog.begin();
    take_in(&mut catalog, &SERVICES, &service("a", 1));
    assert!(!catalog.is_new(), "the list has not come to its end");
    assert_eq!(catalog.complete(&all(&INGRESSES, None), round), []);
    assert_eq!(catalog.complete(&all(&SERVICES, Some("other")), round), []);
    let gone = catalog.complete(&all(&SERVICES, Some("shop")), round);
    assert_eq!(gone, [ObjectRef::new(Kind::Service, "shop", "b")]);
    assert_eq!(names(&catalog.take().change).1, ["Service shop/b"]);
    assert_eq!(catalog.count(&SERVICES), 1);
}

#[test]
fn a_remembered_object_yields_to_what_the_server_says() {
    let mut catalog = catalog();
    let round = catalog.begin();
    take_in(&mut catalog, &SERVICES, &service("a", 7));
    for (name, taken) in [("a", Taken::Known), ("b", Taken::New)] {
        let value: serde_json::Value = serde_saphyr::from_str(&service(name, 1)).unwrap();
        let item = serde_json::from_value::<Item>(value).unwrap().with_type(&SERVICES);
        let object = item.reference(&SERVICES).unwrap();
        assert_eq!(catalog.recall(&object, &item), taken);
    }
    // The list had begun before the cache was read.
    let gone = catalog.complete(&all(&SERVICES, None), round);
    assert_eq!(gone, [ObjectRef::new(Kind::Service, "shop", "b")]);
}

fn ingress(secret: &str) -> String {
    format!(
        "metadata: {{name: a, namespace: shop, resourceVersion: '{secret}'}}\n\
         spec: {{ingressClassName: genkan, tls: [{{secretName: {secret}}}],\n\
         \x20 rules: [{{host: a.example}}]}}\n"
    )
}

fn class() -> &'static str {
    "metadata: {name: genkan, resourceVersion: '1'}\nspec: {controller: genkan.io/ingress-controller}\n"
}

fn secret(name: &str, version: u32, certificate: &str, key: &str) -> String {
    format!(
        "metadata: {{name: {name}, namespace: shop, resourceVersion: '{version}'}}\n\
         type: kubernetes.io/tls\ndata: {{tls.crt: {certificate}, tls.key: {key}}}\n"
    )
}

#[test]
fn secrets_are_kept_as_long_as_they_are_named() {
    let leaf = TestCa::new().issue(&["a.example"]);
    let (certificate, key) = (leaf.certificate_base64(), leaf.key_base64());
    let mut catalog = catalog();
    let first = secret("first", 1, &certificate, &key);
    assert_eq!(take_in(&mut catalog, &SECRETS, &first), Taken::Left);
    take_in(&mut catalog, &CLASSES, class());
    take_in(&mut catalog, &INGRESSES, &ingress("first"));
    assert_eq!(take_in(&mut catalog, &SECRETS, &first), Taken::New);
    catalog.take();
    take_in(&mut catalog, &INGRESSES, &ingress("second"));
    let forgotten = catalog.forget_unwanted();
    assert_eq!(forgotten, [ObjectRef::new(Kind::Secret, "shop", "first")]);
    assert_eq!(names(&catalog.take().change).1, ["Secret shop/first"]);
    assert_eq!(catalog.count(&SECRETS), 0);
}

/// T9.
#[test]
fn a_secret_that_is_spoilt_keeps_its_last_good_pair() {
    let leaf = TestCa::new().issue(&["a.example"]);
    let mut catalog = catalog();
    take_in(&mut catalog, &CLASSES, class());
    take_in(&mut catalog, &INGRESSES, &ingress("s"));
    take_in(
        &mut catalog,
        &SECRETS,
        &secret("s", 1, &leaf.certificate_base64(), &leaf.key_base64()),
    );
    catalog.take();
    take_in(&mut catalog, &SECRETS, &secret("s", 2, "AAAA", "AAAA"));
    let Update { change, problems, .. } = catalog.take();
    assert_eq!(names(&change), (vec![], vec![]));
    assert!(problems.iter().any(|problem| problem.reason == Reason::SecretInvalid), "{problems:?}");
    let object = ObjectRef::new(Kind::Secret, "shop", "s");
    assert!(catalog.remove(&object));
    let Update { change, problems, .. } = catalog.take();
    assert_eq!((names(&change).1, problems), (vec!["Secret shop/s".to_owned()], vec![]));
}

#[test]
fn names_of_the_configuration_stand_for_classes_that_may_not_be_read() {
    let mut catalog = catalog();
    let round = catalog.begin();
    catalog.assume_classes(&["genkan".to_owned()], "genkan.io/ingress-controller");
    take_in(&mut catalog, &INGRESSES, &ingress("s"));
    assert_eq!(catalog.wanted().count(), 1);
    // Once they may be read, what is read counts.
    let later = catalog.begin();
    assert!(later > round);
    assert_eq!(catalog.complete(&all(&CLASSES, None), later).len(), 1);
    assert_eq!(catalog.wanted().count(), 0);
}

#[test]
fn other_settings_read_the_same_version_anew() {
    let mut catalog = catalog();
    take_in(&mut catalog, &SERVICES, &service("a", 1));
    assert!(!catalog.set_settings(decode::Settings::from(&Config::default())));
    let nginx = decode::Settings { nginx_annotations: true, ..decode::Settings::default() };
    assert!(catalog.set_settings(nginx));
    assert_eq!(take_in(&mut catalog, &SERVICES, &service("a", 1)), Taken::New);
}
