//! `genkan drain`: the pre-stop hook of a pod, or an operator's farewell to a node.

use std::io::Write;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::Method;

use super::ask::Target;
use crate::admin::client::{Client, ClientError};
use crate::admin::status::Status;

/// Between two looks at a process that drains.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub struct Arguments {
    /// Return when the process has ended, not when it has begun to drain.
    #[arg(long)]
    wait: bool,

    #[command(flatten)]
    target: Target,
}

// === impl Arguments ===

impl Arguments {
    /// # Errors
    ///
    /// When the process does not begin to drain, or `out` does not take the answer.
    pub fn execute(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let client = self.target.client();
        let process = pid(&client)?;
        client.ask(Method::POST, "/drain", Bytes::new())?.or_refused()?;
        writeln!(out, "process {process} drains")?;
        if self.wait {
            while pid(&client).is_ok_and(|now| now == process) {
                sleep(LOOK);
            }
            writeln!(out, "process {process} has ended")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Who answers; a successor has another number.
fn pid(client: &Client) -> Result<u32, ClientError> {
    Ok(client.document::<Status>("/status?lists=")?.process.pid)
}
