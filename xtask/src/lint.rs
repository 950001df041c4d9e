//! `cargo xtask lint`: everything that is judged without running the product.

mod bpf;
mod citations;
mod layers;
mod lengths;
mod licences;
mod places;
mod source;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::program::Program;
use crate::progress::Step;
use crate::setup::{self, Purpose};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run only these checks
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Check>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Check {
    /// rustfmt
    Format,
    /// Imports of the userspace crate against the layer table
    Layers,
    /// File lengths and `mod.rs`
    Lengths,
    /// Names of rules and documents in comments, tests and documents
    Citations,
    /// `unsafe` outside its places, paths of one machine
    Places,
    /// What is made from the Helm chart is what would be made
    Deploy,
    /// Licences, bans and (where the database can be fetched) advisories of dependencies
    Licences,
    /// clippy on the whole workspace
    Clippy,
    /// clippy on the kernel programs, for the kernel's target
    Bpf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::prepare(Purpose::Lint)?;
    let failed = check(&arguments.only);
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the named checks (all when none is named), cheap ones first; returns those that failed.
pub(crate) fn check(only: &[Check]) -> Vec<Check> {
    let chosen = |check: &Check| only.is_empty() || only.contains(check);
    let mut failed = Vec::new();
    for &check in Check::value_variants().iter().filter(|check| chosen(check)) {
        let name = check.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned());
        let step = Step::begin(format!("lint {name}"));
        match one(check, &step) {
            Ok(Outcome::Passed(detail)) => step.ok(&detail),
            Ok(Outcome::Skipped(reason)) => step.skipped(&reason),
            Err(error) => {
                step.failed("");
                eprintln!("{error:#}");
                failed.push(check);
            }
        }
    }
    failed
}

/// What a check that found nothing wrong has to say.
enum Outcome {
    Passed(String),
    Skipped(String),
}

fn one(check: Check, step: &Step) -> Result<Outcome> {
    match check {
        Check::Format => {
            Program::cargo().args(["fmt", "--all", "--check"]).checked(step, "lint-format")?;
            Ok(Outcome::Passed(String::new()))
        }
        Check::Layers => findings(layers::check()?),
        Check::Lengths => findings(lengths::check()?),
        Check::Citations => findings(citations::check()?),
        Check::Places => findings(places::check()?),
        Check::Deploy => {
            let found = crate::deploy::check(None)?;
            let skipped = found.skipped.map_or_else(String::new, |why| format!("; not {why}"));
            let summary = format!("{} files{skipped}", found.files);
            findings(Findings { wrong: found.wrong, summary })
        }
        Check::Licences => licences::check(step),
        Check::Clippy => {
            Program::cargo()
                .args(["clippy", "--workspace", "--all-targets", "--locked"])
                .args(["--", "-D", "warnings"])
                .checked(step, "lint-clippy")?;
            Ok(Outcome::Passed(String::new()))
        }
        Check::Bpf => bpf::check(step),
    }
}

/// What a check of the sources found.
struct Findings {
    /// `path:line: what is wrong and what to do`.
    wrong: Vec<String>,
    summary: String,
}

fn findings(found: Findings) -> Result<Outcome> {
    if found.wrong.is_empty() {
        return Ok(Outcome::Passed(found.summary));
    }
    bail!("{}", found.wrong.join("\n"))
}
