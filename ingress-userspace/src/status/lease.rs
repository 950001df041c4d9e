//! Leases (coordination.k8s.io/v1) as JSON: that of whoever writes, and one for each node.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::plan::election::Record;
use super::plan::nodes::Said;
use crate::model::Versions;

/// The addresses that were published by holders of the lease and may still stand somewhere.
const ADDRESSES: &str = "genkan.io/addresses";
/// What a node serves.
const SERVES: &str = "genkan.io/serves";
/// On the Leases of nodes: the name of the lease that they belong to.
const OF: &str = "genkan.io/lease";

/// Of the one who writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holding<'a> {
    pub(super) name: &'a str,
    /// Empty: given up.
    pub(super) holder: &'a str,
    pub(super) duration: Duration,
    pub(super) transitions: i64,
    /// Has just been taken.
    pub(super) is_new: bool,
    pub(super) addresses: &'a BTreeSet<IpAddr>,
}

impl Holding<'_> {
    /// `before`: the object as it was read; what others have put into it stays.
    pub(super) fn object(&self, before: Option<&Value>, now: Timestamp) -> Value {
        let mut object = skeleton(before, self.name);
        let addresses: Vec<String> = self.addresses.iter().map(IpAddr::to_string).collect();
        object["metadata"]["annotations"][ADDRESSES] = addresses.join(",").into();
        let spec = &mut object["spec"];
        spec["holderIdentity"] =
            if self.holder.is_empty() { Value::Null } else { self.holder.into() };
        spec["leaseDurationSeconds"] = self.duration.as_secs().max(1).into();
        spec["leaseTransitions"] = self.transitions.into();
        spec["renewTime"] = time(now).into();
        if self.is_new || spec["acquireTime"].is_null() {
            spec["acquireTime"] = time(now).into();
        }
        object
    }
}

/// Of a node, to be applied.
pub(super) fn of_node(
    (name, lease, holder): (&str, &str, &str),
    duration: Duration,
    serves: &Versions,
    now: Timestamp,
) -> Value {
    let mut object = skeleton(None, name);
    object["metadata"]["labels"][OF] = lease.into();
    object["metadata"]["annotations"][SERVES] = serves.to_string().into();
    object["spec"] = json!({
        "holderIdentity": holder,
        "leaseDurationSeconds": duration.as_secs().max(1),
        "renewTime": time(now),
    });
    object
}

/// Which Leases are those of nodes.
pub(super) fn selector(lease: &str) -> String {
    format!("{OF}={lease}")
}

pub(super) fn record(object: &Value) -> Record {
    let spec = &object["spec"];
    Record {
        holder: spec["holderIdentity"].as_str().unwrap_or_default().to_owned(),
        duration: duration(object),
        transitions: spec["leaseTransitions"].as_i64().unwrap_or_default(),
        version: version(object).to_owned(),
    }
}

pub(super) fn addresses(object: &Value) -> BTreeSet<IpAddr> {
    let text = object["metadata"]["annotations"][ADDRESSES].as_str().unwrap_or_default();
    text.split(',').filter_map(|text| text.parse().ok()).collect()
}

pub(super) fn said(object: &Value) -> Said {
    let serves = object["metadata"]["annotations"][SERVES].as_str().unwrap_or_default();
    Said {
        name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        version: version(object).to_owned(),
        duration: duration(object),
        serves: Versions::read(serves),
    }
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_default()
}

fn duration(object: &Value) -> Duration {
    Duration::from_secs(object["spec"]["leaseDurationSeconds"].as_u64().unwrap_or_default())
}

fn skeleton(before: Option<&Value>, name: &str) -> Value {
    before.cloned().unwrap_or_else(|| {
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name},
            "spec": {},
        })
    })
}

/// RFC 3339 with microseconds, as MicroTime wants it.
pub(super) fn time(now: Timestamp) -> String {
    format!("{now:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(15);

    #[test]
    fn a_lease_says_what_was_put_into_it() {
        let addresses: BTreeSet<IpAddr> =
            ["192.0.2.1", "2001:db8::1"].iter().map(|text| text.parse().unwrap()).collect();
        let now: Timestamp = "2026-11-28T03:00:00Z".parse().unwrap();
        let holding = Holding {
            name: "genkan",
            holder: "me",
            duration: LONG,
            transitions: 3,
            is_new: true,
            addresses: &addresses,
        };
        let object = holding.object(None, now);
        assert_eq!(object["spec"]["renewTime"], "2026-11-28T03:00:00.000000Z");
        assert_eq!(object["metadata"]["annotations"][ADDRESSES], "192.0.2.1,2001:db8::1");
        assert_eq!(super::addresses(&object), addresses);
        let wanted = Record {
            holder: "me".to_owned(),
            duration: LONG,
            transitions: 3,
            version: String::new(),
        };
        assert_eq!(record(&object), wanted);

        // Renewed: what was there stays, also what others have put into it.
        let mut before = object;
        before["metadata"]["resourceVersion"] = "7".into();
        before["metadata"]["labels"] = json!({"team": "edge"});
        let later: Timestamp = "2026-11-28T03:00:05Z".parse().unwrap();
        let renewed = Holding { is_new: false, ..holding }.object(Some(&before), later);
        assert_eq!(renewed["spec"]["acquireTime"], "2026-11-28T03:00:00.000000Z");
        assert_eq!(renewed["spec"]["renewTime"], "2026-11-28T03:00:05.000000Z");
        assert_eq!(renewed["metadata"]["resourceVersion"], "7");
        assert_eq!(renewed["metadata"]["labels"]["team"], "edge");
    }

    #[test]
    fn a_node_says_what_it_serves() {
        let serves = Versions::read("ingresses=7,services=9");
        let now = Timestamp::UNIX_EPOCH;
        let object = of_node(("genkan.edge-0", "genkan", "me"), LONG, &serves, now);
        assert_eq!(object["metadata"]["labels"][OF], "genkan");
        let wanted = Said {
            name: "genkan.edge-0".to_owned(),
            version: String::new(),
            duration: LONG,
            serves,
        };
        assert_eq!(said(&object), wanted);
        assert_eq!(said(&json!({})).serves, Versions::default());
    }
}
