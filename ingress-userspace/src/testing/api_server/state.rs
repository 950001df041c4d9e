//! The objects and their history, as the watches of the API see it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Plural, namespace and name.
type Key = (String, String, String);

#[derive(Debug, Default)]
pub(super) struct State {
    version: u64,
    objects: BTreeMap<Key, Value>,
    history: Vec<Event>,
}

/// One line of a watch.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) version: u64,
    /// `ADDED`, `MODIFIED`, `DELETED`; `BOOKMARK` is for all.
    pub(super) kind: &'static str,
    pub(super) plural: String,
    pub(super) object: Value,
}

/// What of a collection is asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    pub(super) plural: String,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) of_type: Option<String>,
}

// === impl State ===

impl State {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn apply(&mut self, mut object: Value) {
        self.version += 1;
        let plural = plural(object["kind"].as_str().expect("objects have a kind"));
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        object["metadata"]["managedFields"] = json!([{"manager": "test"}]);
        if plural != "ingressclasses" && object["metadata"]["namespace"].is_null() {
            object["metadata"]["namespace"] = "default".into();
        }
        let key = key(&plural, &object);
        let kind = if self.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
        self.objects.insert(key, object.clone());
        self.history.push(Event { version: self.version, kind, plural, object });
    }

    pub(super) fn delete(&mut self, plural: &str, namespace: &str, name: &str) {
        let key = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        let Some(mut object) = self.objects.remove(&key) else { return };
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let event =
            Event { version: self.version, kind: "DELETED", plural: plural.to_owned(), object };
        self.history.push(event);
    }

    pub(super) fn bookmark(&mut self) {
        self.version += 1;
        let object = json!({"metadata": {"resourceVersion": self.version.to_string()}});
        let plural = String::new();
        self.history.push(Event { version: self.version, kind: "BOOKMARK", plural, object });
    }

    /// Forgets the history, and how it came to be: the version that is the oldest from now on.
    pub(super) fn compact(&mut self) -> u64 {
        self.version += 1;
        self.history.clear();
        self.version
    }

    pub(super) fn get<'a>(&'a self, filter: &'a Filter) -> Option<&'a Value> {
        self.matching(filter).next().map(|(_, object)| object)
    }

    /// In the order of their keys.
    pub(super) fn matching<'a>(
        &'a self,
        filter: &'a Filter,
    ) -> impl Iterator<Item = (&'a Key, &'a Value)> {
        self.objects.iter().filter(|(key, object)| key.0 == filter.plural && filter.takes(object))
    }

    /// What happened after `version`.
    pub(super) fn since<'a>(
        &'a self,
        version: u64,
        filter: &'a Filter,
    ) -> impl Iterator<Item = &'a Event> {
        self.history.iter().filter(move |event| {
            let is_ours = event.plural == filter.plural && filter.takes(&event.object);
            event.version > version && (event.kind == "BOOKMARK" || is_ours)
        })
    }
}

// === impl Filter ===

impl Filter {
    fn takes(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let is = |wanted: &Option<String>, value: &Value| {
            wanted.as_ref().is_none_or(|wanted| value.as_str() == Some(wanted))
        };
        is(&self.namespace, &metadata["namespace"])
            && is(&self.name, &metadata["name"])
            && is(&self.of_type, &object["type"])
    }
}

fn key(plural: &str, object: &Value) -> Key {
    let part = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    (plural.to_owned(), part("namespace"), part("name"))
}

fn plural(kind: &str) -> String {
    let lower = kind.to_ascii_lowercase();
    match lower.as_str() {
        "ingress" => "ingresses".to_owned(),
        "ingressclass" => "ingressclasses".to_owned(),
        _ => format!("{lower}s"),
    }
}
