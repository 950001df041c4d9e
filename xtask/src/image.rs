//! `cargo xtask image`: Genkan's container image, packed without a container engine.
//!
//! One static program and Mozilla's root certificates on nothing: no shell, no packages, nothing to
//! patch but Genkan. Two builds of the same sources with the same compilers give the same bytes,
//! wherever the checkout is.

mod archive;
mod oci;
mod roots;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::program::Program;
use crate::progress::Step;
use crate::setup::{self, Purpose};
use crate::workspace;

pub(crate) use archive::{File, Tree};
pub(crate) use oci::{Image, hex_sha256};

/// Where images have their programs, on their `PATH`.
pub(crate) const PROGRAMS: &str = "usr/local/bin";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The OCI archive to write; target/xtask/image/genkan.tar by default
    #[arg(long)]
    output: Option<PathBuf>,
    /// The image's name in a registry or a node
    #[arg(long, default_value_t = format!("localhost/genkan:{}", env!("CARGO_PKG_VERSION")))]
    reference: String,
    /// Cargo's profile; `dev` compiles in a fraction of the time
    #[arg(long, default_value = "release")]
    profile: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::prepare(Purpose::Build)?;
    let output = match &arguments.output {
        Some(path) => path.clone(),
        None => workspace::own("image")?.join("genkan.tar"),
    };
    // Before the minutes that a build takes.
    if let Some(directory) = output.parent() {
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    }
    let program = build(&arguments.profile)?;
    let step = Step::begin(format!("pack {}", output.display()));
    let digest = image(&arguments.reference, &program)?.write(&output)?;
    let size = fs::metadata(&output).context("look at the archive")?.len();
    step.ok(&format!("{}, {} MiB", arguments.reference, size >> 20));
    println!("{digest}");
    Ok(ExitCode::SUCCESS)
}

/// Of whoever says nothing else: the proxy. An agent has to be root, which is said where it is
/// started.
const USER: &str = "65532:65532";

/// The image around a static program of one file.
fn image(reference: &str, program: &Path) -> Result<Image> {
    let content = fs::read(program).with_context(|| format!("read {}", program.display()))?;
    let label =
        |name: &str, value: &str| (format!("org.opencontainers.image.{name}"), value.to_owned());
    Ok(Image {
        reference: reference.to_owned(),
        entrypoint: vec![format!("/{PROGRAMS}/genkan")],
        user: USER.to_owned(),
        labels: vec![
            label("title", "genkan"),
            label("version", env!("CARGO_PKG_VERSION")),
            label("licenses", env!("CARGO_PKG_LICENSE")),
        ],
        files: Tree::from([
            (format!("{PROGRAMS}/genkan"), File { content, mode: 0o755 }),
            (roots::PATH.to_owned(), File { content: roots::bundle().into_bytes(), mode: 0o644 }),
        ]),
    })
}

/// `genkan` linked statically. An explicit target, or macros would be static as well and not load.
fn build(profile: &str) -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let step = Step::begin(format!("build a static genkan ({profile})"));
    let remapped = remapped();
    let flags: Vec<String> = remapped
        .iter()
        .map(|map| format!("--remap-path-prefix={map}"))
        .chain(["-Ctarget-feature=+crt-static".to_owned()])
        .collect();
    let c_flags: Vec<String> =
        remapped.iter().map(|map| format!("-ffile-prefix-map={map}")).collect();
    Program::cargo()
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env(&format!("CFLAGS_{}", target.replace('-', "_")), c_flags.join(" "))
        .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo")
        .args(["build", "--package", "ingress-userspace", "--bin", "genkan", "--locked"])
        .args(["--profile", profile, "--target", &target])
        .limit(Duration::from_secs(3600))
        .checked(&step, "image-build")?;
    step.ok("");
    let directory = if profile == "dev" { "debug" } else { profile };
    Ok(workspace::target().join(target).join(directory).join("genkan"))
}

/// Directories of this machine and what they are called in the program; of nested ones the inner
/// last, which wins.
fn remapped() -> Vec<String> {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cargo = env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    vec![
        format!("{}=cargo", cargo.display()),
        format!("{}=genkan", workspace::root().display()),
        format!("{}=target", workspace::target().display()),
    ]
}
