//! The files of `deploy/base` and of an overlay, made from what Helm renders.
//!
//! Base: the documents of each template in a file of the template's name. Overlay: the documents
//! that differ from the base as patches, those that the base lacks as resources.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Result, bail};

use super::manifest::{Document, Identity, identity, yaml};

/// Files by their name in the directory.
pub(super) type Files = BTreeMap<String, String>;

const MADE: &str = "# Made by `cargo xtask deploy render` from deploy/chart and values.yaml.\n";
const HEAD: &str = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";

pub(super) fn base(documents: &[Document]) -> Files {
    let mut files = by_template(documents);
    let names: Vec<String> = files.keys().cloned().collect();
    files.insert("kustomization.yaml".to_owned(), kustomization(&names, &[]));
    files
}

/// # Errors
/// The overlay lacks a document of the base: Kustomize could only delete it, which no values ask
/// for by intent.
pub(super) fn overlay(base: &[Document], overlay: &[Document]) -> Result<Files> {
    let (base, wanted) = (by_identity(base)?, by_identity(overlay)?);
    if let Some(lost) = base.keys().find(|identity| !wanted.contains_key(*identity)) {
        bail!("the overlay has no {lost:?}");
    }
    let (mut resources, mut patches) = (Vec::new(), Vec::new());
    for (identity, document) in &wanted {
        match base.get(identity) {
            None => resources.push((*document).clone()),
            Some(same) if same.text == document.text => {}
            Some(_) => patches.push((*document).clone()),
        }
    }
    let patches: Files = by_template(&patches)
        .into_iter()
        .map(|(name, text)| (format!("patch-{name}"), text))
        .collect();
    let mut files = by_template(&resources);
    let mut names = vec!["../../base".to_owned()];
    names.extend(files.keys().cloned());
    let patched: Vec<String> = patches.keys().cloned().collect();
    files.insert("kustomization.yaml".to_owned(), kustomization(&names, &patched));
    files.extend(patches);
    Ok(files)
}

fn kustomization(resources: &[String], patches: &[String]) -> String {
    let mut text = format!("{MADE}{HEAD}resources:\n");
    // Writing to a string does not fail.
    for name in resources {
        let _ = writeln!(text, "- {name}");
    }
    if !patches.is_empty() {
        text.push_str("patches:\n");
    }
    for name in patches {
        let _ = writeln!(text, "- path: {name}");
    }
    text
}

fn by_template(documents: &[Document]) -> Files {
    let mut files = Files::new();
    for document in documents {
        let file = files.entry(document.template.clone()).or_insert_with(|| MADE.to_owned());
        if file != MADE {
            file.push_str("---\n");
        }
        file.push_str(&document.text);
    }
    files
}

fn by_identity(documents: &[Document]) -> Result<BTreeMap<Identity, &Document>> {
    let mut seen = BTreeSet::new();
    let mut found = BTreeMap::new();
    for document in documents {
        let identity = identity(&yaml(&document.text)?)?;
        if !seen.insert(identity.clone()) {
            bail!("the chart renders {identity:?} twice");
        }
        found.insert(identity, document);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(template: &str, name: &str, value: u8) -> Document {
        let text = format!("kind: A\nmetadata: {{name: {name}}}\nvalue: {value}\n");
        Document { template: template.to_owned(), text }
    }

    #[test]
    fn an_overlay_has_what_differs_as_patches_and_what_is_new_as_resources() {
        let before = [document("a.yaml", "same", 1), document("b.yaml", "other", 1)];
        let after =
            [before[0].clone(), document("b.yaml", "other", 2), document("c.yaml", "new", 1)];
        let files = overlay(&before, &after).unwrap();
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        assert_eq!(names, ["c.yaml", "kustomization.yaml", "patch-b.yaml"]);
        let kustomization = &files["kustomization.yaml"];
        assert!(
            kustomization
                .ends_with("resources:\n- ../../base\n- c.yaml\npatches:\n- path: patch-b.yaml\n")
        );
        assert!(overlay(&after, &before).is_err());
    }

    #[test]
    fn documents_of_one_template_share_a_file() {
        let files = base(&[document("a.yaml", "x", 1), document("a.yaml", "y", 1)]);
        assert_eq!(files["a.yaml"].matches("---\n").count(), 1);
        assert!(files["kustomization.yaml"].ends_with("resources:\n- a.yaml\n"));
    }
}
