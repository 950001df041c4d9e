//! `cargo xtask soak`: mixed load, edits and take-overs for a quarter of an hour; nothing may be
//! lost, and nothing may grow.
//!
//! The story itself is `ingress-userspace/src/testing/story/soak.rs`. Here: what it needs, its
//! progress, its limit.

use std::io::{BufRead, BufReader, IsTerminal, stdout};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::program::{self, Program};
use crate::progress::Step;
use crate::setup::{self, Purpose};
use crate::workspace;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long the load runs
    #[arg(long, default_value_t = 15, value_name = "N")]
    minutes: u32,
    /// Processes that replace each other; 4 in 3 minutes when absent
    #[arg(long, value_name = "N")]
    take_overs: Option<u32>,
}

/// Seconds between two lines of progress where there is no terminal.
const LINES: u64 = 30;

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if !program::is_root() {
        bail!("the soak makes network namespaces and loads kernel programs: run it as root");
    }
    setup::prepare(Purpose::Test)?;
    let step = Step::begin("build genkan and the soak");
    Program::cargo()
        .args(["build", "--workspace", "--bin", "genkan", "--example", "soak", "--locked"])
        .checked(&step, "soak-build")?;
    step.ok("");
    let seconds = arguments.minutes * 60;
    let take_overs = arguments.take_overs.unwrap_or(arguments.minutes * 4 / 3);
    let good = watch(seconds, take_overs)?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Shows its progress and prints everything else.
fn watch(seconds: u32, take_overs: u32) -> Result<bool> {
    let soak = workspace::target().join("debug/examples/soak");
    let log = workspace::own("log")?.join("soak.log");
    let errors =
        std::fs::File::create(&log).with_context(|| format!("create {}", log.display()))?;
    let mut child = Command::new(&soak)
        .args([seconds.to_string(), take_overs.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .with_context(|| format!("start {}", soak.display()))?;
    let bar = stdout().is_terminal().then(|| bar(seconds));
    let mut lines = 0;
    let output = child.stdout.take().context("the output of the soak")?;
    for line in BufReader::new(output).lines() {
        let line = line.context("read the output of the soak")?;
        match (line.strip_prefix("progress: "), &bar) {
            (Some(progress), Some(bar)) => {
                bar.set_position(elapsed(progress));
                bar.set_message(progress.to_owned());
            }
            (Some(progress), None) => {
                if elapsed(progress) / LINES > lines {
                    lines = elapsed(progress) / LINES;
                    println!("   {progress}");
                }
            }
            (None, Some(bar)) => bar.println(line),
            (None, None) => println!("{line}"),
        }
    }
    let status = child.wait().context("wait for the soak")?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    if !status.success() {
        eprintln!("error: the soak ended with {status}; its log: {}", log.display());
    }
    Ok(status.success())
}

fn bar(seconds: u32) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {elapsed} {wide_msg:.dim}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(seconds.into()).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

/// The seconds with which a line of progress begins.
fn elapsed(progress: &str) -> u64 {
    progress.split(' ').next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::elapsed;

    #[test]
    fn the_time_is_read_from_a_line_of_progress() {
        assert_eq!(elapsed("75 s, 1200 requests"), 75);
        assert_eq!(elapsed("nothing"), 0);
    }
}
