//! The line of a field that only the compiler found fault with.
//!
//! The compiler knows where an object's document starts, not where its fields stand. For a report
//! that is read by people the file is read once more; a running process has no use for it.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use crate::model::{ObjectRef, Origin};
use crate::yaml::document::{self, Document};

/// Reads each file once.
#[derive(Debug, Default)]
pub struct Locator {
    texts: HashMap<Arc<PathBuf>, Option<String>>,
}

// === impl Locator ===

impl Locator {
    /// Where `field` of `object` stands; `origin` itself when nothing better is known.
    pub fn locate(&mut self, origin: &Origin, object: Option<&ObjectRef>, field: &str) -> Origin {
        let Origin::File { path, line } = origin else { return origin.clone() };
        let text =
            self.texts.entry(path.clone()).or_insert_with(|| fs::read_to_string(&**path).ok());
        let found = text.as_deref().and_then(|text| line_in(text, *line, object, field));
        Origin::File { path: path.clone(), line: found.unwrap_or(*line) }
    }
}

/// `line`: where the document starts; a fault with another line is located already.
fn line_in(text: &str, line: u32, object: Option<&ObjectRef>, field: &str) -> Option<u32> {
    if field.is_empty() {
        return None;
    }
    let is_json = text.trim_start().starts_with('{');
    let documents = if is_json { vec![Document::json(text)] } else { document::split(text) };
    let document = documents.into_iter().find(|document| document.line == line)?;
    let value = document.parse_yaml().ok()?;
    let Some(items) = value.get("items").and_then(Value::as_array) else {
        return Some(document.line_of(field));
    };
    let object = object?;
    let index = items.iter().position(|item| names(item, object))?;
    Some(document.line_of(&format!("items[{index}].{field}")))
}

fn names(item: &Value, object: &ObjectRef) -> bool {
    let metadata =
        |key: &str| item.get("metadata").and_then(|metadata| metadata.get(key)?.as_str());
    item.get("kind").and_then(Value::as_str).is_none_or(|kind| kind == object.kind.as_str())
        && metadata("name") == Some(&object.name)
        && (object.namespace.is_empty()
            || metadata("namespace").unwrap_or("default") == &*object.namespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;

    #[test]
    fn a_field_is_found_in_its_document_and_in_a_list() {
        let text = "kind: Service\n---\nkind: Ingress\nmetadata: {name: a}\nspec:\n  rules:\n  - \
                    host: x\n---\nkind: List\nitems:\n- kind: Ingress\n  metadata:\n    name: b\n  \
                    spec:\n    rules: []\n";
        let ingress = |name| ObjectRef::new(Kind::Ingress, "default", name);
        for (line, name, field, found) in [
            (3, "a", "spec.rules[0].host", Some(7)),
            (9, "b", "spec.rules", Some(15)),
            (9, "c", "spec.rules", None),
            (7, "a", "spec.rules[0].host", None),
            (3, "a", "", None),
        ] {
            assert_eq!(line_in(text, line, Some(&ingress(name)), field), found, "{line} {field}");
        }
    }
}
