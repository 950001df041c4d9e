//! Builds the kernel programs and hands their object to the library as `$OUT_DIR/genkan.bpf.o`.
//!
//! The only builder of `ingress-ebpf` for the bpf target, so that plain `cargo build`, `test` and
//! `install` work. Where the object comes from is decided by [`choose`], first that applies; without
//! any compiler the build fails with the commands that would help. With `GENKAN_BPF_SKIP=1` the
//! object is empty and the program says that it was built without kernel programs.
//!
//! With the feature `testing` the floor programs of the packet benchmark are built beside it, as
//! `$OUT_DIR/genkan-floor.bpf.o`; they are never part of the production object.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

#[path = "build/choice.rs"]
mod choice;

use choice::{Choice, Machine, Wishes, choose};

const OBJECT: &str = "genkan.bpf.o";
const FLOOR: &str = "genkan-floor.bpf.o";
const MINIMUM: (u32, u32) = (1, 95);

fn main() -> ExitCode {
    match run() {
        Ok(origin) => {
            println!("cargo::rustc-env=GENKAN_BPF_ORIGIN={origin}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            for line in message.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Where the object comes from, in words.
fn run() -> Result<String, String> {
    for variable in
        ["GENKAN_BPF_SKIP", "GENKAN_BPF_OBJECT", "GENKAN_BPF_RUSTC", "GENKAN_BPF_LINKER"]
    {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build/choice.rs");

    let host = Compiler::new(setting("RUSTC").unwrap_or_else(|| "rustc".into()));
    let version = host.version()?;
    if (version.major, version.minor) < MINIMUM {
        return Err(format!(
            "Genkan needs rustc {}.{} or newer, but {} is {}.{}.\n\
             Update it (rustup update stable) and build again.",
            MINIMUM.0,
            MINIMUM.1,
            host.path.display(),
            version.major,
            version.minor
        ));
    }

    let out = PathBuf::from(required("OUT_DIR")?);
    let wishes = Wishes {
        skip: env::var_os("GENKAN_BPF_SKIP").is_some_and(|value| value == "1"),
        object: setting("GENKAN_BPF_OBJECT"),
        rustc: setting("GENKAN_BPF_RUSTC"),
    };
    let plan = match choose(&wishes, &host.path, &Here)? {
        Choice::Nothing => {
            write(&out.join(OBJECT), &[])?;
            write(&out.join(FLOOR), &[])?;
            return Ok("none: built with GENKAN_BPF_SKIP=1".into());
        }
        Choice::Given(given) => {
            println!("cargo::rerun-if-changed={}", given.display());
            copy(&given, &out.join(OBJECT))?;
            write(&out.join(FLOOR), &[])?;
            return Ok(format!("given as {}", given.display()));
        }
        Choice::Prebuilt(rustc, why) => {
            Plan::of(How::Prebuilt(rustc.clone()), &Compiler::new(rustc), why)?
        }
        Choice::Sources(rustc, why) => {
            Plan::of(How::Sources(rustc.clone()), &Compiler::new(rustc), why)?
        }
        Choice::Nightly => {
            Plan::of(How::Nightly, &Compiler::nightly(), "nightly, core from rust-src")?
        }
    };
    build(&plan, &out)
}

/// Runs cargo for the bpf target and copies its object out.
fn build(plan: &Plan, out: &Path) -> Result<String, String> {
    let workspace = PathBuf::from(required("CARGO_MANIFEST_DIR")?)
        .parent()
        .map(Path::to_path_buf)
        .ok_or("the crate has no workspace directory around it")?;
    for source in [
        "ingress-ebpf/src",
        "ingress-ebpf/Cargo.toml",
        "ingress-common/src",
        "ingress-common/Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let linker = linker()?;
    println!("cargo::rerun-if-changed={}", linker.display());

    let target = match required("CARGO_CFG_TARGET_ENDIAN")?.to_str() {
        Some("big") => "bpfeb-unknown-none",
        _ => "bpfel-unknown-none",
    };
    // One target directory for all profiles and features of the host build: the programs are the
    // same. Not the host's own directory, which cargo has locked.
    let target_dir = out.ancestors().nth(4).unwrap_or(out).join("bpf");
    let floor = env::var_os("CARGO_FEATURE_TESTING").is_some();

    let mut cargo = plan.cargo();
    cargo
        .current_dir(&workspace)
        .args(["build", "--package", "ingress-ebpf", "--profile", "bpf"])
        .args(["--bin", "genkan-bpf"])
        .args(if floor { &["--bin", "genkan-floor"][..] } else { &[] })
        .args(["--target", target, "--target-dir"])
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(plan, &linker, &workspace)?)
        .env_remove("RUSTFLAGS")
        // Clippy and the like wrap the host's compiler, and would be given the wrong one.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("CARGO_BUILD_TARGET");
    let output = cargo
        .output()
        .map_err(|error| format!("cannot run {cargo:?} for the kernel programs: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "building the kernel programs failed ({}, {}):\n{}",
            plan.origin,
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let built = target_dir.join(target).join("bpf");
    copy(&built.join("genkan-bpf"), &out.join(OBJECT))?;
    if floor {
        copy(&built.join("genkan-floor"), &out.join(FLOOR))?;
    }
    Ok(plan.origin.clone())
}

/// The compiler flags; paths are taken out so that two checkouts give the same object.
fn flags(plan: &Plan, linker: &Path, workspace: &Path) -> Result<OsString, String> {
    let arch = required("CARGO_CFG_TARGET_ARCH")?;
    let cargo_home = setting("CARGO_HOME")
        .or_else(|| setting("HOME").map(|home| home.join(".cargo")))
        .unwrap_or_default();
    let mut flags = vec![
        format!("--cfg=bpf_target_arch=\"{}\"", arch.to_string_lossy()),
        format!("-Clinker={}", linker.display()),
        "-Clink-arg=--btf".into(),
        "-Cdebuginfo=2".into(),
        "-Ctarget-cpu=v3".into(),
        format!("--remap-path-prefix={}=genkan", workspace.display()),
        format!("--remap-path-prefix={}=cargo", cargo_home.display()),
    ];
    if plan.llvm >= 22 {
        flags.push("-Ctarget-feature=+allows-misaligned-mem-access".into());
    }
    Ok(flags.join("\x1f").into())
}

/// `GENKAN_BPF_LINKER`, else bpf-linker from PATH, else from cargo's own directory, which a build
/// started by a service or by sudo often misses in PATH.
fn linker() -> Result<PathBuf, String> {
    if let Some(given) = setting("GENKAN_BPF_LINKER") {
        return Ok(given);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let cargo_bin = setting("CARGO_HOME")
        .or_else(|| setting("HOME").map(|home| home.join(".cargo")))
        .map(|home| home.join("bin"));
    env::split_paths(&path)
        .chain(cargo_bin)
        .map(|directory| directory.join("bpf-linker"))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| {
            "bpf-linker was not found in PATH, and it is needed for the kernel programs.\n\
             Install it with: cargo install bpf-linker\n\
             or, with Debian's LLVM 22: LLVM_PREFIX=/usr/lib/llvm-22 \
             LLVM_SYS_221_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker \
             --no-default-features --features llvm-22\n\
             or build without kernel programs: GENKAN_BPF_SKIP=1 cargo build"
                .to_owned()
        })
}

/// How the kernel programs get compiled.
struct Plan {
    how: How,
    /// For people: which compiler, and why this one.
    origin: String,
    llvm: u32,
}

enum How {
    /// A compiler that has `core` for the bpf target.
    Prebuilt(PathBuf),
    /// A stable compiler with the sources of `core`.
    Sources(PathBuf),
    /// `rustup run nightly`, also from sources.
    Nightly,
}

// === impl Plan ===

impl Plan {
    fn of(how: How, compiler: &Compiler, why: &str) -> Result<Self, String> {
        let version = compiler.version()?;
        let origin = format!("{}, {why}", version.text);
        Ok(Self { how, origin, llvm: version.llvm })
    }

    fn cargo(&self) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        match &self.how {
            How::Prebuilt(rustc) => {
                let mut command = Command::new(cargo);
                // aya-ebpf alone uses an unstable feature (inline assembly for bpf).
                command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "aya_ebpf");
                command
            }
            How::Sources(rustc) => {
                let mut command = Command::new(cargo);
                command.args(["-Z", "build-std=core"]);
                command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
                command
            }
            How::Nightly => {
                let mut command = Command::new("rustup");
                command.args(["run", "nightly", "cargo", "-Z", "build-std=core"]);
                // Else the inner cargo takes the outer one's compiler.
                for variable in ["RUSTC", "RUSTUP_TOOLCHAIN", "CARGO"] {
                    command.env_remove(variable);
                }
                command
            }
        }
    }
}

/// A rustc that may serve.
struct Compiler {
    path: PathBuf,
    /// What comes before its arguments when it is run by rustup.
    prefix: &'static [&'static str],
}

/// The machine that builds.
struct Here;

struct Version {
    major: u32,
    minor: u32,
    llvm: u32,
    text: String,
}

// === impl Compiler ===

impl Compiler {
    fn new(path: PathBuf) -> Self {
        Self { path, prefix: &[] }
    }

    fn nightly() -> Self {
        Self { path: "rustup".into(), prefix: &["run", "nightly", "rustc"] }
    }

    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.path);
        // Asking must not make rustup download a toolchain.
        command.args(self.prefix).args(arguments).env("RUSTUP_AUTO_INSTALL", "0");
        let output =
            command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
        if !output.status.success() {
            return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn version(&self) -> Result<Version, String> {
        let text = self.run(&["-vV"])?;
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).and_then(
                |value| {
                    let mut parts = value.split('.').map_while(|part| part.parse().ok());
                    Some((parts.next()?, parts.next().unwrap_or(0)))
                },
            )
        };
        let (major, minor) = field("release")
            .ok_or_else(|| format!("cannot read the version of {}", self.path.display()))?;
        let (llvm, _) = field("LLVM version").unwrap_or((0, 0));
        let text = text.lines().next().unwrap_or_default().to_owned();
        Ok(Version { major, minor, llvm, text })
    }

    fn has_core(&self) -> bool {
        let Ok(directory) =
            self.run(&["--print", "target-libdir", "--target", "bpfel-unknown-none"])
        else {
            return false;
        };
        fs::read_dir(directory.trim()).is_ok_and(|entries| {
            entries
                .flatten()
                .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
        })
    }

    fn has_sources(&self) -> bool {
        self.run(&["--print", "sysroot"]).is_ok_and(|sysroot| {
            Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core").is_dir()
        })
    }
}

// === impl Here ===

impl Machine for Here {
    fn exists(&self, rustc: &Path) -> bool {
        rustc.exists()
    }

    fn has_core(&self, rustc: &Path) -> bool {
        Compiler::new(rustc.to_owned()).has_core()
    }

    fn has_sources(&self, rustc: &Path) -> bool {
        Compiler::new(rustc.to_owned()).has_sources()
    }

    fn has_nightly(&self) -> bool {
        let nightly = Compiler::nightly();
        nightly.version().is_ok() && nightly.has_sources()
    }
}

fn setting(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn required(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("cargo has not set {name}"))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to)
        .map(drop)
        .map_err(|error| format!("cannot copy {} to {}: {error}", from.display(), to.display()))
}

fn write(path: &Path, content: &[u8]) -> Result<(), String> {
    fs::write(path, content).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
