//! Cleaning up after an interrupted start: a process that outlives ours.
//!
//! It waits on a pipe whose other end only the starting process has. When that process ends
//! without a word, by Ctrl-C, a kill or a panic, the guard takes down what was started.

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use super::down;

const DONE: &[u8] = b"done";

/// A start under way.
pub(super) struct Guard {
    process: Child,
}

// === impl Guard ===

impl Guard {
    /// # Errors
    /// The guard can't be started.
    pub(super) fn begin(cluster: &str) -> Result<Self> {
        let program = std::env::current_exe().context("find our own program")?;
        let process = Command::new("setsid")
            .arg(program)
            .args(["cluster", "guard", "--name", cluster])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("start the guard")?;
        Ok(Self { process })
    }

    /// The start has ended, well or cleaned up.
    pub(super) fn done(mut self) {
        if let Some(mut pipe) = self.process.stdin.take() {
            // A guard that was killed needs no word.
            pipe.write_all(DONE).ok();
        }
        self.process.wait().ok();
    }
}

/// The guard itself.
///
/// # Errors
/// The interrupted start can't be cleaned up.
pub(super) fn run(cluster: &str) -> Result<ExitCode> {
    let mut said = Vec::new();
    io::stdin().read_to_end(&mut said).context("wait for the start to end")?;
    if said != DONE {
        eprintln!("interrupted; removing what was started");
        down::remove(cluster)?;
        eprintln!("cluster `{cluster}` is removed");
    }
    Ok(ExitCode::SUCCESS)
}
