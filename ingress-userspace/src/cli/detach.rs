//! `genkan detach`: takes everything that Genkan left in the kernel off this node.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::Output;
use crate::dataplane::{self, Pins};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Also while a process serves: its VIPs are not served any more then.
    #[arg(long)]
    force: bool,

    /// Form of the answer.
    #[arg(long, short, default_value = "text")]
    output: Output,
}

// === impl Arguments ===

impl Arguments {
    /// # Errors
    ///
    /// What could not be removed, and when `out` does not take the answer.
    pub fn execute(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("runtime")?;
        let detached = runtime.block_on(dataplane::detach(&Pins::default(), self.force))?;
        if self.output == Output::Json {
            let answer = json!({"pins": detached.pins, "routes": detached.routes});
            writeln!(out, "{answer:#}")?;
            return Ok(ExitCode::SUCCESS);
        }
        writeln!(
            out,
            "{} links and maps, {} routes removed",
            detached.pins,
            detached.routes.len()
        )?;
        for route in detached.routes {
            writeln!(out, "route of {route}")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
