//! `cargo xtask ebpf`: look at the kernel programs that `ingress-userspace/build.rs` builds.
//!
//! Nothing is compiled in another way than by `cargo build`; these commands read its result.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::Subcommand;
use serde_json::Value;

use crate::program::Program;
use crate::progress::Step;
use crate::setup::{self, Purpose};
use crate::test;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build, and copy the object to a file
    Build {
        /// Where the object goes
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Bytes and instructions of each program
    Size,
    /// Load into the kernel and compare with the committed budget; needs root
    Verify,
    /// Which compiler and linker are taken, and why
    Doctor,
}

/// What the build script left.
struct Built {
    object: PathBuf,
    origin: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::prepare(Purpose::Build)?;
    match &arguments.command {
        Command::Build { out } => {
            let built = build()?;
            fs::copy(&built.object, out)
                .with_context(|| format!("copy the object to {}", out.display()))?;
            println!("{} ({})", out.display(), built.origin);
        }
        Command::Size => size(&build()?.object)?,
        Command::Verify => return test::run_kernel(),
        Command::Doctor => doctor()?,
    }
    Ok(ExitCode::SUCCESS)
}

fn build() -> Result<Built> {
    let step = Step::begin("build the kernel programs");
    let ended = Program::cargo()
        .args(["build", "--workspace", "--bin", "genkan", "--locked", "--message-format=json"])
        .logged(&step, "ebpf-build")?;
    if !ended.success {
        step.failed("");
        bail!("{}\n{}", ended.how, crate::program::tail(&ended.log));
    }
    step.ok("");
    let log = fs::read_to_string(&ended.log).context("read the build's log")?;
    log.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .find_map(|message| built(&message))
        .ok_or_else(|| anyhow!("cargo did not say where the build script put the object"))
}

fn built(message: &Value) -> Option<Built> {
    let is_ours = message["package_id"].as_str()?.contains("ingress-userspace");
    if message["reason"] != "build-script-executed" || !is_ours {
        return None;
    }
    let object = Path::new(message["out_dir"].as_str()?).join("genkan.bpf.o");
    let variables = message["env"].as_array()?;
    let origin = variables.iter().find(|pair| pair[0] == "GENKAN_BPF_ORIGIN")?;
    Some(Built { object, origin: origin[1].as_str()?.to_owned() })
}

/// An instruction is 8 bytes.
fn size(object: &Path) -> Result<()> {
    let prefix = env::var("LLVM_PREFIX").unwrap_or_else(|_| "/usr/lib/llvm-22".to_owned());
    let listed = Program::new(&format!("{prefix}/bin/llvm-size"))
        .args(["-A", "-d"])
        .args([object])
        .output()?;
    println!("{:<24} {:>8} {:>13}", "section", "bytes", "instructions");
    for line in listed.lines() {
        let mut fields = line.split_whitespace();
        let (Some(section), Some(bytes)) = (fields.next(), fields.next()) else { continue };
        let Ok(bytes) = bytes.parse::<u64>() else { continue };
        let is_code = ["xdp", "sk_lookup", ".text"].iter().any(|kind| section.starts_with(kind));
        if is_code && bytes > 0 {
            println!("{section:<24} {bytes:>8} {:>13}", bytes / 8);
        }
    }
    Ok(())
}

fn doctor() -> Result<()> {
    for name in ["GENKAN_BPF_SKIP", "GENKAN_BPF_OBJECT", "GENKAN_BPF_RUSTC", "GENKAN_BPF_LINKER"] {
        if let Some(value) = env::var_os(name) {
            println!("{name}={}", value.to_string_lossy());
        }
    }
    println!("host compiler:  {}", Program::new("rustc").args(["-V"]).output()?.trim());
    let linker = Program::new("bpf-linker").args(["--version"]).output().unwrap_or_default();
    println!("linker:         {}", linker.trim());
    println!("kernel programs: {}", build()?.origin);
    Ok(())
}
