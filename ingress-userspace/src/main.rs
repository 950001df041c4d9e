//! The `genkan` binary: command line, then `app`.

use std::process::ExitCode;

use clap::Parser;
use genkan::cli::Cli;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // The first call fixes the start of the process.
    genkan::metrics::process::uptime();
    let cli = Cli::parse();
    match cli.execute(genkan::app::run) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
