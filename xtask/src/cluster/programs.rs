//! The Kubernetes program and those of the lab's images, built once from `xtask/kubernetes`.
//!
//! What is built is kept in the user's cache, named after the sources, so that every checkout and
//! every run of the tests finds it: Kubernetes takes eight minutes of two processors.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::image::hex_sha256;
use crate::progress::Step;
use crate::setup::go;
use crate::workspace;

/// What the clients are told; go.mod has the same version.
const VERSION: (u32, u32, u32) = (1, 37, 2);
/// Names by which the program is one component or the other.
const COMPONENTS: [&str; 7] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
];
const SOURCES: [&str; 3] = ["go.mod", "go.sum", "main.go"];

/// The Kubernetes program, built when it is not in the cache.
///
/// # Errors
/// Go is missing, or the build fails.
pub(crate) fn kubernetes() -> Result<PathBuf> {
    let (major, minor, patch) = VERSION;
    let version = "k8s.io/component-base/version";
    let flags = format!(
        "-s -w -X {version}.gitVersion=v{major}.{minor}.{patch} \
         -X {version}.gitMajor={major} -X {version}.gitMinor={minor}"
    );
    let name = format!("Kubernetes {major}.{minor}.{patch}, once; 8 minutes on 2 processors");
    build(&Build {
        what: &name,
        sources: &SOURCES,
        package: ".",
        output: "kubernetes",
        flags: &flags,
        is_static: false,
    })
}

/// A static program of one file with nothing but Go's own library.
///
/// # Errors
/// As [`kubernetes`].
pub(super) fn of_image(name: &str) -> Result<PathBuf> {
    let source = format!("{name}/main.go");
    build(&Build {
        what: &format!("the {name} program"),
        sources: &[&source],
        package: &format!("./{name}"),
        output: name,
        flags: "-s -w -buildid=",
        is_static: true,
    })
}

/// Makes `directory` with a link for every component, so that lists of processes name them.
///
/// # Errors
/// A link can't be made.
pub(super) fn link(program: &Path, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    for name in COMPONENTS {
        let link = directory.join(name);
        std::os::unix::fs::symlink(program, &link)
            .with_context(|| format!("create {}", link.display()))?;
    }
    Ok(())
}

struct Build<'a> {
    what: &'a str,
    /// What the program depends on; names its place in the cache.
    sources: &'a [&'a str],
    package: &'a str,
    output: &'a str,
    flags: &'a str,
    is_static: bool,
}

fn build(build: &Build<'_>) -> Result<PathBuf> {
    let module = workspace::root().join("xtask/kubernetes");
    let kept = workspace::cache("kubernetes")?.join(key(&module, build)?);
    let program = kept.join(build.output);
    if program.is_file() {
        return Ok(program);
    }
    if let Some(lack) = go::lack() {
        bail!("{} is not built yet and can't be: {lack}", build.what);
    }
    let step = Step::begin(format!("go build {}", build.what));
    let fresh = kept.with_extension(format!("partial-{}", std::process::id()));
    let mut go = go::go().directory(&module).limit(Duration::from_secs(3600));
    if build.is_static {
        go = go.env("CGO_ENABLED", "0");
    }
    go.args(["build", "-v", "-trimpath", "-buildvcs=false", "-mod=readonly"])
        .args(["-ldflags", build.flags, "-o"])
        .args([fresh.join(build.output)])
        .args([build.package])
        .checked(&step, &format!("go-build-{}", build.output))
        .inspect_err(|_| drop(fs::remove_dir_all(&fresh)))?;
    // Another run may have been faster; its program is as good.
    if fs::rename(&fresh, &kept).is_err() && !program.is_file() {
        bail!("could not move {} to {}", fresh.display(), kept.display());
    }
    fs::remove_dir_all(&fresh).ok();
    step.ok(&program.display().to_string());
    Ok(program)
}

/// The same sources and flags, the same place.
fn key(module: &Path, build: &Build<'_>) -> Result<String> {
    let mut text = format!("{}\0{}\0", build.package, build.flags).into_bytes();
    for source in build.sources {
        let file = module.join(source);
        let content = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        text.extend_from_slice(hex_sha256(&content).as_bytes());
    }
    Ok(hex_sha256(&text)[..16].to_owned())
}
