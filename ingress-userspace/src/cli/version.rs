//! `genkan version`.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::Output;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Form of the answer.
    #[arg(long, short, default_value = "text")]
    output: Output,
}

// === impl Arguments ===

impl Arguments {
    /// # Errors
    ///
    /// When `out` does not take the answer.
    pub fn execute(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let version = env!("CARGO_PKG_VERSION");
        match self.output {
            Output::Text => writeln!(out, "genkan {version}")?,
            Output::Json => writeln!(
                out,
                "{}",
                json!({"name": "genkan", "version": version, "architecture": std::env::consts::ARCH})
            )?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
