//! Decoding: one document value into checked objects and problems.
//!
//! In: a `serde_json::Value` (a YAML document, a JSON file, an API response) and its [`Origin`].
//! Out: per object its [`ObjectRef`], the typed [`Object`] when it can be served, and a
//! [`Problem`] for each field that was refused. Repeats the API server's validation, because
//! nothing else may have done it. Never I/O, never a clock; a fault disables the smallest thing
//! that contains it (C13).

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::field::{Fields, Path, Refused, Report, present, shorten};
use super::names;
use super::object::{Kind, Object, ObjectRef, Origin};
use super::problem::{Problem, Reason};
use crate::config::{Compat, Config};

mod class;
mod config_map;
mod endpoints;
mod ingress;
mod secret;
mod service;

#[cfg(test)]
mod tests;

/// What decides how objects are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Read `nginx.ingress.kubernetes.io/` annotations (D19).
    pub nginx_annotations: bool,
    /// Keys of annotations that are taken as absent, without prefix.
    pub ignored_annotations: Arc<[String]>,
}

/// One object of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// `None` when the document is too broken to say which object it is.
    pub reference: Option<ObjectRef>,
    /// Empty when nothing of it can be served, or when there is nothing in it for us; more than one
    /// only for Endpoints with several subsets.
    pub objects: Vec<Object>,
    pub problems: Vec<Problem>,
}

/// What every object has.
struct Metadata {
    object: ObjectRef,
    /// Seconds since the epoch.
    created: Option<i64>,
    generation: i64,
}

/// The API versions that are read, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    IngressV1,
    /// `networking.k8s.io/v1beta1` and `extensions/v1beta1`.
    IngressBeta,
    IngressClass,
    Service,
    EndpointSlice,
    Endpoints,
    Secret,
    ConfigMap,
}

/// How a kind and version is taken.
enum Recognised {
    Read(Api),
    /// One of our kinds in a version that is not read.
    WrongVersion(Kind),
    NotOurs,
}

/// Decodes a whole document: an object, or a list of objects. Kinds that Genkan does not read give
/// nothing.
pub fn decode(document: &Value, origin: &Origin, settings: &Settings) -> Vec<Decoded> {
    let mut out = Vec::new();
    decode_into(document, &Path::ROOT, None, origin, settings, &mut out);
    out
}

fn decode_into(
    value: &Value,
    at: &Path<'_>,
    inherited: Option<(&str, &str)>,
    origin: &Origin,
    settings: &Settings,
    out: &mut Vec<Decoded>,
) {
    let mut report = Report::new(origin);
    let Ok((version, kind, fields)) = type_of(&mut report, at, value, inherited) else {
        out.push(Decoded::nameless(report));
        return;
    };
    if let Some(item_kind) = kind.strip_suffix("List")
        && fields.contains_key("items")
    {
        let inherited = (!item_kind.is_empty()).then_some((version, item_kind));
        match report.list(at, fields, "items") {
            Ok(items) => {
                let list = at.field("items");
                for (index, item) in items.iter().enumerate() {
                    decode_into(item, &list.index(index), inherited, origin, settings, out);
                }
            }
            Err(Refused) => out.push(Decoded::nameless(report)),
        }
        return;
    }
    match recognise(version, kind) {
        Recognised::NotOurs => {}
        Recognised::WrongVersion(known) => {
            // Only for the name in the problem; what is wrong with it says itself.
            let _ = metadata(&mut report, known, at, fields);
            report.add(
                &at.field("apiVersion"),
                Reason::UnsupportedKind,
                format!("{kind} of {:?} is not read", shorten(version)),
            );
            out.push(Decoded::nameless(report));
        }
        Recognised::Read(api) => decode_object(api, fields, at, report, settings, out),
    }
}

fn type_of<'v>(
    report: &mut Report<'_>,
    at: &Path<'_>,
    value: &'v Value,
    inherited: Option<(&'v str, &'v str)>,
) -> Result<(&'v str, &'v str, &'v Fields), Refused> {
    let fields = report.fields(at, value)?;
    let version = report.nonempty_text(at, fields, "apiVersion")?;
    let kind = report.nonempty_text(at, fields, "kind")?;
    match (version.or_else(|| inherited.map(|i| i.0)), kind.or_else(|| inherited.map(|i| i.1))) {
        (Some(version), Some(kind)) => Ok((version, kind, fields)),
        (version, _) => {
            let missing = if version.is_none() { "apiVersion" } else { "kind" };
            report.add(
                &at.field(missing),
                Reason::InvalidDocument,
                "missing: this is not a Kubernetes object",
            );
            Err(Refused)
        }
    }
}

fn recognise(version: &str, kind: &str) -> Recognised {
    let group = version.rsplit_once('/').map_or("", |(group, _)| group);
    let api = match (kind, version) {
        ("Ingress", "networking.k8s.io/v1") => Api::IngressV1,
        ("Ingress", "networking.k8s.io/v1beta1" | "extensions/v1beta1") => Api::IngressBeta,
        ("IngressClass", "networking.k8s.io/v1" | "networking.k8s.io/v1beta1") => Api::IngressClass,
        ("Service", "v1") => Api::Service,
        ("EndpointSlice", "discovery.k8s.io/v1" | "discovery.k8s.io/v1beta1") => Api::EndpointSlice,
        ("Endpoints", "v1") => Api::Endpoints,
        ("Secret", "v1") => Api::Secret,
        ("ConfigMap", "v1") => Api::ConfigMap,
        _ => {
            return match (kind, group) {
                ("Ingress", "networking.k8s.io" | "extensions") => {
                    Recognised::WrongVersion(Kind::Ingress)
                }
                ("IngressClass", "networking.k8s.io") => {
                    Recognised::WrongVersion(Kind::IngressClass)
                }
                ("EndpointSlice", "discovery.k8s.io") => {
                    Recognised::WrongVersion(Kind::EndpointSlice)
                }
                ("Service", "") => Recognised::WrongVersion(Kind::Service),
                ("Endpoints", "") => Recognised::WrongVersion(Kind::Endpoints),
                ("Secret", "") => Recognised::WrongVersion(Kind::Secret),
                ("ConfigMap", "") => Recognised::WrongVersion(Kind::ConfigMap),
                _ => Recognised::NotOurs,
            };
        }
    };
    Recognised::Read(api)
}

fn decode_object(
    api: Api,
    fields: &Fields,
    at: &Path<'_>,
    mut report: Report<'_>,
    settings: &Settings,
    out: &mut Vec<Decoded>,
) {
    let Ok(metadata) = metadata(&mut report, api.kind(), at, fields) else {
        out.push(Decoded::nameless(report));
        return;
    };
    let reference = metadata.object.clone();
    let objects: Vec<Object> = match api {
        Api::IngressV1 | Api::IngressBeta => {
            let beta = api == Api::IngressBeta;
            ingress::decode(&mut report, at, fields, metadata, beta, settings)
                .into_iter()
                .map(Object::Ingress)
                .collect()
        }
        Api::IngressClass => class::decode(&mut report, at, fields, &metadata)
            .into_iter()
            .map(Object::IngressClass)
            .collect(),
        Api::Service => service::decode(&mut report, at, fields, metadata)
            .into_iter()
            .map(Object::Service)
            .collect(),
        Api::EndpointSlice => endpoints::slice(&mut report, at, fields, metadata)
            .into_iter()
            .flatten()
            .map(Object::Endpoints)
            .collect(),
        Api::Endpoints => endpoints::legacy(&mut report, at, fields, metadata)
            .into_iter()
            .flatten()
            .map(Object::Endpoints)
            .collect(),
        Api::Secret => secret::decode(&mut report, at, fields, metadata)
            .into_iter()
            .flatten()
            .map(Object::Secret)
            .collect(),
        Api::ConfigMap => config_map::decode(&mut report, at, fields, metadata)
            .into_iter()
            .map(Object::ConfigMap)
            .collect(),
    };
    out.push(Decoded { reference: Some(reference), objects, problems: report.into_problems() });
}

/// Reads `metadata`; afterwards the report names the object.
fn metadata(
    report: &mut Report<'_>,
    kind: Kind,
    at: &Path<'_>,
    fields: &Fields,
) -> Result<Metadata, Refused> {
    let at = at.field("metadata");
    let Some(value) = present(fields, "metadata") else {
        return Err(report.invalid(&at, "required, but missing"));
    };
    let fields = report.fields(&at, value)?;
    let name = report.required_text(&at, fields, "name")?;
    let namespace = match kind {
        Kind::IngressClass => "",
        Kind::Ingress
        | Kind::Service
        | Kind::EndpointSlice
        | Kind::Endpoints
        | Kind::Secret
        | Kind::ConfigMap => report.nonempty_text(&at, fields, "namespace")?.unwrap_or("default"),
    };
    report.name(ObjectRef::new(kind, shorten(namespace), shorten(name)));
    if !names::is_subdomain(name) {
        return Err(
            report.invalid(&at.field("name"), format!("{:?} is not a valid name", shorten(name)))
        );
    }
    if !namespace.is_empty() && !names::is_label(namespace) {
        return Err(report.invalid(
            &at.field("namespace"),
            format!("{:?} is not a valid namespace", shorten(namespace)),
        ));
    }
    let object = ObjectRef::new(kind, namespace, name);
    report.name(object.clone());
    let created = created(report, &at, fields);
    let generation = present(fields, "generation").and_then(Value::as_i64).unwrap_or(0);
    Ok(Metadata { object, created, generation })
}

fn created(report: &mut Report<'_>, at: &Path<'_>, fields: &Fields) -> Option<i64> {
    let value = present(fields, "creationTimestamp")?;
    match serde_json::from_value::<Time>(value.clone()) {
        Ok(time) => Some(time.0.as_second()),
        Err(error) => {
            report.invalid(
                &at.field("creationTimestamp"),
                format!("not a time of RFC 3339 ({error}); the object counts as youngest"),
            );
            None
        }
    }
}

// === impl Decoded ===

impl Decoded {
    fn nameless(report: Report<'_>) -> Self {
        Self { reference: None, objects: Vec::new(), problems: report.into_problems() }
    }
}

// === impl Settings ===

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            nginx_annotations: config.compat == Compat::Nginx,
            ignored_annotations: config.annotations.ignore.as_slice().into(),
        }
    }
}

// === impl Api ===

impl Api {
    fn kind(self) -> Kind {
        match self {
            Self::IngressV1 | Self::IngressBeta => Kind::Ingress,
            Self::IngressClass => Kind::IngressClass,
            Self::Service => Kind::Service,
            Self::EndpointSlice => Kind::EndpointSlice,
            Self::Endpoints => Kind::Endpoints,
            Self::Secret => Kind::Secret,
            Self::ConfigMap => Kind::ConfigMap,
        }
    }
}
