//! The `genkan` binary: command line, then `app`.

use std::process::ExitCode;

use clap::Parser;
use genkan::app;
use genkan::cli::{Cli, Serve};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // The first call fixes the start of the process.
    genkan::metrics::process::uptime();
    let cli = Cli::parse();
    match cli.execute(Serve { run: app::run, agent: app::agent, proxy: app::proxy }) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
