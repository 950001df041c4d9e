//! Service v1: ports and what they speak.

use serde_json::Value;

use super::super::field::{Fields, Path, Refused, Report, present};
use super::super::names;
use super::super::service::{Service, ServicePort};
use super::Metadata;

pub(super) fn decode(
    report: &mut Report<'_>,
    at: &Path<'_>,
    fields: &Fields,
    metadata: Metadata,
) -> Result<Service, Refused> {
    let spec_at = at.field("spec");
    let empty = Fields::new();
    let spec = report.optional_fields(at, fields, "spec")?.unwrap_or(&empty);
    let external_name = match report.nonempty_text(&spec_at, spec, "type")? {
        Some("ExternalName") => Some(report.required_text(&spec_at, spec, "externalName")?.into()),
        Some("ClusterIP" | "NodePort" | "LoadBalancer") | None => None,
        Some(other) => {
            return Err(
                report.invalid(&spec_at.field("type"), format!("{other:?} is not a Service type"))
            );
        }
    };
    let publish_not_ready =
        report.optional_flag(&spec_at, spec, "publishNotReadyAddresses")?.unwrap_or(false);

    let ports_at = spec_at.field("ports");
    let mut ports: Vec<ServicePort> = Vec::new();
    for (index, value) in report.list(&spec_at, spec, "ports")?.iter().enumerate() {
        let at = ports_at.index(index);
        let Ok(Some(read)) = port(report, &at, value) else { continue };
        if ports.iter().any(|other| other.name == read.name) {
            report.invalid(
                &at.field("name"),
                format!("{:?} is the name of an earlier port; the earlier one stays", read.name),
            );
            continue;
        }
        ports.push(read);
    }
    Ok(Service { object: metadata.object, ports, external_name, publish_not_ready })
}

/// `None` for ports of other protocols than TCP: no Ingress can mean them.
fn port(
    report: &mut Report<'_>,
    at: &Path<'_>,
    value: &Value,
) -> Result<Option<ServicePort>, Refused> {
    let fields = report.fields(at, value)?;
    if !speaks_tcp(report, at, fields)? {
        return Ok(None);
    }
    let name = report.nonempty_text(at, fields, "name")?.unwrap_or_default();
    if !name.is_empty() && !names::is_label(name) {
        return Err(report.invalid(&at.field("name"), format!("{name:?} is not a port name")));
    }
    let port = match present(fields, "port") {
        Some(value) => report.port(&at.field("port"), value)?,
        None => return Err(report.invalid(&at.field("port"), "required, but missing")),
    };
    let target_port = match present(fields, "targetPort") {
        None => Some(port),
        Some(Value::String(name)) if name.is_empty() => Some(port),
        Some(Value::String(name)) if names::is_port_name(name) => None,
        Some(Value::String(name)) => {
            return Err(
                report.invalid(&at.field("targetPort"), format!("{name:?} is not a port name"))
            );
        }
        // 0 is the zero value of the API's int-or-string: not given.
        Some(Value::Number(number)) if number.as_u64() == Some(0) => Some(port),
        Some(value) => Some(report.port(&at.field("targetPort"), value)?),
    };
    let app_protocol = report.nonempty_text(at, fields, "appProtocol")?.map(Into::into);
    Ok(Some(ServicePort { name: name.into(), port, target_port, app_protocol }))
}

/// `protocol` of a port of a Service, slice or subset.
pub(super) fn speaks_tcp(
    report: &mut Report<'_>,
    at: &Path<'_>,
    fields: &Fields,
) -> Result<bool, Refused> {
    match report.nonempty_text(at, fields, "protocol")? {
        None | Some("TCP") => Ok(true),
        Some("UDP" | "SCTP") => Ok(false),
        Some(other) => {
            Err(report
                .invalid(&at.field("protocol"), format!("{other:?} is none of TCP, UDP, SCTP")))
        }
    }
}
