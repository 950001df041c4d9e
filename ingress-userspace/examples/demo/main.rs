//! The demo: client, router, edge node and pods as network namespaces; the real program at the
//! edge, with its XDP and socket-lookup programs; the example manifests served one set after the
//! other, and asked through the VIP from the client.
//!
//! Started by `cargo xtask demo`, as root. Prints each request as it is made, then one table. Every
//! answer is compared with what the manifests promise: the exit code is 0 only when all are right.
//! The namespaces go at the end, after a failure and on Ctrl-C; with `--keep` they stay until the
//! process is told to end.

mod acts;
mod hints;
mod stage;
mod table;

use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result};
use genkan::testing::lab;
use nix::sys::signal::{SigSet, Signal};

use stage::Stage;

/// Namespaces are named `genkan-demo-<host>`.
const LAB: &str = "genkan-demo";

fn main() -> ExitCode {
    let keep = std::env::args().any(|argument| argument == "--keep");
    let signals = match watch_signals() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let (done, outcome) = mpsc::channel();
    thread::spawn(move || drop(done.send(perform(keep))));
    // A panic inside drops the sender; its message is on standard error already.
    let right = match outcome.recv() {
        Ok(Ok((stage, right))) => {
            if keep {
                hints::print(&stage);
                signals.wait();
            }
            drop(stage);
            right
        }
        Ok(Err(error)) => {
            eprintln!("error: {error:#}");
            false
        }
        Err(mpsc::RecvError) => false,
    };
    lab::remove_named(LAB);
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The whole play; answers with what stands, and whether every answer was right.
fn perform(keep: bool) -> Result<(Stage, bool)> {
    let mut stage = Stage::set(LAB, keep)?;
    let mut rows = Vec::new();
    for act in acts::all() {
        println!("\n== {}", act.title);
        rows.extend(stage.play(&act)?);
    }
    let right = rows.iter().all(|row| row.wrong.is_none());
    table::print(&rows, &stage);
    Ok((stage, right))
}

/// Told to end: by Ctrl-C, by a closed terminal, by `cargo xtask demo --down`.
struct Signals {
    arrived: mpsc::Receiver<Signal>,
}

impl Signals {
    /// Until the first signal.
    fn wait(&self) {
        // No sender any more means that no signal can come: end.
        self.arrived.recv().ok();
    }
}

/// Before the play is over a signal removes the namespaces and ends the process.
fn watch_signals() -> Result<Signals> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        set.add(signal);
    }
    // Before any thread is made, so that all threads inherit it.
    set.thread_block().context("block signals")?;
    let (sender, arrived) = mpsc::channel();
    thread::spawn(move || {
        if let Ok(signal) = set.wait() {
            println!("\nending: {signal}");
            if !hints::STANDING.load(std::sync::atomic::Ordering::Acquire) {
                stage::clear(LAB);
                std::process::exit(128 + signal as i32);
            }
            sender.send(signal).ok();
        }
    });
    Ok(Signals { arrived })
}
