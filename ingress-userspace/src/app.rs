//! (being written)

use std::process::ExitCode;

use crate::cli::RunOptions;

/// Serves until it is told to stop.
///
/// # Errors
///
/// What kept it from serving.
pub fn run(options: RunOptions) -> anyhow::Result<ExitCode> {
    anyhow::bail!("{}: serving is not wired yet", options.manifests.display())
}
