use rstest::rstest;

use super::*;
use crate::config::Config;
use crate::model::decode::{self, decode};
use crate::model::{Object, Origin};

const GENKAN: &str = "genkan.io/ingress-controller";

fn ingress(name: &str, annotations: &str, spec: &str) -> Ingress {
    let text = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\n\
         metadata: {{name: {name}, namespace: shop, annotations: {{{annotations}}}}}\n\
         spec: {{ingressClassName: genkan, defaultBackend: {{service: {{name: s, port: \
         {{number: 80}}}}}}, {spec}}}\n"
    );
    let settings = decode::Settings { nginx_annotations: true, ..decode::Settings::default() };
    let value = serde_saphyr::from_str(&text).unwrap();
    let decoded = decode(&value, &Origin::Cluster, &settings).remove(0);
    match decoded.objects.into_iter().next() {
        Some(Object::Ingress(ingress)) => ingress,
        _ => panic!("{:?}", decoded.problems),
    }
}

fn class(controller: &str) -> IngressClass {
    IngressClass { name: "genkan".into(), controller: controller.into(), is_default: false }
}

fn references() -> References {
    let mut references = References::new(Settings::from(&Config::default()));
    references.upsert_class(&class(GENKAN));
    references
}

fn wanted(references: &References) -> Vec<String> {
    references.wanted().map(ToString::to_string).collect()
}

#[rstest]
#[case::nothing("", "", &[])]
#[case::certificate("", "tls: [{secretName: a}]", &["Secret shop/a"])]
#[case::each_once("", "tls: [{secretName: a}, {secretName: b}, {secretName: a}]",
    &["Secret shop/a", "Secret shop/b"])]
#[case::entry_without_secret("", "tls: [{hosts: [a.example]}]", &[])]
#[case::passwords("'nginx.ingress.kubernetes.io/auth-type': basic, \
    'nginx.ingress.kubernetes.io/auth-secret': users", "", &["Secret shop/users"])]
#[case::passwords_that_nobody_asks_for("'nginx.ingress.kubernetes.io/auth-secret': users", "", &[])]
#[case::passwords_of_another_namespace("'nginx.ingress.kubernetes.io/auth-type': basic, \
    'nginx.ingress.kubernetes.io/auth-secret': other/users", "", &[])]
#[case::headers("'nginx.ingress.kubernetes.io/custom-headers': other/fields", "",
    &["ConfigMap other/fields"])]
fn only_what_an_ingress_names_is_wanted(
    #[case] annotations: &str,
    #[case] spec: &str,
    #[case] expected: &[&str],
) {
    let mut references = references();
    references.upsert_ingress(&ingress("a", annotations, spec));
    assert_eq!(wanted(&references), expected);
}

#[test]
fn an_object_is_wanted_as_long_as_somebody_names_it() {
    let mut references = references();
    let (a, b) =
        (ingress("a", "", "tls: [{secretName: x}]"), ingress("b", "", "tls: [{secretName: x}]"));
    references.upsert_ingress(&a);
    references.upsert_ingress(&b);
    references.upsert_ingress(&ingress("a", "", "tls: [{secretName: z}]"));
    assert_eq!(wanted(&references), ["Secret shop/x", "Secret shop/z"]);
    references.remove_ingress(&b.object);
    assert_eq!(wanted(&references), ["Secret shop/z"]);
    references.remove_ingress(&a.object);
    references.remove_ingress(&a.object);
    assert_eq!(wanted(&references), [""; 0]);
}

#[test]
fn what_others_serve_is_not_read() {
    let mut references = References::new(Settings::from(&Config::default()));
    references.upsert_ingress(&ingress("a", "", "tls: [{secretName: x}]"));
    assert_eq!(wanted(&references), [""; 0], "its class does not exist");
    references.upsert_class(&class("example.com/other"));
    assert_eq!(wanted(&references), [""; 0]);
    references.upsert_class(&class(GENKAN));
    assert_eq!(wanted(&references), ["Secret shop/x"]);
    references.remove_class("genkan");
    assert_eq!(wanted(&references), [""; 0]);
}

#[test]
fn the_default_certificate_is_wanted_whoever_names_it() {
    let mut config = Config::default();
    config.tls.default_certificate = Some("shop/x".to_owned());
    let mut references = references();
    references.set_settings(Settings::from(&config));
    let a = ingress("a", "", "tls: [{secretName: x}]");
    references.upsert_ingress(&a);
    references.remove_ingress(&a.object);
    assert_eq!(wanted(&references), ["Secret shop/x"]);
    references.set_settings(Settings::from(&Config::default()));
    assert_eq!(wanted(&references), [""; 0]);
}

fn secret(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Secret, namespace, name)
}

fn shown(subjects: &BTreeSet<Subject>) -> Vec<String> {
    subjects
        .iter()
        .map(|subject| {
            let namespace = subject.namespace.as_deref().unwrap_or("*");
            format!("{} {namespace} {:?}", subject.resource, subject.select)
        })
        .collect()
}

#[test]
fn few_secrets_have_a_watch_each() {
    let wanted = [secret("a", "x"), secret("b", "y"), ObjectRef::new(Kind::ConfigMap, "a", "m")];
    let subjects = plan(wanted.iter(), 2, |_| Listing::Unknown);
    assert_eq!(
        shown(&subjects),
        ["secrets a Name(\"x\")", "secrets b Name(\"y\")", "configmaps a Name(\"m\")"]
    );
}

#[test]
fn many_secrets_share_the_watch_of_their_namespace() {
    let wanted = [secret("a", "x"), secret("a", "y"), secret("b", "z")];
    let subjects = plan(wanted.iter(), 2, |_| Listing::Unknown);
    let shared = "Fields(\"type=kubernetes.io/tls\")";
    assert_eq!(shown(&subjects), [format!("secrets a {shared}"), format!("secrets b {shared}")]);
    let subjects = plan(wanted.iter(), 2, |object| match &*object.name {
        "y" => Listing::NotListed,
        _ => Listing::Listed,
    });
    let passwords = "secrets a Refreshed(\"y\")".to_owned();
    assert_eq!(
        shown(&subjects),
        [format!("secrets a {shared}"), passwords, format!("secrets b {shared}")]
    );
}

#[test]
fn many_config_maps_are_refreshed() {
    let wanted = ["x", "y"].map(|name| ObjectRef::new(Kind::ConfigMap, "a", name));
    let subjects = plan(wanted.iter(), 1, |_| Listing::Unknown);
    assert_eq!(
        shown(&subjects),
        ["configmaps a Refreshed(\"x\")", "configmaps a Refreshed(\"y\")"]
    );
}
