//! Helm and Kustomize, built once from `xtask/deploy`.
//!
//! Kept in the user's cache, named after the module's files, so that every checkout finds them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::render::sums;
use crate::program::Program;
use crate::progress::Step;
use crate::setup::go;
use crate::workspace;

/// As in go.mod; Helm says it to charts and to people.
const HELM: &str = "v4.3.1";
const PROGRAMS: [(&str, &str); 2] =
    [("helm", "helm.sh/helm/v4/cmd/helm"), ("kustomize", "sigs.k8s.io/kustomize/kustomize/v5")];

/// The built programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tools(PathBuf);

/// The programs if an earlier run has built them.
///
/// # Errors
/// The module's files can't be read.
pub(crate) fn kept() -> Result<Option<Tools>> {
    let tools = Tools(place()?);
    let complete = PROGRAMS.iter().all(|(name, _)| tools.0.join(name).is_file());
    Ok(complete.then_some(tools))
}

/// The programs, built when they are not in the cache: some minutes, once.
///
/// # Errors
/// Go is missing, or the build fails.
pub(crate) fn built() -> Result<Tools> {
    if let Some(tools) = kept()? {
        return Ok(tools);
    }
    if let Some(lack) = go::lack() {
        bail!("Helm is not built yet and can't be: {lack}");
    }
    let step = Step::begin("go build helm and kustomize, once");
    let place = place()?;
    let fresh = place.with_extension(format!("partial-{}", std::process::id()));
    fs::create_dir_all(&fresh).with_context(|| format!("create {}", fresh.display()))?;
    for (name, package) in PROGRAMS {
        let flags = format!("-s -w -X helm.sh/helm/v4/internal/version.version={HELM}");
        go::go()
            .directory(&workspace::root().join("xtask/deploy"))
            .limit(Duration::from_secs(3600))
            .args(["build", "-v", "-trimpath", "-buildvcs=false", "-mod=readonly"])
            .args(["-ldflags", &flags, "-o"])
            .args([fresh.join(name)])
            .args([package])
            .checked(&step, &format!("go-build-{name}"))
            .inspect_err(|_| drop(fs::remove_dir_all(&fresh)))?;
    }
    // Another run may have been faster; its programs are as good.
    if fs::rename(&fresh, &place).is_err() && kept()?.is_none() {
        bail!("could not move {} to {}", fresh.display(), place.display());
    }
    fs::remove_dir_all(&fresh).ok();
    step.ok(&place.display().to_string());
    Ok(Tools(place))
}

/// The same module, the same place.
fn place() -> Result<PathBuf> {
    let key: String = sums(&["xtask/deploy/go.mod".to_owned(), "xtask/deploy/go.sum".to_owned()])?
        .lines()
        .flat_map(|line| line.chars().take(8))
        .collect();
    Ok(workspace::cache("deploy")?.join(key))
}

// === impl Tools ===

impl Tools {
    pub(crate) fn directory(&self) -> &Path {
        &self.0
    }

    /// `helm` with settings of its own, whatever the user's are.
    pub(crate) fn helm(&self) -> Program {
        let own = self.0.join("home");
        Program::new(&self.0.join("helm").to_string_lossy())
            .env("HELM_CACHE_HOME", own.join("cache"))
            .env("HELM_CONFIG_HOME", own.join("config"))
            .env("HELM_DATA_HOME", own.join("data"))
    }

    pub(crate) fn kustomize(&self) -> Program {
        Program::new(&self.0.join("kustomize").to_string_lossy())
    }
}
