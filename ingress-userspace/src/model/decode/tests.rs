use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::model::ingress::{Backend, HostPattern, Ingress, PathKind, PortRef};
use crate::model::{EndpointSet, Service};

mod endpoints;
mod ingress;
mod objects;
mod secret;

fn origin() -> Origin {
    Origin::File { path: Arc::new(PathBuf::from("test.yaml")), line: 1 }
}

fn decoded_with(settings: &Settings, yaml: &str) -> (Vec<Object>, Vec<Problem>) {
    let value: Value = serde_saphyr::from_str(yaml).unwrap();
    let mut objects = Vec::new();
    let mut problems = Vec::new();
    for decoded in decode(&value, &origin(), settings) {
        objects.extend(decoded.objects);
        problems.extend(decoded.problems);
    }
    (objects, problems)
}

fn decoded(yaml: &str) -> (Vec<Object>, Vec<Problem>) {
    decoded_with(&Settings::default(), yaml)
}

/// `field: Reason` of each problem.
fn told(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|p| format!("{}: {}", p.field, p.reason.as_str())).collect()
}

fn ingress_of(objects: Vec<Object>) -> Option<Ingress> {
    objects.into_iter().find_map(|object| match object {
        Object::Ingress(ingress) => Some(ingress),
        _ => None,
    })
}

/// A v1 Ingress with this `spec`.
fn ingress_v1(spec: &str) -> (Option<Ingress>, Vec<String>) {
    let yaml = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: i}}\nspec: {spec}\n"
    );
    let (objects, problems) = decoded(&yaml);
    (ingress_of(objects), told(&problems))
}

const S: &str = "{service: {name: s, port: {number: 80}}}";

fn path_v1(path: &str, kind: &str) -> (Option<Ingress>, Vec<String>) {
    ingress_v1(&format!(
        "{{rules: [{{http: {{paths: [{{path: {path:?}, pathType: {kind}, backend: {S}}}]}}}}]}}"
    ))
}

fn service_backend(name: &str, port: u16) -> Backend {
    Backend::Service { name: name.into(), port: PortRef::Number(port) }
}
