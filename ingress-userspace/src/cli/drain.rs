//! `genkan drain`: the pre-stop hook of a pod, or an operator's farewell to a node.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::Method;
use serde_json::json;

use super::Output;
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

    /// Form of the answer.
    #[arg(long, short, default_value = "text")]
    output: Output,
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
        if self.output == Output::Text {
            writeln!(out, "process {process} drains")?;
        }
        if self.wait {
            while !has_ended(&pid(&client), process) {
                sleep(LOOK);
            }
        }
        match self.output {
            Output::Text if self.wait => writeln!(out, "process {process} has ended")?,
            Output::Text => {}
            Output::Json => writeln!(out, "{:#}", json!({"pid": process, "ended": self.wait}))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Nobody is behind the socket, or somebody else. A process that is too busy to answer is there.
fn has_ended(answer: &Result<u32, ClientError>, process: u32) -> bool {
    match answer {
        Ok(now) => *now != process,
        Err(ClientError::Connect { error, .. }) => {
            matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
        }
        Err(_) => false,
    }
}

/// Who answers; a successor has another number.
fn pid(client: &Client) -> Result<u32, ClientError> {
    Ok(client.document::<Status>("/status?lists=")?.process.pid)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn unreachable(kind: ErrorKind) -> Result<u32, ClientError> {
        Err(ClientError::Connect { socket: "admin.sock".into(), error: kind.into() })
    }

    #[test]
    fn process_that_does_not_answer_in_time_has_not_ended() {
        let late = ClientError::Late(Duration::from_secs(10));
        let (status, message) = (StatusCode::SERVICE_UNAVAILABLE, String::new());
        let busy = ClientError::Refused { status, message };
        for answer in [Ok(7), Err(late), Err(busy), unreachable(ErrorKind::WouldBlock)] {
            assert!(!has_ended(&answer, 7), "{answer:?}");
        }
        let gone = [ErrorKind::NotFound, ErrorKind::ConnectionRefused].map(unreachable);
        for answer in gone.into_iter().chain([Ok(8)]) {
            assert!(has_ended(&answer, 7), "{answer:?}");
        }
    }
}
