//! Logging: what is written, where and in which form.
//!
//! Diagnostics go to standard error, one line each; targets are `genkan::...`. What is written can
//! be changed while the process runs ([`level`]); one place of the code that has much to say is cut
//! short and the rest counted ([`budget`]). A process that serves never waits for the reader of its
//! log ([`lines`]).

use std::io;

use clap::ValueEnum;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, reload};

pub mod budget;
pub mod level;
pub mod lines;
mod panics;

use budget::Budget;
pub use lines::Guard;

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// Who may wait for the reader of standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Whoever writes a line: commands, whose lines keep their place among others.
    Waits,
    /// Nobody: a process that serves. Panics are lines of the log.
    Serves,
}

/// Sets the process's logger. `filter` is a level, or levels by target such as
/// `info,genkan::source=debug`. What is returned has to live as long as lines are written.
///
/// # Errors
///
/// A filter that does not parse, or a second call.
pub fn init(filter: &str, format: Format, patience: Patience) -> anyhow::Result<Guard> {
    let (chosen, handle) = reload::Layer::new(EnvFilter::builder().parse(filter)?);
    let (writer, guard) = match patience {
        Patience::Waits => (BoxMakeWriter::new(io::stderr), Guard::default()),
        Patience::Serves => {
            let (lines, guard) = lines::to(io::stderr());
            (BoxMakeWriter::new(lines), guard)
        }
    };
    // A line that cannot be written is lost. To say so on the same stream would panic.
    let lines = fmt::layer().with_writer(writer).log_internal_errors(false);
    let lines = match format {
        Format::Text => lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(chosen)
        .with(Budget)
        .with(lines)
        .try_init()
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    level::keep(filter, handle);
    if patience == Patience::Serves {
        panics::log();
    }
    Ok(guard)
}

/// Says what was not logged since the last call: to be called every [`budget::WINDOW`].
pub fn tell() {
    budget::tell();
    lines::tell();
}
