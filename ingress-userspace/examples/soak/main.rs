//! `cargo xtask soak`: mixed load, edits and take-overs for minutes; figures at the end.
//!
//! Arguments: seconds, take-overs. A line of progress each second, then the summary; ends with 1 when
//! anything was lost or has grown.
#![allow(clippy::unwrap_used, reason = "a program of the developers")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use genkan::testing::story::soak::{Plan, soak};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u32>().unwrap());
    let mut next = || arguments.next().expect("seconds and take-overs");
    let (seconds, take_overs) = (next(), next());
    let plan = Plan { duration: Duration::from_secs(seconds.into()), take_overs };
    let summary = soak(program(), plan, |progress| println!("progress: {progress}"));
    print!("{summary}");
    if summary.complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The program beside this one: `target/PROFILE/examples/soak` and `target/PROFILE/genkan`.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().and_then(|examples| examples.parent()).unwrap().join("genkan")
}
