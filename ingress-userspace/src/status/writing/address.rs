//! Writes the addresses of one Ingress.

use std::time::Instant;

use serde_json::{Value, json};

use super::super::api::{Api, Collection, Fault, MANAGER};
use super::super::plan::book::{Outcome, Write};
use crate::model::Address;

/// Nothing is written after `until`, when another process may.
///
/// # Errors
///
/// When the server refuses it or does not answer.
pub(super) async fn write(api: &Api, write: &Write, until: Instant) -> Result<Outcome, Fault> {
    if Instant::now() >= until {
        return Ok(Outcome::Conflict);
    }
    let Write { ingress, version, entries, is_ours, .. } = write;
    let of = Collection::ingresses(&ingress.namespace);
    if !is_ours {
        match api.get(&of, &ingress.name).await {
            Ok(object) if is_written_by_us(&object) => {}
            Ok(_) => return Ok(Outcome::Left),
            Err(fault) if fault.is_absence() => return Ok(Outcome::Left),
            Err(fault) => return Err(fault),
        }
    }
    let entries: Vec<Value> = entries.iter().map(Address::to_value).collect();
    let entries = if entries.is_empty() { Value::Null } else { entries.into() };
    let patch = json!({
        // Of another version it would be a decision about what we have not seen.
        "metadata": {"resourceVersion": &**version},
        "status": {"loadBalancer": {"ingress": entries}},
    });
    match api.patch_status(&of, &ingress.name, &patch).await {
        Ok(object) => {
            let since = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            tracing::debug!(%ingress, "its addresses are written");
            Ok(Outcome::Written(since.into()))
        }
        Err(fault) if fault.is_absence() => Ok(Outcome::Left),
        Err(fault) if fault.is_conflict() => Ok(Outcome::Conflict),
        Err(fault) => Err(fault),
    }
}

/// Whether the list of addresses was written by us last, as the server remembers it.
fn is_written_by_us(object: &Value) -> bool {
    let managers = object["metadata"]["managedFields"].as_array();
    managers.into_iter().flatten().any(|entry| {
        let has_list = entry["fieldsV1"].pointer("/f:status/f:loadBalancer/f:ingress").is_some();
        entry["manager"] == MANAGER && has_list
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s30_a_list_that_somebody_else_has_written_is_not_ours() {
        let object = |manager: &str| {
            json!({"metadata": {"managedFields": [
                {"manager": "kubectl", "fieldsV1": {"f:spec": {}}},
                {"manager": manager, "subresource": "status",
                 "fieldsV1": {"f:status": {"f:loadBalancer": {"f:ingress": {}}}}},
            ]}})
        };
        assert!(is_written_by_us(&object("genkan")));
        assert!(!is_written_by_us(&object("nginx-ingress-controller")));
        assert!(!is_written_by_us(&json!({"metadata": {}})));
    }
}
