//! `cargo xtask demo`: set-up, build, and the demo program of the userspace crate.
//!
//! The play itself is `ingress-userspace/examples/demo`. Here: what it needs, running it, and with
//! `--keep` leaving it in the background until `cargo xtask demo --down`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::program::{self, Program};
use crate::progress::Step;
use crate::setup::{self, Purpose};
use crate::workspace;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leave the lab up and print how to use it
    #[arg(long)]
    keep: bool,
    /// Remove a lab that was left up
    #[arg(long, conflicts_with = "keep")]
    down: bool,
}

/// What the program says when its lab stays up.
const STANDS: &str = "the lab stays up";
/// All of it, the wait for each set of manifests included.
const LIMIT: Duration = Duration::from_secs(600);
/// How long the program may take to clean up.
const FAREWELL: Duration = Duration::from_secs(30);

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if !program::is_root() {
        bail!("the demo makes network namespaces and loads kernel programs: run it as root");
    }
    let removed = take_down()?;
    if arguments.down {
        println!("{}", if removed { "the lab is removed" } else { "no lab is up" });
        return Ok(ExitCode::SUCCESS);
    }
    setup::prepare(Purpose::Demo)?;
    let step = Step::begin("build genkan and the demo");
    // The whole workspace's features, so that tests and demo share what is built.
    Program::cargo()
        .args(["build", "--workspace", "--bin", "genkan", "--example", "demo", "--locked"])
        .checked(&step, "demo-build")?;
    step.ok("");
    let demo = workspace::target().join("debug/examples/demo");
    let good = if arguments.keep { background(&demo)? } else { foreground(&demo)? };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// In the terminal; Ctrl-C reaches it and it cleans up.
fn foreground(demo: &Path) -> Result<bool> {
    Ok(play(demo).visible()?.success())
}

/// In a session of its own, shown until the play is over.
fn background(demo: &Path) -> Result<bool> {
    let log = workspace::own("log")?.join("demo.log");
    let output = File::create(&log).with_context(|| format!("create {}", log.display()))?;
    let mut child = Program::new("setsid")
        .args([demo.as_os_str(), "--keep".as_ref()])
        .env("GENKAN_EXAMPLES", workspace::root().join("deploy/examples"))
        .background(output)?;
    fs::write(pid_file()?, child.id().to_string()).context("note the demo's process id")?;
    let (started, mut shown) = (Instant::now(), 0);
    loop {
        let ended = child.try_wait().context("wait for the demo")?;
        let text = fs::read_to_string(&log).unwrap_or_default();
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        print!("{}", &text[shown..whole]);
        shown = whole;
        if text.contains(STANDS) {
            return Ok(true);
        }
        if let Some(status) = ended {
            return Ok(status.success());
        }
        if started.elapsed() > LIMIT {
            take_down()?;
            bail!("the demo took longer than {} s", LIMIT.as_secs());
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn play(demo: &Path) -> Program {
    Program::new(&demo.to_string_lossy())
        .env("GENKAN_EXAMPLES", workspace::root().join("deploy/examples"))
}

fn pid_file() -> Result<PathBuf> {
    Ok(workspace::own("run")?.join("demo.pid"))
}

/// Ends a demo that was left up; false when there is none.
fn take_down() -> Result<bool> {
    let file = pid_file()?;
    let Ok(pid) = fs::read_to_string(&file) else { return Ok(false) };
    fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
    let process = Path::new("/proc").join(pid.trim());
    let is_demo =
        || fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "demo");
    if !is_demo() {
        return Ok(false);
    }
    Program::new("kill").args(["-TERM", pid.trim()]).succeeds();
    let started = Instant::now();
    while is_demo() {
        if started.elapsed() > FAREWELL {
            bail!("the demo (process {}) does not end", pid.trim());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(true)
}
