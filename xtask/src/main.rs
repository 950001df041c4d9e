//! Genkan's developer commands; `cargo xtask help` lists them.
//!
//! Each command is one file that reads like its help text. They start other programs (cargo, apt,
//! clippy, the test binaries) and never link the product, so that `cargo xtask` itself builds in
//! seconds on a machine that has nothing but rustup and a C linker.

mod bench;
mod cluster;
mod conformance;
mod demo;
mod deploy;
mod ebpf;
mod image;
mod lint;
mod program;
mod progress;
mod setup;
mod soak;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Genkan's developer commands", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Find out what this machine lacks, say why it is needed, and install it
    Setup(setup::Arguments),
    /// The whole way of a request in network namespaces, with real manifests; needs root
    Demo(demo::Arguments),
    /// Format, clippy for host and kernel code, layers, file lengths, citations, unsafe, licences
    Lint(lint::Arguments),
    /// Set up, lint, and run every test; ends with the line `N passed, N failed, N skipped`
    Test(test::Arguments),
    /// A real Kubernetes on this machine, for tests and for trying things out; needs root
    Cluster(cluster::Arguments),
    /// Suites that judge an Ingress controller, on a real Kubernetes; needs root
    Conformance(conformance::Arguments),
    /// Load, edits and take-overs for minutes: nothing may be lost, nothing may grow; needs root
    Soak(soak::Arguments),
    /// Measure: kernel programs, routing, the proxy beside nginx; ratios with min-median-max
    Bench(bench::Arguments),
    /// Genkan's container image as an OCI archive; the same sources give the same bytes
    Image(image::Arguments),
    /// What is made from the Helm chart: manifests for Kustomize
    Deploy(deploy::Arguments),
    /// Build and inspect the kernel programs
    Ebpf(ebpf::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Setup(arguments) => setup::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Cluster(arguments) => cluster::run(&arguments),
        Command::Conformance(arguments) => conformance::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Deploy(arguments) => deploy::run(&arguments),
        Command::Ebpf(arguments) => ebpf::run(&arguments),
        Command::Image(arguments) => image::run(&arguments),
        Command::Lint(arguments) => lint::run(&arguments),
        Command::Soak(arguments) => soak::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Each command has a row in the document, with its flags and the values that they know.
    #[test]
    fn the_document_lists_commands_flags_and_values() {
        let path = workspace::root().join("deploy/docs/development.md");
        let document = std::fs::read_to_string(path).expect("the document");
        for command in Arguments::command().get_subcommands() {
            let start = format!("| `cargo xtask {}`", command.get_name());
            let row = document.lines().find(|line| line.starts_with(&start));
            let row = row.unwrap_or_else(|| panic!("no row {start}"));
            let words: Vec<&str> =
                row.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect();
            for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
                if let Some(flag) = argument.get_long().map(|long| format!("--{long}")) {
                    assert!(words.contains(&&*flag), "{start}: {flag}");
                }
                let takes_values = argument.get_action().takes_values();
                for value in argument.get_possible_values().iter().filter(|_| takes_values) {
                    assert!(words.contains(&value.get_name()), "{start}: {}", value.get_name());
                }
            }
            for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
                assert!(words.contains(&inner.get_name()), "{start}: {}", inner.get_name());
            }
        }
    }
}
