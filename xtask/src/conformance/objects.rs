//! What the scenarios apply: Deployments of the echo image, Services, Ingresses, a certificate.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::scenario::{DEFAULT, EXACT_SLASH, Objects, PATH_RULES, PODS, TLS_HOST, WILDCARD_HOST};
use crate::cluster::Lab;
use crate::program::Program;

/// The name of the Ingress in every namespace.
pub(super) const INGRESS: &str = "conformance";
/// A class that no controller has.
const FOREIGN_CLASS: &str = "some-invalid-class-name";
/// Of every Service; the pods listen on 3000.
const PORT: u16 = 8080;

/// The Services of a scenario, each with its number of pods.
pub(super) fn services(objects: Objects) -> BTreeMap<&'static str, usize> {
    match objects {
        Objects::DefaultBackend | Objects::ForeignClass => BTreeMap::from([(DEFAULT, 1)]),
        Objects::Hosts => BTreeMap::from([("wildcard-foo-com", 1), ("foo-bar-com", 1)]),
        Objects::TenPods => BTreeMap::from([(DEFAULT, PODS)]),
        Objects::Paths => {
            let rules = PATH_RULES.iter().chain([&EXACT_SLASH]);
            rules.map(|&(_, _, _, service)| (service, 1)).collect()
        }
    }
}

/// A namespace with the Deployments and Services.
pub(super) fn workloads(namespace: &str, objects: Objects) -> Vec<Value> {
    let mut all = vec![json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": namespace, "labels": {"app.kubernetes.io/part-of": "genkan-conformance"}},
    })];
    for (service, replicas) in services(objects) {
        all.push(deployment(namespace, service, replicas));
        all.push(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"namespace": namespace, "name": service},
            "spec": {
                "type": "NodePort",
                "selector": {"app": service},
                "ports": [{"port": PORT, "targetPort": 3000}],
            },
        }));
    }
    all
}

/// The Ingress, and the Secret of its certificate.
///
/// # Errors
/// `openssl` can't make a certificate.
pub(super) fn ingress(
    lab: &Lab,
    namespace: &str,
    objects: Objects,
    class: &str,
) -> Result<Vec<Value>> {
    let mut class = class;
    let mut all = Vec::new();
    let mut spec = match objects {
        Objects::DefaultBackend => json!({"defaultBackend": backend(DEFAULT)}),
        Objects::Hosts => {
            all.push(certificate(lab, namespace)?);
            json!({
                "tls": [{"hosts": [TLS_HOST], "secretName": "conformance-tls"}],
                "rules": rules(&[
                    (WILDCARD_HOST, "Prefix", "/", "wildcard-foo-com"),
                    (TLS_HOST, "Prefix", "/", "foo-bar-com"),
                ]),
            })
        }
        Objects::ForeignClass => {
            class = FOREIGN_CLASS;
            json!({"rules": rules(&[("foreign-class", "Prefix", "/", DEFAULT)])})
        }
        Objects::TenPods => json!({"rules": rules(&[("load-balancing", "Prefix", "/", DEFAULT)])}),
        Objects::Paths => json!({"rules": rules(&[&PATH_RULES[..], &[EXACT_SLASH]].concat())}),
    };
    spec["ingressClassName"] = json!(class);
    all.push(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"namespace": namespace, "name": INGRESS},
        "spec": spec,
    }));
    Ok(all)
}

/// Where the certificate of [`TLS_HOST`] lies for clients.
pub(super) fn certificate_file(lab: &Lab) -> std::path::PathBuf {
    lab.path("conformance.crt")
}

fn rules(paths: &[(&str, &str, &str, &str)]) -> Value {
    let mut hosts: Vec<(&str, Vec<Value>)> = Vec::new();
    for &(host, kind, path, service) in paths {
        let path = json!({"path": path, "pathType": kind, "backend": backend(service)});
        match hosts.iter_mut().find(|(known, _)| *known == host) {
            Some((_, paths)) => paths.push(path),
            None => hosts.push((host, vec![path])),
        }
    }
    hosts.into_iter().map(|(host, paths)| json!({"host": host, "http": {"paths": paths}})).collect()
}

fn backend(service: &str) -> Value {
    json!({"service": {"name": service, "port": {"number": PORT}}})
}

fn deployment(namespace: &str, service: &str, replicas: usize) -> Value {
    let probe = json!({"httpGet": {"path": "/health", "port": 3000}, "periodSeconds": 1});
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": service},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": service}},
            "template": {
                "metadata": {"labels": {"app": service}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "echo",
                        "image": Lab::ECHO,
                        "ports": [{"containerPort": 3000}],
                        "livenessProbe": {"httpGet": {"path": "/health", "port": 3000}},
                        "readinessProbe": probe,
                        "env": [
                            field("POD_NAME", "metadata.name"),
                            field("NAMESPACE", "metadata.namespace"),
                            {"name": "INGRESS_NAME", "value": INGRESS},
                            {"name": "SERVICE_NAME", "value": service},
                        ],
                    }],
                },
            },
        },
    })
}

fn certificate(lab: &Lab, namespace: &str) -> Result<Value> {
    let (key, chain) = (lab.path("conformance.key"), certificate_file(lab));
    let text = |path: &Path| path.display().to_string();
    Program::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", &format!("/CN={TLS_HOST}")])
        .args(["-addext", &format!("subjectAltName=DNS:{TLS_HOST}")])
        .args(["-keyout", &text(&key), "-out", &text(&chain)])
        .output()?;
    let read = |path: &Path| fs::read_to_string(path).with_context(|| text(path));
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"namespace": namespace, "name": "conformance-tls"},
        "stringData": {"tls.crt": read(&chain)?, "tls.key": read(&key)?},
    }))
}
