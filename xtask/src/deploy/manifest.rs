//! Manifests as text: what Helm prints, taken apart into documents, and documents as values.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// One document of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    /// Base name of its template, such as `rbac.yaml`.
    pub(super) template: String,
    /// Without separator and source line.
    pub(super) text: String,
}

/// Kind, namespace and name.
pub(super) type Identity = (String, String, String);

/// What `helm template` prints: each document begins with `# Source: CHART/templates/FILE`.
///
/// # Errors
/// A document without its source.
pub(super) fn documents(rendered: &str) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    for part in rendered.split("\n---\n").map(|part| part.trim_start_matches("---\n")) {
        if part.trim().is_empty() {
            continue;
        }
        let source = part.lines().next().unwrap_or_default();
        let template = source
            .strip_prefix("# Source: ")
            .and_then(|path| path.rsplit_once('/'))
            .with_context(|| format!("no `# Source:` line before {source:?}"))?
            .1;
        let text = part[source.len()..].trim_start_matches('\n').trim_end().to_owned() + "\n";
        documents.push(Document { template: template.to_owned(), text });
    }
    Ok(documents)
}

/// All documents of a text as values, by what they are called.
///
/// # Errors
/// A document is no YAML, has no name, or there are two with one name.
pub(super) fn objects(text: &str) -> Result<BTreeMap<Identity, Value>> {
    let mut objects = BTreeMap::new();
    for part in text.split("\n---\n").map(|part| part.trim_start_matches("---\n")) {
        let value: Value = yaml(part)?;
        if value.is_null() {
            continue;
        }
        let identity = identity(&value)?;
        if objects.insert(identity.clone(), value).is_some() {
            bail!("{identity:?} is there twice");
        }
    }
    Ok(objects)
}

pub(super) fn yaml(text: &str) -> Result<Value> {
    serde_saphyr::from_str(text).with_context(|| format!("read as YAML:\n{text}"))
}

pub(super) fn identity(object: &Value) -> Result<Identity> {
    let text = |at: &str| object.pointer(at).and_then(Value::as_str).map(str::to_owned);
    let kind = text("/kind").context("an object without kind")?;
    let name = text("/metadata/name").with_context(|| format!("a {kind} without a name"))?;
    Ok((kind, text("/metadata/namespace").unwrap_or_default(), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RENDERED: &str = "\
---
# Source: genkan/templates/a.yaml
kind: A
metadata: {name: one}
---
# Source: genkan/templates/b.yaml
# Why.
kind: B
metadata: {name: two, namespace: x}
";

    #[test]
    fn documents_know_their_templates_and_keep_their_comments() {
        let documents = documents(RENDERED).unwrap();
        let templates: Vec<&str> = documents.iter().map(|d| d.template.as_str()).collect();
        assert_eq!(templates, ["a.yaml", "b.yaml"]);
        assert_eq!(documents[1].text, "# Why.\nkind: B\nmetadata: {name: two, namespace: x}\n");
    }

    #[test]
    fn objects_are_found_by_kind_namespace_and_name() {
        let objects = objects(RENDERED).unwrap();
        assert!(objects.contains_key(&("B".to_owned(), "x".to_owned(), "two".to_owned())));
        assert!(
            super::objects("kind: A\nmetadata: {name: x}\n---\nkind: A\nmetadata: {name: x}\n")
                .is_err()
        );
    }
}
