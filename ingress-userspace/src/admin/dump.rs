//! The configuration in force and what was made of it, without anything secret.

use serde::Serialize;
use serde_json::Value;

use super::control::View;
use super::query::Query;
use super::status::{Certificate, Cluster, Page, Route};
use super::view;
use crate::config::effective::{REDACTED, is_secret};
use crate::routing::Snapshot;

/// GET /config_dump.
#[derive(Debug, Serialize)]
pub(super) struct Dump {
    /// Of the snapshot that the rest comes from.
    version: u64,
    /// In the form of the configuration file, defaults filled in.
    configuration: Value,
    routes: Page<Route>,
    clusters: Page<Cluster>,
    /// Names and validity; never keys.
    certificates: Page<Certificate>,
}

pub(super) fn dump(snapshot: &Snapshot, view: &View, query: &Query) -> Dump {
    let mut configuration = serde_json::to_value(&*view.config).unwrap_or_default();
    redact(&mut configuration);
    Dump {
        version: snapshot.version,
        configuration,
        routes: view::routes(snapshot, query),
        clusters: view::clusters(snapshot, query),
        certificates: view::certificates(snapshot, query),
    }
}

fn redact(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if is_secret(name) && !value.is_null() {
                    *value = REDACTED.into();
                } else {
                    redact(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(redact),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secret_values_are_redacted_at_every_depth() {
        let mut value = json!({
            "tls": {"default_certificate": "ns/name"},
            "peers": [{"address": "192.0.2.1", "password": "x", "md5_password": "y"}],
            "token": null,
        });
        redact(&mut value);
        assert_eq!(
            value,
            json!({
                "tls": {"default_certificate": "ns/name"},
                "peers": [{
                    "address": "192.0.2.1", "password": REDACTED, "md5_password": REDACTED,
                }],
                "token": null,
            })
        );
    }
}
