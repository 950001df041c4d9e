//! `genkan reload`: the running process starts its successor, without a lost connection.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::Output;
use super::run::RUNTIME_DIR;
use crate::handover;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Runtime directory of the process that serves.
    #[arg(long, env = "GENKAN_RUNTIME_DIR", value_name = "DIR", default_value = RUNTIME_DIR)]
    runtime_dir: PathBuf,

    /// Form of the answer.
    #[arg(long, short, default_value = "text")]
    output: Output,
}

// === impl Arguments ===

impl Arguments {
    /// Waits until the new process serves.
    ///
    /// # Errors
    ///
    /// When it does not, and the old one serves on.
    pub fn execute(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let pid = handover::replace(&self.runtime_dir).context("not reloaded")?;
        match self.output {
            Output::Text => writeln!(out, "process {pid} serves")?,
            Output::Json => writeln!(out, "{:#}", json!({"pid": pid}))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
