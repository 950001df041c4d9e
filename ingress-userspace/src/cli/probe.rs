//! `genkan probe`: the exec probes of a pod.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::Output;
use super::ask::Target;
use crate::admin::status::Readiness;

#[derive(Debug, Args)]
pub struct Arguments {
    /// What to ask.
    #[arg(default_value = "ready")]
    what: What,

    #[command(flatten)]
    target: Target,

    /// `json`: whether, and for `ready` the conditions as in the status document.
    #[arg(long, short, default_value = "text")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Should the process be left running?
    Live,
    /// Should traffic be sent to it?
    Ready,
}

// === impl Arguments ===

impl Arguments {
    /// Exit code 0: yes.
    ///
    /// # Errors
    ///
    /// When there is no answer, or `out` does not take it.
    pub fn execute(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let target = match (self.what, self.output) {
            (What::Live, _) => "/livez",
            (What::Ready, Output::Text) => "/readyz",
            (What::Ready, Output::Json) => "/readyz?output=json",
        };
        let answer = self.target.client().get(target)?;
        match (self.what, self.output) {
            (_, Output::Text) => out.write_all(&answer.body)?,
            (What::Live, Output::Json) => {
                let message = answer.text();
                let live = answer.status.is_success();
                writeln!(out, "{:#}", json!({"live": live, "message": message.trim()}))?;
            }
            (What::Ready, Output::Json) => {
                let readiness: Readiness = serde_json::from_slice(&answer.body)
                    .with_context(|| answer.text().trim().to_owned())?;
                writeln!(out, "{:#}", serde_json::to_value(&readiness)?)?;
            }
        }
        Ok(if answer.status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
