//! clippy for the kernel's target, with Debian's compiler: rustup has no core library for it.
//!
//! What `cargo clippy` does is done by hand, because cargo's own `clippy` command looks for the
//! driver beside itself: `cargo check` with the distribution's clippy-driver as the wrapper of the
//! workspace's crates.

use std::path::Path;

use anyhow::Result;

use super::Outcome;
use crate::program::Program;
use crate::progress::Step;
use crate::workspace;

const TARGET: &str = "bpfel-unknown-none";
const RUSTC: &str = "/usr/bin/rustc";
const DRIVER: &str = "/usr/bin/clippy-driver";

pub(super) fn check(step: &Step) -> Result<Outcome> {
    if !Path::new(DRIVER).is_file() {
        return Ok(Outcome::Skipped(format!("needs {DRIVER} of Debian's rust-web-clippy")));
    }
    // The separator is clippy-driver's own.
    let arguments = ["-D", "warnings", ""].join("__CLIPPY_HACKERY__");
    Program::cargo()
        .env("RUSTC", RUSTC)
        .env("RUSTC_WORKSPACE_WRAPPER", DRIVER)
        .env("CLIPPY_ARGS", arguments)
        .env("CLIPPY_CONF_DIR", workspace::root())
        // One feature of one crate is unstable on this target.
        .env("RUSTC_BOOTSTRAP", "aya_ebpf")
        .env("CARGO_ENCODED_RUSTFLAGS", flags())
        .args(["check", "--package", "ingress-ebpf", "--bins", "--profile", "bpf", "--locked"])
        .args(["--target", TARGET, "--target-dir"])
        .args([workspace::own("bpf-lint")?])
        .checked(step, "lint-bpf")?;
    Ok(Outcome::Passed(String::new()))
}

fn flags() -> String {
    format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH)
}
