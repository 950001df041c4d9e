//! Images of the lab, and putting images into the nodes.
//!
//! No registry is asked: every image is packed here from a static program and imported.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::plan::Host;
use super::programs;
use super::state::State;
use super::{host, node};
use crate::image::{File, Image, PROGRAMS, Tree, hex_sha256};
use crate::progress::Step;

/// Holds the namespaces of a pod.
pub(super) const PAUSE: &str = "localhost/genkan-pause:lab";
/// Answers requests on port 3000 with what it saw of them.
pub(super) const ECHO: &str = "localhost/genkan-echo:lab";

/// What an archive depends on beside its program.
const PACKER: &str = concat!(include_str!("../image/oci.rs"), include_str!("../image/archive.rs"));

/// The archives of the lab's images, made where they are not yet beside their programs.
///
/// # Errors
/// A program can't be built, or an archive not be written.
pub(super) fn archives() -> Result<Vec<PathBuf>> {
    let images = [("pause", PAUSE, "65535:65535"), ("echo", ECHO, "65534:65534")];
    let pack = |(name, reference, user): (&str, &str, &str)| {
        let program = programs::of_image(name)?;
        let key = hex_sha256(format!("{PACKER}{reference}{user}").as_bytes());
        let archive = program.with_file_name(format!("{}.tar", &key[..16]));
        if archive.is_file() {
            return Ok(archive);
        }
        let content =
            std::fs::read(&program).with_context(|| format!("read {}", program.display()))?;
        let step = Step::begin(format!("pack the image {reference}"));
        let image = Image {
            reference: reference.to_owned(),
            entrypoint: vec![format!("/{PROGRAMS}/{name}")],
            user: user.to_owned(),
            labels: Vec::new(),
            files: Tree::from([(format!("{PROGRAMS}/{name}"), File { content, mode: 0o755 })]),
        };
        image.write(&archive)?;
        step.ok("");
        Ok(archive)
    };
    images.into_iter().map(pack).collect()
}

/// Imports an archive, of OCI or Docker, into a node's containerd. Returns what containerd says.
///
/// # Errors
/// containerd refuses it.
pub(super) fn load(state: &State, on: Host, archive: &Path) -> Result<String> {
    // By standard input: the node may see another directory at that path.
    let file =
        std::fs::File::open(archive).with_context(|| format!("open {}", archive.display()))?;
    let import = ["ctr", "--namespace=k8s.io", "images", "import", "--no-unpack", "-"];
    host::output_of(state, on, &import, file.into())
        .with_context(|| format!("import {} on {on}", archive.display()))
}

/// Files that a node's containerd needs before it starts.
///
/// # Errors
/// They can't be written.
pub(super) fn configure(state: &State, on: Host) -> Result<()> {
    let own = state.path(on.to_string());
    let cni = own.join("cni");
    std::fs::create_dir_all(&cni).with_context(|| format!("create {}", cni.display()))?;
    let write = |path: PathBuf, text: String| {
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    };
    write(own.join("containerd.toml"), node::containerd_config())?;
    write(cni.join("10-pods.conflist"), node::cni_config(on).to_string())
}
