//! `cargo xtask test`: set-up, lint, and every test there is.
//!
//! The workspace is built once; then each test binary runs by itself with a deadline. The last
//! line is `N passed, N failed, N skipped` over all of them. As root nothing that needs root is
//! skipped: such a test fails instead.

mod binaries;
mod leftovers;
mod tally;

use std::env;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::ValueEnum;

use crate::cluster;
use crate::lint;
use crate::program::{self, Program};
use crate::progress::{Step, short};
use crate::setup::{self, Purpose};
use crate::workspace;
use binaries::Binary;
use tally::Tally;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
pub(crate) enum Part {
    /// `cargo xtask lint`
    Lint,
    /// Tests beside the code, of all crates
    Unit,
    /// Kernel programs in the kernel, by test runs; needs root
    Kernel,
    /// Stories in network namespaces; needs root
    Netns,
    /// Clients and servers that other people wrote; needs root
    Interop,
}

impl Part {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let chosen = |part: Part| arguments.only.is_empty() || arguments.only.contains(&part);
    setup::prepare(if arguments.only == [Part::Lint] { Purpose::Lint } else { Purpose::Test })?;
    if chosen(Part::Interop) {
        // Minutes, the first time: nobody else waits for it.
        setup::kubernetes()?;
    }
    let mut results = Vec::new();
    if chosen(Part::Lint) {
        let started = Instant::now();
        let failed = lint::check(&[]).len();
        results.push((Part::Lint, Tally { failed, ..Tally::default() }, started.elapsed()));
    }
    let parts: Vec<Part> = Part::value_variants()
        .iter()
        .copied()
        .filter(|part| *part != Part::Lint && chosen(*part))
        .collect();
    if !parts.is_empty() {
        leftovers::sweep();
        let binaries = binaries::build()?;
        for part in parts {
            let started = Instant::now();
            let tally = run_part(part, &binaries)?;
            results.push((part, tally, started.elapsed()));
        }
        leftovers::sweep();
    }
    println!();
    let mut total = Tally::default();
    for (part, tally, time) in &results {
        println!("{:<8} {:>7}   {tally}", part.name(), short(*time));
        total += *tally;
    }
    println!("{total}");
    let skipped_in_ci = total.skipped > 0 && env::var_os("CI").is_some();
    if skipped_in_ci {
        eprintln!("error: nothing may be skipped in CI");
    }
    let good = total.failed == 0 && !skipped_in_ci;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The part that loads the kernel programs, for `cargo xtask ebpf verify`.
pub(crate) fn run_kernel() -> Result<ExitCode> {
    run(&Arguments { only: vec![Part::Kernel] })
}

fn run_part(part: Part, binaries: &[Binary]) -> Result<Tally> {
    let mut tally = Tally::default();
    for binary in binaries.iter().filter(|binary| binary.part == part) {
        tally += run_binary(part, binary)?;
    }
    if part == Part::Unit {
        tally += examples_in_docs()?;
    }
    Ok(tally)
}

fn run_binary(part: Part, binary: &Binary) -> Result<Tally> {
    let step = Step::begin(format!("{} {}", part.name(), binary.label()));
    if !binary.needs_root_only() || program::is_root() {
        let mut test = binary.program();
        if let Some(interop) = setup::interop_directory() {
            test = test.env("GENKAN_INTEROP_DIR", interop);
        }
        if part == Part::Interop
            && let Ok(kubernetes) = cluster::kubernetes_program()
        {
            test = test.env("GENKAN_KUBERNETES", kubernetes);
        }
        if is_strict(part) {
            test = test.env("GENKAN_TEST_STRICT", "1");
        }
        let ended = test.logged(&step, &format!("test-{}", binary.label().replace('/', "-")))?;
        return Ok(report(step, &ended));
    }
    step.skipped("needs root");
    Ok(Tally { skipped: 1, ..Tally::default() })
}

/// A missing privilege or tool fails the test instead of skipping it: always as root, and in CI
/// also when the programs of other people are missing.
fn is_strict(part: Part) -> bool {
    let built = || setup::interop_directory().is_some() && cluster::kubernetes_program().is_ok();
    let complete = part != Part::Interop || built();
    program::is_root() && (complete || env::var_os("CI").is_some())
}

fn examples_in_docs() -> Result<Tally> {
    let step = Step::begin("unit examples in documentation");
    let ended = Program::cargo()
        .args(["test", "--workspace", "--doc", "--locked"])
        .logged(&step, "test-doc")?;
    Ok(report(step, &ended))
}

fn report(step: Step, ended: &program::Ended) -> Tally {
    let tally = tally::read(&ended.log, ended.success);
    if tally.failed == 0 {
        step.ok(&tally.to_string());
    } else {
        step.failed(&tally.to_string());
        let log = ended.log.strip_prefix(workspace::root()).unwrap_or(&ended.log);
        eprintln!("{}\n({}; whole log: {})", tally::failures(&ended.log), ended.how, log.display());
    }
    tally
}
