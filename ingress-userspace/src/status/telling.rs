//! Posts Events.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::Identity;
use super::api::{Api, Collection, Fault};
use super::lease::time;
use super::plan::events::Note;
use crate::model::Kind;

/// Of `reportingInstance`.
const LONGEST_INSTANCE: usize = 128;

/// Posts one Event; when the same has been posted before, by whomever, it counts up.
///
/// # Errors
///
/// When it is in no way there.
pub(super) async fn post(api: &Api, identity: &Identity, note: &Note) -> Result<(), Fault> {
    let of = Collection::events(&note.object.namespace);
    let now = time(Timestamp::now());
    match api.create(&of, &event(identity, note, &now)).await {
        Err(fault) if fault.is_conflict() => {
            // A series has two of them at least; how many others have told it nobody knows.
            let series = json!({"count": note.count.max(2), "lastObservedTime": now});
            api.patch(&of, &note.name, &json!({ "series": series })).await.map(drop)
        }
        other => other.map(drop),
    }
}

fn event(identity: &Identity, note: &Note, now: &str) -> Value {
    let object = &note.object;
    let namespace = if object.namespace.is_empty() { "default" } else { &*object.namespace };
    let mut regarding = json!({
        "apiVersion": api_version(object.kind),
        "kind": object.kind.as_str(),
        "name": &*object.name,
    });
    if !object.namespace.is_empty() {
        regarding["namespace"] = (*object.namespace).into();
    }
    if !note.uid.is_empty() {
        regarding["uid"] = (*note.uid).into();
    }
    let instance = &identity.holder;
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": note.name, "namespace": namespace},
        "eventTime": now,
        "type": if note.is_warning { "Warning" } else { "Normal" },
        "reason": note.reason,
        "action": "Serve",
        "note": note.text,
        "regarding": regarding,
        "reportingController": identity.controller,
        "reportingInstance": instance[..instance.floor_char_boundary(LONGEST_INSTANCE)],
    })
}

fn api_version(kind: Kind) -> &'static str {
    match kind {
        Kind::Ingress | Kind::IngressClass => "networking.k8s.io/v1",
        Kind::EndpointSlice => "discovery.k8s.io/v1",
        Kind::Service | Kind::Endpoints | Kind::Secret | Kind::ConfigMap => "v1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ObjectRef;

    #[test]
    fn u7_event_is_about_its_object_and_says_who_tells_it() {
        let pair = ("genkan-system", "genkan");
        let identity = Identity::new("genkan.io/ingress-controller", pair, "edge-0", 7);
        let note = Note {
            name: "shop.0123".to_owned(),
            object: ObjectRef::new(Kind::Ingress, "web", "shop"),
            uid: "u-1".into(),
            is_warning: true,
            reason: "ServiceNotFound",
            text: "Service a does not exist".to_owned(),
            count: 1,
        };
        let event = event(&identity, &note, "2026-11-28T03:00:00.000000Z");
        assert_eq!(event["metadata"], json!({"name": "shop.0123", "namespace": "web"}));
        assert_eq!(
            (&event["type"], &event["reason"]),
            (&json!("Warning"), &json!("ServiceNotFound"))
        );
        let regarding = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                               "namespace": "web", "name": "shop", "uid": "u-1"});
        assert_eq!(event["regarding"], regarding);
        assert_eq!(event["reportingController"], "genkan.io/ingress-controller");
        assert_eq!(event["reportingInstance"], "edge-0_0000000000000007");
    }
}
