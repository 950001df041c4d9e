//! Programs that cargo and rustup install: bpf-linker, cargo-deny, rustfmt and clippy.

use std::env;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::program::{self, Program};
use crate::progress::Step;

/// Releases of bpf-linker that link what this workspace's compilers emit.
const BPF_LINKER: &str = "0.13";
const BPF_LINKER_VERSION: &str = "0.13.0";
/// At least the LLVM of the compiler that emits the bitcode.
const LLVM: u32 = 22;
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

/// The licence checker and the version that `setup` installs; any newer one is as good.
pub(crate) const DENY: &str = "cargo-deny";
const DENY_VERSION: &str = "0.20.2";

/// bpf-linker, unless one is there that can link the kernel programs.
pub(super) fn bpf_linker() -> Result<()> {
    let Some(lack) = bpf_linker_lack() else { return Ok(()) };
    println!("missing bpf-linker {BPF_LINKER}: {lack}; it makes one object of the kernel programs");
    let prefix = env::var("LLVM_PREFIX").unwrap_or_else(|_| LLVM_PREFIX.to_owned());
    let step = Step::begin(format!("cargo install bpf-linker {BPF_LINKER_VERSION}"));
    // Both variables: with another `llvm-config` first in PATH the link step fails otherwise.
    Program::cargo()
        .env("LLVM_PREFIX", &prefix)
        .env("LLVM_SYS_221_PREFIX", &prefix)
        .args(["install", "bpf-linker", "--version", BPF_LINKER_VERSION, "--locked", "--force"])
        .args(["--no-default-features", "--features", "llvm-22"])
        .limit(Duration::from_secs(1200))
        .checked(&step, "bpf-linker")?;
    step.ok("");
    Ok(())
}

/// Why the installed bpf-linker does not do; `None` when it does.
pub(crate) fn bpf_linker_lack() -> Option<String> {
    let Ok(version) = Program::new("bpf-linker").args(["--version"]).output() else {
        return Some("there is none, or it does not start".to_owned());
    };
    let version = version.trim();
    if !version.contains(&format!(" {BPF_LINKER}.")) {
        return Some(format!("the installed one is {version}"));
    }
    let llvm = linked_llvm();
    llvm.filter(|llvm| *llvm < LLVM)
        .map(|llvm| format!("the installed one has LLVM {llvm}, older than the compiler's {LLVM}"))
}

/// Major version of the shared LLVM that bpf-linker uses; `None` when it is linked statically.
fn linked_llvm() -> Option<u32> {
    let path = Program::new("sh").args(["-c", "command -v bpf-linker"]).output().ok()?;
    let libraries = Program::new("ldd").args([path.trim()]).output().ok()?;
    let digits = libraries.split("libLLVM").nth(1)?.trim_start_matches(['.', '-', 's', 'o']);
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// rustfmt and clippy of the toolchain in use.
pub(super) fn components() -> Result<()> {
    for (component, command) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if Program::cargo().args([command, "--version"]).succeeds() {
            continue;
        }
        let step = Step::begin(format!("rustup component add {component}"));
        Program::new("rustup")
            .args(["component", "add", component])
            .limit(Duration::from_secs(300))
            .checked(&step, component)
            .with_context(|| {
                format!("`cargo {command}` is missing and rustup could not download {component}")
            })?;
        step.ok("");
    }
    Ok(())
}

/// cargo-deny, for the licence part of `cargo xtask lint`.
pub(super) fn cargo_deny() -> Result<()> {
    if program::exists(DENY) {
        return Ok(());
    }
    println!("missing {DENY}: it checks the licences of all dependencies");
    let step = Step::begin(format!("cargo install {DENY} {DENY_VERSION}"));
    Program::cargo()
        .args(["install", DENY, "--version", DENY_VERSION, "--locked"])
        .limit(Duration::from_secs(1800))
        .checked(&step, DENY)?;
    step.ok("");
    Ok(())
}
