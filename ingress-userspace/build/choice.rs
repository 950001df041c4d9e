//! Where the object of the kernel programs comes from: the decision, made of answers alone.
//!
//! Part of the build script and of its test. In: what the environment wishes, and a [`Machine`] that
//! can be asked about compilers. Out: a [`Choice`], or the reason with the commands that help.

use std::path::{Path, PathBuf};

/// Places of a distribution's compiler, which may have a `core` for bpf that rustup's has not.
pub(crate) const DISTRIBUTION: [&str; 2] = ["/usr/bin/rustc", "/usr/local/bin/rustc"];

/// What the environment asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    /// `GENKAN_BPF_SKIP=1`
    pub(crate) skip: bool,
    /// `GENKAN_BPF_OBJECT`
    pub(crate) object: Option<PathBuf>,
    /// `GENKAN_BPF_RUSTC`
    pub(crate) rustc: Option<PathBuf>,
}

/// Asked only as far as the decision needs it: each answer runs a compiler.
pub(crate) trait Machine {
    fn exists(&self, rustc: &Path) -> bool;
    /// A prebuilt `core` for the bpf target.
    fn has_core(&self, rustc: &Path) -> bool;
    /// The sources of `core` (rust-src).
    fn has_sources(&self, rustc: &Path) -> bool;
    /// `rustup run nightly rustc`, with sources.
    fn has_nightly(&self) -> bool;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// No kernel programs at all.
    Nothing,
    /// An object that is there already.
    Given(PathBuf),
    /// A compiler that has `core` for the bpf target; and why this one.
    Prebuilt(PathBuf, &'static str),
    /// A stable compiler that builds `core` from its sources; and why this one.
    Sources(PathBuf, &'static str),
    /// `rustup run nightly`, also from sources.
    Nightly,
}

/// The first that applies. `host`: the compiler of everything else.
pub(crate) fn choose(
    wishes: &Wishes,
    host: &Path,
    machine: &impl Machine,
) -> Result<Choice, String> {
    if wishes.skip {
        return Ok(Choice::Nothing);
    }
    if let Some(object) = &wishes.object {
        return Ok(Choice::Given(object.clone()));
    }
    if let Some(given) = &wishes.rustc {
        let why = "from GENKAN_BPF_RUSTC";
        // With neither it is tried all the same: its own words are the better reason.
        let from_sources = !machine.has_core(given) && machine.has_sources(given);
        let how = if from_sources { Choice::Sources } else { Choice::Prebuilt };
        return Ok(how(given.clone(), why));
    }
    if machine.has_core(host) {
        return Ok(Choice::Prebuilt(host.to_owned(), "prebuilt core"));
    }
    for rustc in DISTRIBUTION.map(Path::new) {
        if machine.exists(rustc) && machine.has_core(rustc) {
            return Ok(Choice::Prebuilt(rustc.to_owned(), "prebuilt core of the distribution"));
        }
    }
    if machine.has_sources(host) {
        return Ok(Choice::Sources(host.to_owned(), "core from rust-src"));
    }
    if machine.has_nightly() {
        return Ok(Choice::Nightly);
    }
    Err(format!(
        "no compiler for the kernel programs: {} has neither a prebuilt core for bpf nor \
         rust-src, and there is no distribution compiler and no nightly with one.\n\
         One of these helps:\n\
         rustup component add rust-src\n\
         apt install rustc-web libstd-rust-web-dev-bpf\n\
         GENKAN_BPF_OBJECT=<a genkan.bpf.o of this version> cargo build\n\
         Without kernel programs: GENKAN_BPF_SKIP=1 cargo build",
        host.display()
    ))
}
