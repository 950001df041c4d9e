//! Everything that is made from the chart: written, or compared with what is there.
//!
//! Comparing needs Helm and Kustomize for the manifests. Without them `chart.sum` still tells
//! whether the chart has changed since they were made.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::kustomize;
use super::manifest::{Document, documents, objects};
use super::tools::{self, Tools};
use crate::program::Program;
use crate::workspace;

const CHART: &str = "deploy/chart";
const OVERLAYS: &str = "deploy/overlays";
const BASE: &str = "deploy/base";
const SUM: &str = "deploy/chart.sum";
/// Name and namespace of the release that the manifests without Helm stand for.
const RELEASE: &str = "genkan";
const NAMESPACE: &str = "genkan-system";
/// The oldest that the chart takes has the same manifests; a test cluster has this one.
const KUBERNETES: &str = "1.37.0";

/// What a check found.
pub(crate) struct Found {
    /// `path: what is wrong and what to do`.
    pub(crate) wrong: Vec<String>,
    /// Why only a part was checked.
    pub(crate) skipped: Option<String>,
    pub(crate) files: usize,
}

/// Texts by path from the root.
type Made = BTreeMap<String, String>;

/// Writes what differs and removes what is made no more; returns the paths.
///
/// # Errors
/// The chart does not render, or a file can't be written.
pub(super) fn write(tools: &Tools) -> Result<Vec<String>> {
    let rendered = from_chart(tools)?;
    let mut written = put(&rendered)?;
    let root = workspace::root();
    for path in leftovers(&rendered)? {
        fs::remove_file(root.join(&path)).with_context(|| format!("remove {path}"))?;
        written.push(format!("{path} (removed)"));
    }
    let sum = sums(&chart_files()?)?;
    fs::write(root.join(SUM), sum).with_context(|| format!("write {SUM}"))?;
    Ok(written)
}

/// Writes those that differ; returns their paths.
fn put(made: &Made) -> Result<Vec<String>> {
    let mut written = Vec::new();
    for (path, text) in made {
        let file = workspace::root().join(path);
        if fs::read_to_string(&file).is_ok_and(|old| &old == text) {
            continue;
        }
        let directory = file.parent().context("a file in a directory")?;
        fs::create_dir_all(directory)?;
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        written.push(path.clone());
    }
    Ok(written)
}

/// Compares; with `tools`, or those of an earlier run, the manifests as well.
///
/// # Errors
/// Something can't be read, or the chart does not render.
pub(crate) fn check(tools: Option<&Tools>) -> Result<Found> {
    let mut made = Made::from([(SUM.to_owned(), sums(&chart_files()?)?)]);
    let kept = tools::kept()?;
    let tools = tools.or(kept.as_ref());
    let mut wrong = Vec::new();
    let mut skipped = None;
    if let Some(tools) = tools {
        let rendered = from_chart(tools)?;
        wrong.extend(
            leftovers(&rendered)?
                .into_iter()
                .map(|path| format!("{path}: nothing makes it; run cargo xtask deploy render")),
        );
        made.extend(rendered);
        wrong.extend(unlike_helm(tools)?);
    } else {
        skipped = Some("manifests: cargo xtask deploy tools builds Helm and Kustomize".to_owned());
    }
    let root = workspace::root();
    for (path, text) in &made {
        match fs::read_to_string(root.join(path)) {
            Ok(there) if &there == text => {}
            Ok(_) => wrong.push(format!("{path}: out of date; run cargo xtask deploy render")),
            Err(_) => wrong.push(format!("{path}: missing; run cargo xtask deploy render")),
        }
    }
    Ok(Found { wrong, skipped, files: made.len() })
}

/// One line for each file: SHA-256 and path, as `sha256sum` writes and checks it.
pub(super) fn sums(files: &[String]) -> Result<String> {
    Program::new("sha256sum").args(files).output()
}

fn from_chart(tools: &Tools) -> Result<Made> {
    let base = documents(&template(tools, &[BASE])?)?;
    let mut made = Made::new();
    let mut put = |directory: &str, files: kustomize::Files| {
        made.extend(files.into_iter().map(|(name, text)| (format!("{directory}/{name}"), text)));
    };
    put(BASE, kustomize::base(&base));
    for overlay in overlays()? {
        let rendered: Vec<Document> = documents(&template(tools, &[BASE, &overlay])?)?;
        put(&overlay, kustomize::overlay(&base, &rendered)?);
    }
    Ok(made)
}

/// Overlays for which Kustomize does not build what Helm renders with the same values.
fn unlike_helm(tools: &Tools) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for overlay in overlays()? {
        let by_helm = objects(&template(tools, &[BASE, &overlay])?)?;
        let built = tools.kustomize().args(["build", &overlay]).output();
        let by_kustomize = objects(&built.with_context(|| format!("build {overlay}"))?)?;
        if by_helm.keys().ne(by_kustomize.keys()) {
            wrong.push(format!("{overlay}: Kustomize builds other objects than Helm"));
        }
        for (identity, object) in &by_kustomize {
            if by_helm.get(identity).is_some_and(|wanted| wanted != object) {
                wrong.push(format!("{overlay}: {identity:?} differs from what Helm renders"));
            }
        }
    }
    Ok(wrong)
}

/// What Helm renders with the values of these directories, the later ones over the earlier.
fn template(tools: &Tools, values: &[&str]) -> Result<String> {
    let files = values.iter().map(|directory| format!("--values={directory}/values.yaml"));
    tools
        .helm()
        .args(["template", RELEASE, CHART, "--namespace", NAMESPACE, "--kube-version", KUBERNETES])
        .args(files)
        .output()
}

/// Each directory with values.
fn overlays() -> Result<Vec<String>> {
    let root = workspace::root();
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join(OVERLAYS)).with_context(|| format!("read {OVERLAYS}"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let overlay = format!("{OVERLAYS}/{name}");
        if root.join(&overlay).join("values.yaml").is_file() {
            found.push(overlay);
        }
    }
    found.sort();
    Ok(found)
}

fn chart_files() -> Result<Vec<String>> {
    let prefix = format!("{CHART}/");
    Ok(workspace::files()?.into_iter().filter(|file| file.starts_with(&prefix)).collect())
}

/// Manifests that are there and that nothing makes.
fn leftovers(made: &Made) -> Result<Vec<String>> {
    let generated = |file: &String| {
        let within = [BASE, OVERLAYS].iter().any(|at| Path::new(file).starts_with(at));
        within && file.ends_with(".yaml") && !file.ends_with("/values.yaml")
    };
    let files = workspace::files()?.into_iter().filter(generated);
    Ok(files.filter(|file| !made.contains_key(file)).collect())
}
