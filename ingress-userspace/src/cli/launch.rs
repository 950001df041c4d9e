//! `genkan launch`: the process between one that serves and its successor. Hidden.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::handover;

#[derive(Debug, Args)]
pub struct Arguments {
    program: PathBuf,

    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

// === impl Arguments ===

impl Arguments {
    /// Starts the program and tells of its end, on the socket that is the standard input.
    ///
    /// # Errors
    ///
    /// When standard input is no such socket.
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        handover::launch(&self.program, &self.arguments)?;
        Ok(ExitCode::SUCCESS)
    }
}
