//! `cargo xtask deploy`: what is made from the Helm chart, and the programs that make it.
//!
//! `deploy/chart` is written by hand. All of `deploy/base` and `deploy/overlays` is made from it, so
//! that the two ways to install Genkan cannot drift apart.

mod kustomize;
mod manifest;
mod render;
mod tools;

use std::process::ExitCode;

use anyhow::Result;

pub(crate) use render::check;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make deploy/base and deploy/overlays from deploy/chart
    Render {
        /// Change nothing; fail when one of them is not what would be made
        #[arg(long)]
        check: bool,
    },
    /// Build Helm and Kustomize once and print where they are
    Tools,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Render { check: false } => {
            for file in render::write(&tools::built()?)? {
                println!("wrote {file}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Render { check: true } => {
            let found = render::check(Some(&tools::built()?))?;
            for line in &found.wrong {
                eprintln!("{line}");
            }
            Ok(if found.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Tools => {
            println!("{}", tools::built()?.directory().display());
            Ok(ExitCode::SUCCESS)
        }
    }
}
