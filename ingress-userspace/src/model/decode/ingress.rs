//! Ingress: networking.k8s.io/v1, and the two v1beta1 forms with `serviceName`/`servicePort`,
//! `spec.backend` and an optional `pathType`.

use std::sync::Arc;

use serde_json::Value;

use super::super::annotations;
use super::super::field::{Fields, Path, Refused, Report, present, shorten};
use super::super::ingress::{
    Backend, HostPattern, Ingress, IngressPath, PathKind, PortRef, Rule, TlsEntry,
};
use super::super::names;
use super::super::problem::Reason;
use super::super::rule::RuleId;
use super::{Metadata, Settings};

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// `beta`: the v1beta1 field names and defaults.
pub(super) fn decode(
    report: &mut Report<'_>,
    at: &Path<'_>,
    fields: &Fields,
    metadata: Metadata,
    beta: bool,
    settings: &Settings,
) -> Result<Ingress, Refused> {
    let spec_at = at.field("spec");
    let empty = Fields::new();
    let spec = report.optional_fields(at, fields, "spec")?.unwrap_or(&empty);
    let rule_values = report.list(&spec_at, spec, "rules")?;
    let default_key = if beta { "backend" } else { "defaultBackend" };
    let default_value = present(spec, default_key);
    if rule_values.is_empty() && default_value.is_none() {
        return Err(
            report.invalid(&spec_at, format!("neither `rules` nor `{default_key}` is given"))
        );
    }
    let class_name = class_name(report, &spec_at, spec)?;

    let metadata_at = at.field("metadata");
    let annotations_at = metadata_at.field("annotations");
    let annotations = match report.optional_fields(at, fields, "metadata")? {
        Some(metadata) => report.optional_fields(&metadata_at, metadata, "annotations")?,
        None => None,
    };
    let annotations = annotations.unwrap_or(&empty);
    let class_annotation = class_annotation(report, &annotations_at, annotations)?;
    let rules = annotations::Rules {
        nginx: settings.nginx_annotations,
        ignored: &settings.ignored_annotations,
    };
    let read = annotations::read(report, &annotations_at, annotations, rules);

    let default_backend = default_value
        .and_then(|value| backend(report, &spec_at.field(default_key), value, beta).ok());
    let rules_at = spec_at.field("rules");
    let rules = rule_values
        .iter()
        .enumerate()
        .filter_map(|(index, value)| rule(report, &rules_at.index(index), index, value, beta).ok())
        .collect();
    let tls = tls(report, &spec_at, spec);

    let mut ingress = Ingress {
        object: metadata.object,
        created: metadata.created,
        generation: metadata.generation,
        class_name,
        class_annotation,
        default_backend,
        has_rules: !rule_values.is_empty(),
        rules,
        tls,
        options: Box::new(read.options),
        unread: read.unread,
    };
    if read.closed {
        close(&mut ingress);
    }
    Ok(ingress)
}

/// C13: an access rule that cannot be enforced shuts everything of its Ingress.
fn close(ingress: &mut Ingress) {
    let paths = ingress.rules.iter_mut().flat_map(|rule| &mut rule.paths);
    for backend in paths.map(|path| &mut path.backend).chain(&mut ingress.default_backend) {
        *backend = Backend::Closed;
    }
}

/// A class that is not readable says nothing about whose the Ingress is: the object is refused.
fn class_name(
    report: &mut Report<'_>,
    at: &Path<'_>,
    spec: &Fields,
) -> Result<Option<Arc<str>>, Refused> {
    match report.optional_text(at, spec, "ingressClassName")? {
        None => Ok(None),
        Some(name) if names::is_subdomain(name) => Ok(Some(name.into())),
        Some(name) => Err(report.invalid(
            &at.field("ingressClassName"),
            format!("{:?} is not the name of a class", shorten(name)),
        )),
    }
}

fn class_annotation(
    report: &mut Report<'_>,
    at: &Path<'_>,
    annotations: &Fields,
) -> Result<Option<Arc<str>>, Refused> {
    match annotations.get(CLASS_ANNOTATION) {
        None => Ok(None),
        Some(value) => Ok(Some(report.text(&at.entry(CLASS_ANNOTATION), value)?.into())),
    }
}

fn rule(
    report: &mut Report<'_>,
    at: &Path<'_>,
    index: usize,
    value: &Value,
    beta: bool,
) -> Result<Rule, Refused> {
    let fields = report.fields(at, value)?;
    let host = match report.nonempty_text(at, fields, "host")? {
        None => HostPattern::Any,
        Some(text) => host(report, &at.field("host"), text)?,
    };
    let http_at = at.field("http");
    let Some(http) = report.optional_fields(at, fields, "http")? else {
        return Ok(Rule { index, host, paths: Vec::new() });
    };
    let paths_at = http_at.field("paths");
    let values = report.list(&http_at, http, "paths")?;
    if values.is_empty() {
        return Err(report.invalid(&paths_at, "required, but missing or empty"));
    }
    // A rule whose paths are all refused still owns its host (H4).
    let paths = values
        .iter()
        .enumerate()
        .filter_map(|(index, value)| path(report, &paths_at.index(index), index, value, beta).ok())
        .collect();
    Ok(Rule { index, host, paths })
}

fn host(report: &mut Report<'_>, at: &Path<'_>, text: &str) -> Result<HostPattern, Refused> {
    names::host(text).map_err(|message| {
        report.add_by(at, RuleId::H1, Reason::InvalidObject, message);
        Refused
    })
}

fn path(
    report: &mut Report<'_>,
    at: &Path<'_>,
    index: usize,
    value: &Value,
    beta: bool,
) -> Result<IngressPath, Refused> {
    let fields = report.fields(at, value)?;
    let kind_at = at.field("pathType");
    let kind = match report.nonempty_text(at, fields, "pathType")? {
        Some("Exact") => PathKind::Exact,
        Some("Prefix") => PathKind::Prefix,
        Some("ImplementationSpecific") => PathKind::ImplementationSpecific,
        Some(other) => {
            return Err(report.invalid(
                &kind_at,
                format!("{:?} is none of Exact, Prefix, ImplementationSpecific", shorten(other)),
            ));
        }
        None if beta => PathKind::ImplementationSpecific,
        None => return Err(report.invalid(&kind_at, "required, but missing or empty")),
    };
    let path = report.optional_text(at, fields, "path")?.unwrap_or_default();
    names::check_path(path, kind).map_err(|reason| report.invalid(&at.field("path"), reason))?;
    let backend_at = at.field("backend");
    let backend = match present(fields, "backend") {
        Some(value) => backend(report, &backend_at, value, beta)?,
        None => return Err(report.invalid(&backend_at, "required, but missing")),
    };
    Ok(IngressPath { index, path: path.into(), kind, backend })
}

fn backend(
    report: &mut Report<'_>,
    at: &Path<'_>,
    value: &Value,
    beta: bool,
) -> Result<Backend, Refused> {
    let fields = report.fields(at, value)?;
    let service_key = if beta { "serviceName" } else { "service" };
    let service = present(fields, service_key)
        .filter(|value| !beta || value.as_str().is_none_or(|name| !name.is_empty()));
    match (service, report.optional_fields(at, fields, "resource")?) {
        (Some(_), Some(_)) => {
            Err(report.invalid(at, format!("both `{service_key}` and `resource` are given")))
        }
        (None, None) => {
            Err(report.invalid(at, format!("neither `{service_key}` nor `resource` is given")))
        }
        (None, Some(resource)) => resource_backend(report, &at.field("resource"), resource),
        (Some(_), None) if beta => {
            let name = service_name(report, at, fields, "serviceName")?;
            let port_at = at.field("servicePort");
            let port = match present(fields, "servicePort") {
                None => return Err(report.invalid(&port_at, "required, but missing")),
                Some(Value::String(name)) => port_name(report, &port_at, name)?,
                Some(value) => PortRef::Number(report.port(&port_at, value)?),
            };
            Ok(Backend::Service { name, port })
        }
        (Some(service), None) => {
            let at = at.field("service");
            let fields = report.fields(&at, service)?;
            let name = service_name(report, &at, fields, "name")?;
            Ok(Backend::Service { name, port: service_port(report, &at, fields)? })
        }
    }
}

/// C12: kept as a route of its own, so that its traffic does not silently go elsewhere. Whether the
/// kind is served is the compiler's to say.
fn resource_backend(
    report: &mut Report<'_>,
    at: &Path<'_>,
    resource: &Fields,
) -> Result<Backend, Refused> {
    let kind = report.required_text(at, resource, "kind")?;
    let name = report.required_text(at, resource, "name")?;
    if let Some(group) = report.nonempty_text(at, resource, "apiGroup")?
        && !names::is_subdomain(group)
    {
        return Err(report
            .invalid(&at.field("apiGroup"), format!("{:?} is not a DNS name", shorten(group))));
    }
    Ok(Backend::Resource { kind: kind.into(), name: name.into() })
}

fn service_name(
    report: &mut Report<'_>,
    at: &Path<'_>,
    fields: &Fields,
    key: &str,
) -> Result<Arc<str>, Refused> {
    let name = report.required_text(at, fields, key)?;
    if names::is_label(name) {
        Ok(name.into())
    } else {
        let message = format!("{:?} is not the name of a Service", shorten(name));
        Err(report.invalid(&at.field(key), message))
    }
}

fn service_port(
    report: &mut Report<'_>,
    at: &Path<'_>,
    service: &Fields,
) -> Result<PortRef, Refused> {
    let at = at.field("port");
    let Some(value) = present(service, "port") else {
        return Err(report.invalid(&at, "required, but missing"));
    };
    let fields = report.fields(&at, value)?;
    let name = report.nonempty_text(&at, fields, "name")?;
    let number = present(fields, "number").filter(|value| value.as_u64() != Some(0));
    match (name, number) {
        (Some(_), Some(_)) => Err(report.invalid(&at, "both `name` and `number` are given")),
        (None, None) => Err(report.invalid(&at, "neither `name` nor `number` is given")),
        (Some(name), None) => port_name(report, &at.field("name"), name),
        (None, Some(value)) => Ok(PortRef::Number(report.port(&at.field("number"), value)?)),
    }
}

fn port_name(report: &mut Report<'_>, at: &Path<'_>, name: &str) -> Result<PortRef, Refused> {
    if names::is_port_name(name) {
        Ok(PortRef::Name(name.into()))
    } else {
        Err(report.invalid(at, format!("{:?} is not a port name", shorten(name))))
    }
}

fn tls(report: &mut Report<'_>, at: &Path<'_>, spec: &Fields) -> Vec<TlsEntry> {
    let list = at.field("tls");
    let values = report.list(at, spec, "tls").unwrap_or_default();
    values
        .iter()
        .enumerate()
        .filter_map(|(index, value)| tls_entry(report, &list.index(index), index, value).ok())
        .collect()
}

/// One bad host refuses the entry: fewer hosts than written could mean "all" (T2).
fn tls_entry(
    report: &mut Report<'_>,
    at: &Path<'_>,
    index: usize,
    value: &Value,
) -> Result<TlsEntry, Refused> {
    let fields = report.fields(at, value)?;
    let hosts_at = at.field("hosts");
    let hosts = report
        .list(at, fields, "hosts")?
        .iter()
        .enumerate()
        .map(|(index, value)| {
            let at = hosts_at.index(index);
            let text = report.text(&at, value)?;
            host(report, &at, text)
        })
        .collect::<Result<_, _>>()?;
    let secret = report.nonempty_text(at, fields, "secretName")?;
    match secret {
        Some(name) if !names::is_subdomain(name) => Err(report.invalid(
            &at.field("secretName"),
            format!("{:?} is not the name of a Secret", shorten(name)),
        )),
        secret => Ok(TlsEntry { index, hosts, secret: secret.map(Into::into) }),
    }
}
