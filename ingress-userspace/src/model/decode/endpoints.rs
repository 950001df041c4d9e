//! EndpointSlice (v1, v1beta1) and the legacy Endpoints (E1-E3, E6, E8).

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;

use super::super::endpoints::{Endpoint, EndpointPort, EndpointSet};
use super::super::field::{Fields, Path, Refused, Report, present, shorten};
use super::super::object::{Kind, ObjectRef};
use super::super::problem::Reason;
use super::Metadata;
use super::service::speaks_tcp;

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// `None` for a slice that belongs to no Service.
pub(super) fn slice(
    report: &mut Report<'_>,
    at: &Path<'_>,
    fields: &Fields,
    metadata: Metadata,
) -> Result<Option<EndpointSet>, Refused> {
    let Some(service) = service_of(report, at, fields)? else { return Ok(None) };
    let ipv6 = match report.required_text(at, fields, "addressType")? {
        "IPv4" => false,
        "IPv6" => true,
        other => {
            report.add(
                &at.field("addressType"),
                Reason::InvalidEndpoint,
                format!("{other:?} is not served, IPv4 or IPv6 is expected; the slice is ignored"),
            );
            return Err(Refused);
        }
    };
    let ports = ports(report, at, fields)?;

    let list = at.field("endpoints");
    let mut endpoints = Vec::new();
    for (index, value) in report.list(at, fields, "endpoints")?.iter().enumerate() {
        let at = list.index(index);
        if let Ok(endpoint) = slice_endpoint(report, &at, index, value, ipv6) {
            endpoints.push(endpoint);
        }
    }
    Ok(Some(EndpointSet { object: metadata.object, service, ports, endpoints }))
}

/// One set per subset, since each has ports of its own. The first keeps the object's name; the
/// others get a suffix that no Kubernetes name can have.
pub(super) fn legacy(
    report: &mut Report<'_>,
    at: &Path<'_>,
    fields: &Fields,
    metadata: Metadata,
) -> Result<Vec<EndpointSet>, Refused> {
    let object = metadata.object;
    let subsets_at = at.field("subsets");
    let mut sets: Vec<EndpointSet> = Vec::new();
    for (index, value) in report.list(at, fields, "subsets")?.iter().enumerate() {
        let at = subsets_at.index(index);
        let Ok(subset) = report.fields(&at, value) else { continue };
        let Ok(ports) = ports(report, &at, subset) else { continue };
        let mut endpoints = Vec::new();
        for (key, ready) in [("addresses", true), ("notReadyAddresses", false)] {
            let addresses_at = at.field(key);
            let Ok(addresses) = report.list(&at, subset, key) else { continue };
            for (index, value) in addresses.iter().enumerate() {
                let at = addresses_at.index(index);
                if let Ok(endpoint) = legacy_endpoint(report, &at, index, value, ready) {
                    endpoints.push(endpoint);
                }
            }
        }
        let own = match sets.len() {
            0 => object.clone(),
            _ => {
                let name = format!("{}[subsets[{index}]]", object.name);
                ObjectRef::new(Kind::Endpoints, &object.namespace, &name)
            }
        };
        sets.push(EndpointSet { object: own, service: object.name.clone(), ports, endpoints });
    }
    Ok(sets)
}

fn service_of(
    report: &mut Report<'_>,
    at: &Path<'_>,
    fields: &Fields,
) -> Result<Option<Arc<str>>, Refused> {
    let metadata_at = at.field("metadata");
    let Some(metadata) = report.optional_fields(at, fields, "metadata")? else { return Ok(None) };
    let labels_at = metadata_at.field("labels");
    let Some(labels) = report.optional_fields(&metadata_at, metadata, "labels")? else {
        return Ok(None);
    };
    match present(labels, SERVICE_NAME) {
        None => Ok(None),
        Some(value) => {
            let name = report.text(&labels_at.entry(SERVICE_NAME), value)?;
            Ok((!name.is_empty()).then(|| name.into()))
        }
    }
}

/// A port that is not readable disables itself; those of other protocols than TCP are left out.
fn ports(
    report: &mut Report<'_>,
    at: &Path<'_>,
    fields: &Fields,
) -> Result<Vec<EndpointPort>, Refused> {
    let list = at.field("ports");
    let mut ports = Vec::new();
    for (index, value) in report.list(at, fields, "ports")?.iter().enumerate() {
        if let Ok(Some(port)) = port(report, &list.index(index), value) {
            ports.push(port);
        }
    }
    Ok(ports)
}

fn port(
    report: &mut Report<'_>,
    at: &Path<'_>,
    value: &Value,
) -> Result<Option<EndpointPort>, Refused> {
    let fields = report.fields(at, value)?;
    if !speaks_tcp(report, at, fields)? {
        return Ok(None);
    }
    let name = report.nonempty_text(at, fields, "name")?.unwrap_or_default().into();
    let port = match present(fields, "port") {
        None => None,
        Some(value) => Some(report.port(&at.field("port"), value)?),
    };
    let app_protocol = report.nonempty_text(at, fields, "appProtocol")?.map(Into::into);
    Ok(Some(EndpointPort { name, port, app_protocol }))
}

fn slice_endpoint(
    report: &mut Report<'_>,
    at: &Path<'_>,
    index: usize,
    value: &Value,
    ipv6: bool,
) -> Result<Endpoint, Refused> {
    let fields = report.fields(at, value)?;
    let addresses_at = at.field("addresses");
    let address_at = addresses_at.index(0);
    let address = match report.list(at, fields, "addresses")?.first() {
        Some(first) => read_address(report, &address_at, first)?,
        None => {
            let reason = Reason::InvalidEndpoint;
            report.add(&addresses_at, reason, "empty; the endpoint is ignored");
            return Err(Refused);
        }
    };
    if address.is_ipv6() != ipv6 {
        let reason = Reason::InvalidEndpoint;
        let message = format!("{address} is not of the slice's addressType; it is ignored");
        report.add(&address_at, reason, message);
        return Err(Refused);
    }
    let conditions_at = at.field("conditions");
    let empty = Fields::new();
    let conditions = report.optional_fields(at, fields, "conditions")?.unwrap_or(&empty);
    let ready = report.optional_flag(&conditions_at, conditions, "ready")?.unwrap_or(true);
    let serving = report.optional_flag(&conditions_at, conditions, "serving")?.unwrap_or(ready);
    let terminating =
        report.optional_flag(&conditions_at, conditions, "terminating")?.unwrap_or(false);
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    Ok(Endpoint { index, address, ready, serving, terminating, pod: pod(report, at, fields) })
}

fn legacy_endpoint(
    report: &mut Report<'_>,
    at: &Path<'_>,
    index: usize,
    value: &Value,
    ready: bool,
) -> Result<Endpoint, Refused> {
    let fields = report.fields(at, value)?;
    let ip_at = at.field("ip");
    let Some(ip) = present(fields, "ip") else {
        report.add(&ip_at, Reason::InvalidEndpoint, "missing; the endpoint is ignored");
        return Err(Refused);
    };
    let address = read_address(report, &ip_at, ip)?;
    let pod = pod(report, at, fields);
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    Ok(Endpoint { index, address, ready, serving: ready, terminating: false, pod })
}

fn pod(report: &mut Report<'_>, at: &Path<'_>, fields: &Fields) -> Option<Arc<str>> {
    let target_at = at.field("targetRef");
    let target = report.optional_fields(at, fields, "targetRef").ok().flatten()?;
    match report.nonempty_text(&target_at, target, "kind").ok()? {
        Some("Pod") => {
            report.nonempty_text(&target_at, target, "name").ok().flatten().map(Into::into)
        }
        _ => None,
    }
}

fn read_address(report: &mut Report<'_>, at: &Path<'_>, value: &Value) -> Result<IpAddr, Refused> {
    let text = report.text(at, value)?;
    let Ok(address) = text.parse::<IpAddr>() else {
        let message = format!("{:?} is not an IP address; it is ignored", shorten(text));
        report.add(at, Reason::InvalidEndpoint, message);
        return Err(Refused);
    };
    // Whether it may be served is the compiler's to say (E9).
    Ok(address.to_canonical())
}
