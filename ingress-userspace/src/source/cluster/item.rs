//! One object as the API server sends it, without what nobody here reads.
//!
//! `managedFields`, the copy that `kubectl apply` keeps in an annotation, and `status` but for the
//! addresses in it are often more than half of an object. They are skipped while the text is parsed
//! and never held.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::resource::Resource;
use crate::model::{Address, Kind, ObjectRef, Sight};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A JSON object with `metadata`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct Item(Value);

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    pub(super) metadata: PageMetadata,
    /// `null` when it is empty.
    #[serde(default)]
    pub(super) items: Option<Vec<Item>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageMetadata {
    #[serde(default)]
    pub(super) resource_version: String,
    /// Where the next page begins; absent or empty on the last.
    #[serde(default, rename = "continue")]
    pub(super) next: Option<String>,
}

// === impl Item ===

impl Item {
    /// Items of lists do not say what they are.
    pub(super) fn with_type(mut self, resource: &Resource) -> Self {
        if let Value::Object(fields) = &mut self.0 {
            fields.insert("apiVersion".to_owned(), resource.api_version.into());
            fields.insert("kind".to_owned(), resource.kind.as_str().into());
        }
        self
    }

    pub(super) fn value(&self) -> &Value {
        &self.0
    }

    pub(super) fn version(&self) -> &str {
        self.metadata("resourceVersion")
    }

    /// `None` when it has no name.
    pub(super) fn reference(&self, resource: &Resource) -> Option<ObjectRef> {
        let name = self.metadata("name");
        let namespace = if resource.namespaced { self.metadata("namespace") } else { "" };
        (!name.is_empty()).then(|| ObjectRef::new(resource.kind, namespace, name))
    }

    /// What is to be known of it beside what it asks for.
    pub(super) fn sight(&self, object: &ObjectRef) -> Sight {
        let generation = self.0.get("metadata").and_then(|fields| fields.get("generation"));
        let entries = self.0.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
        let is_ingress = object.kind == Kind::Ingress;
        Sight {
            object: object.clone(),
            uid: self.metadata("uid").into(),
            version: self.version().into(),
            generation: generation.and_then(Value::as_i64).unwrap_or_default(),
            addresses: entries
                .filter(|_| is_ingress)
                .map(|entries| entries.iter().map(Address::from).collect())
                .unwrap_or_default(),
        }
    }

    /// Kind, namespace and name, as they are written.
    pub(super) fn identity(&self) -> (String, String, String) {
        let kind = self.0.get("kind").and_then(Value::as_str).unwrap_or_default();
        let (namespace, name) = (self.metadata("namespace"), self.metadata("name"));
        (kind.to_owned(), namespace.to_owned(), name.to_owned())
    }

    fn metadata(&self, key: &str) -> &str {
        self.0.get("metadata").and_then(|fields| fields.get(key)?.as_str()).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Level::Top).map(|fields| Self(Value::Object(fields)))
    }
}

/// Where in an object something is left out.
#[derive(Clone, Copy)]
enum Level {
    Top,
    Metadata,
    Annotations,
    Status,
}

impl Level {
    fn skips(self, key: &str) -> bool {
        match self {
            Self::Top => false,
            Self::Metadata => key == "managedFields",
            Self::Annotations => key == LAST_APPLIED,
            Self::Status => key != "loadBalancer",
        }
    }

    fn inner(self, key: &str) -> Option<Self> {
        match (self, key) {
            (Self::Top, "metadata") => Some(Self::Metadata),
            (Self::Top, "status") => Some(Self::Status),
            (Self::Metadata, "annotations") => Some(Self::Annotations),
            _ => None,
        }
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if self.skips(&key) {
                map.next_value::<IgnoredAny>()?;
            } else if let Some(inner) = self.inner(&key) {
                let value = map.next_value_seed(inner)?;
                fields.insert(key, value);
            } else {
                let value = map.next_value()?;
                fields.insert(key, value);
            }
        }
        Ok(fields)
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Value;

    /// `null` stays what it is: the decoder says what is wrong with it, if anything.
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        struct Nullable(Level);
        impl<'de> Visitor<'de> for Nullable {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or null")
            }

            fn visit_none<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
                deserializer.deserialize_map(self.0).map(Value::Object)
            }
        }
        deserializer.deserialize_option(Nullable(self))
    }
}

#[cfg(test)]
mod tests {
    use super::super::resource::{CLASSES, INGRESSES};
    use super::*;

    #[test]
    fn what_nobody_reads_is_not_held() {
        let text = r#"{"metadata": {"name": "a", "namespace": "n", "resourceVersion": "7",
            "managedFields": [{"manager": "kubectl"}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "b": "c"}},
            "spec": {"status": 1},
            "status": {"conditions": [], "loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}"#;
        let item: Item = serde_json::from_str(text).unwrap();
        let kept = serde_json::json!({
            "metadata": {"name": "a", "namespace": "n", "resourceVersion": "7",
                         "annotations": {"b": "c"}},
            "spec": {"status": 1},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
        });
        assert_eq!(item.value(), &kept);
        assert_eq!(item.version(), "7");
        let sight = item.sight(&item.reference(&INGRESSES).unwrap());
        assert_eq!(sight.addresses, [Address::Ip("192.0.2.1".parse().unwrap())]);
        assert_eq!((&*sight.version, &*sight.uid, sight.generation), ("7", "", 0));
        assert_eq!(item.reference(&INGRESSES).unwrap().to_string(), "Ingress n/a");
        assert_eq!(item.reference(&CLASSES).unwrap().to_string(), "IngressClass a");
        let typed = item.with_type(&INGRESSES);
        assert_eq!(typed.value()["kind"], "Ingress");
        assert_eq!(typed.value()["apiVersion"], "networking.k8s.io/v1");
    }

    #[test]
    fn empty_lists_and_null_fields_are_read() {
        let page: Page = serde_json::from_str(r#"{"metadata": {}, "items": null}"#).unwrap();
        assert!(page.items.is_none() && page.metadata.next.is_none());
        let item: Item = serde_json::from_str(r#"{"metadata": {"annotations": null}}"#).unwrap();
        assert_eq!(item.reference(&INGRESSES), None);
        assert!(serde_json::from_str::<Item>(r#"{"metadata": 3}"#).is_err());
        assert!(serde_json::from_str::<Item>("[]").is_err());
    }
}
