//! `cargo xtask setup`: what this machine lacks for building, testing or the demo, and getting it.
//!
//! Looks first and says what is missing and why; only then installs, and only what is missing.
//! Without root or without Debian it prints what to install and fails.

pub(crate) mod go;
mod interop;
mod packages;
mod toolchain;

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::cluster;

pub(crate) use interop::directory as interop_directory;
pub(crate) use toolchain::DENY;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What the machine is to be prepared for
    #[arg(long = "for", value_enum, default_value_t = Purpose::Test)]
    purpose: Purpose,
}

/// What a machine is prepared for. Everything but `Cluster` needs what `Build` needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Purpose {
    /// Compiling the workspace with its kernel programs
    Build,
    /// Build, and the network namespaces of the demo
    Demo,
    /// A real Kubernetes in network namespaces; compiles nothing of the workspace
    Cluster,
    /// Build, and what a comparison with other proxies needs
    Bench,
    /// Build, and what `cargo xtask lint` uses
    Lint,
    /// Lint, and what the tests use
    Test,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    prepare(arguments.purpose)?;
    println!("this machine is ready");
    Ok(ExitCode::SUCCESS)
}

/// Installs what is missing for `purpose`; quick when nothing is.
///
/// # Errors
/// Something is missing and could not be installed; the message says what and why.
pub(crate) fn prepare(purpose: Purpose) -> Result<()> {
    packages::install(purpose)?;
    if purpose != Purpose::Cluster && packages::kernel_programs_are_built() {
        toolchain::bpf_linker()?;
    }
    if matches!(purpose, Purpose::Lint | Purpose::Test) {
        toolchain::components()?;
        toolchain::cargo_deny()?;
    }
    if purpose == Purpose::Test {
        interop::build()?;
    }
    Ok(())
}

/// The API server that tests watch. Without Go they are skipped, but not in CI.
///
/// # Errors
/// It could not be built, or in CI there is no Go.
pub(crate) fn kubernetes() -> Result<()> {
    let Err(error) = cluster::kubernetes_program() else { return Ok(()) };
    if go::lack().is_none() || env::var_os("CI").is_some() {
        bail!("{error:#}");
    }
    println!("skipped Kubernetes: {error:#}");
    Ok(())
}
