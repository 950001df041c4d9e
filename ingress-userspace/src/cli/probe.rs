//! `genkan probe`: the exec probes of a pod.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::ask::Target;

#[derive(Debug, Args)]
pub struct Arguments {
    /// What to ask.
    #[arg(default_value = "ready")]
    what: What,

    #[command(flatten)]
    target: Target,
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
        let target = match self.what {
            What::Live => "/livez",
            What::Ready => "/readyz",
        };
        let answer = self.target.client().get(target)?;
        out.write_all(&answer.body)?;
        Ok(if answer.status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
