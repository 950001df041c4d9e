//! Model values for tests and benchmarks, written the way a manifest reads.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};

use crate::model::endpoints::EndpointPort;
use crate::model::options::{BackendProtocol, SecretName};
use crate::model::{
    Backend, CertificateSecret, Change, Endpoint, EndpointSet, HostPattern, Ingress, IngressClass,
    IngressPath, Kind, Object, ObjectRef, PathKind, PortRef, Rule, Secret, SecretCertificate,
    ServerCertificate, Service, ServicePort, TlsEntry,
};

/// Builds an [`Ingress`] of class `genkan`.
#[derive(Debug, Clone)]
pub struct IngressFixture {
    ingress: Ingress,
}

/// `namespace/name`, or a name in `default`.
pub fn ingress(name: &str) -> IngressFixture {
    IngressFixture {
        ingress: Ingress {
            object: object(Kind::Ingress, name),
            created: None,
            generation: 1,
            class_name: None,
            class_annotation: Some("genkan".into()),
            default_backend: None,
            has_rules: false,
            rules: Vec::new(),
            tls: Vec::new(),
            options: Box::default(),
            unread: None,
        },
    }
}

pub fn class(name: &str, controller: &str) -> Object {
    let (name, controller) = (name.into(), controller.into());
    Object::IngressClass(IngressClass { name, controller, is_default: false })
}

/// A Service with ports `(name, number)`.
pub fn service(name: &str, ports: &[(&str, u16)]) -> Service {
    let port = |&(name, port): &(&str, u16)| ServicePort {
        name: name.into(),
        port,
        target_port: Some(port),
        app_protocol: None,
    };
    Service {
        object: object(Kind::Service, name),
        ports: ports.iter().map(port).collect(),
        external_name: None,
        publish_not_ready: false,
    }
}

/// A slice with one unnamed port 8080 and ready endpoints.
pub fn slice(name: &str, service: &str, addresses: &[&str]) -> EndpointSet {
    EndpointSet {
        object: object(Kind::EndpointSlice, name),
        service: service.into(),
        ports: vec![endpoint_port("", Some(8080))],
        endpoints: addresses.iter().map(|address| endpoint(address)).collect(),
    }
}

pub fn endpoint_port(name: &str, port: Option<u16>) -> EndpointPort {
    EndpointPort { name: name.into(), port, app_protocol: None }
}

/// Ready.
pub fn endpoint(address: &str) -> Endpoint {
    let address: IpAddr = address.parse().expect("the address of a fixture");
    Endpoint { index: 0, address, ready: true, serving: true, terminating: false, pod: None }
}

/// A Service with one port 80 and a slice with one endpoint.
pub fn ready_service(name: &str, address: &str) -> [Object; 2] {
    let (namespace, own) = split(name);
    let slice = slice(&format!("{namespace}/{own}-1"), own, &[address]);
    [Object::Service(service(name, &[("", 80)])), Object::Endpoints(slice)]
}

/// Valid from 0 to 10 years after the epoch; all fixtures share one key.
pub fn certificate(secret: &str, names: &[&str]) -> CertificateSecret {
    let certified = certified_key();
    CertificateSecret {
        object: object(Kind::Secret, secret),
        names: names.iter().map(|&name| name.into()).collect(),
        not_before: 0,
        not_after: 10 * 365 * 24 * 3600,
        fingerprint: format!("{certified:p}").into(),
        certified,
    }
}

/// Each differs from the others by the last link of its chain, which no client is shown.
pub fn certified_key() -> Arc<ServerCertificate> {
    type Parts = (CertificateDer<'static>, Arc<dyn SigningKey>, PrivateKeyDer<'static>);
    static PAIR: OnceLock<Parts> = OnceLock::new();
    let (leaf, signing, key) = PAIR.get_or_init(|| {
        let pair = rcgen::generate_simple_self_signed(["fixture.example".to_owned()])
            .expect("a fixed name is a valid one");
        let der =
            PrivateKeyDer::try_from(pair.signing_key.serialize_der()).expect("rcgen writes PKCS#8");
        let signing = any_supported_type(&der).expect("ECDSA is supported");
        (pair.cert.der().clone(), signing, der)
    });
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let chain = vec![leaf.clone(), CertificateDer::from(number.to_vec())];
    let pair = Arc::new(CertifiedKey::new(chain, signing.clone()));
    Arc::new(ServerCertificate::new(pair, key.clone_key()))
}

/// A Secret with these entries as plain text.
pub fn secret(name: &str, entries: &[(&str, &str)]) -> Object {
    Object::Secret(Secret {
        object: object(Kind::Secret, name),
        certificate: SecretCertificate::Absent,
        data: entries.iter().map(|&(key, text)| (key.into(), text.into())).collect(),
    })
}

pub fn upserts(objects: impl IntoIterator<Item = Object>) -> Change {
    Change { upserts: objects.into_iter().collect(), ..Change::default() }
}

pub fn removals<'a>(objects: impl IntoIterator<Item = (Kind, &'a str)>) -> Change {
    let removals = objects.into_iter().map(|(kind, name)| object(kind, name)).collect();
    Change { removals, ..Change::default() }
}

/// `namespace/name`, or a name in `default` (IngressClass: in no namespace).
pub fn object(kind: Kind, name: &str) -> ObjectRef {
    let (namespace, name) = match kind {
        Kind::IngressClass => ("", name),
        _ => split(name),
    };
    ObjectRef::new(kind, namespace, name)
}

/// `""`, `name` or `*.name`.
pub fn host_pattern(host: &str) -> HostPattern {
    match host.strip_prefix("*.") {
        Some(parent) => HostPattern::Wildcard(parent.into()),
        None if host.is_empty() => HostPattern::Any,
        None => HostPattern::Exact(host.into()),
    }
}

/// `service:port` with the port's name or number.
pub fn backend(text: &str) -> Backend {
    let (name, port) = text.split_once(':').expect("the backend of a fixture is service:port");
    let port = match port.parse() {
        Ok(number) => PortRef::Number(number),
        Err(_) => PortRef::Name(port.into()),
    };
    Backend::Service { name: name.into(), port }
}

fn split(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or(("default", name))
}

// === impl IngressFixture ===

impl IngressFixture {
    pub fn created(mut self, seconds: i64) -> Self {
        self.ingress.created = Some(seconds);
        self
    }

    pub fn class(mut self, annotation: Option<&str>, field: Option<&str>) -> Self {
        self.ingress.class_annotation = annotation.map(Arc::from);
        self.ingress.class_name = field.map(Arc::from);
        self
    }

    pub fn default_backend(mut self, text: &str) -> Self {
        self.ingress.default_backend = Some(backend(text));
        self
    }

    /// A rule without `http`.
    pub fn bare_rule(self, host: &str) -> Self {
        let mut this = self.refused_rule();
        let index = this.ingress.rules.len();
        this.ingress.rules.push(Rule { index, host: host_pattern(host), paths: Vec::new() });
        this
    }

    /// A rule that the model has left out.
    pub fn refused_rule(mut self) -> Self {
        self.ingress.has_rules = true;
        self
    }

    pub fn exact(self, host: &str, path: &str, to: &str) -> Self {
        self.path(host, PathKind::Exact, path, backend(to))
    }

    pub fn prefix(self, host: &str, path: &str, to: &str) -> Self {
        self.path(host, PathKind::Prefix, path, backend(to))
    }

    pub fn specific(self, host: &str, path: &str, to: &str) -> Self {
        self.path(host, PathKind::ImplementationSpecific, path, backend(to))
    }

    /// Appends to the last rule if that has the same host.
    pub fn path(mut self, host: &str, kind: PathKind, path: &str, backend: Backend) -> Self {
        let pattern = host_pattern(host);
        if self.ingress.rules.last().is_none_or(|rule| rule.host != pattern) {
            self = self.bare_rule(host);
        }
        let rule = self.ingress.rules.last_mut().expect("a rule was just added");
        let index = rule.paths.len();
        rule.paths.push(IngressPath { index, path: path.into(), kind, backend });
        self
    }

    pub fn tls(mut self, hosts: &[&str], secret: Option<&str>) -> Self {
        let index = self.ingress.tls.len();
        let hosts = hosts.iter().map(|host| host_pattern(host)).collect();
        self.ingress.tls.push(TlsEntry { index, hosts, secret: secret.map(Arc::from) });
        self
    }

    pub fn rewrite(mut self, target: &str) -> Self {
        self.ingress.options.rewrite.target = Some(target.into());
        self
    }

    pub fn regex(mut self) -> Self {
        self.ingress.options.rewrite.use_regex = true;
        self
    }

    pub fn ssl_redirect(mut self, on: bool) -> Self {
        self.ingress.options.redirects.ssl = Some(on);
        self
    }

    /// Asks for a password of a file in this Secret.
    pub fn passwords(mut self, secret: &str) -> Self {
        let auth = &mut self.ingress.options.access.auth;
        auth.basic = true;
        auth.secret = Some(SecretName { namespace: None, name: secret.into() });
        self
    }

    pub fn protocol(mut self, protocol: BackendProtocol) -> Self {
        self.ingress.options.upstream.protocol = Some(protocol);
        self
    }

    pub fn value(self) -> Ingress {
        self.ingress
    }

    pub fn object(self) -> Object {
        Object::Ingress(self.ingress)
    }
}
