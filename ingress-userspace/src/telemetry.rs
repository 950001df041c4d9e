//! Logging: what is written, where and in which form.
//!
//! Diagnostics go to standard error, one line each; targets are `genkan::...`. What is written can
//! be changed while the process runs ([`level`]); one place of the code that has much to say is cut
//! short and the rest counted ([`budget`]).

use std::io;

use clap::ValueEnum;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, reload};

pub mod budget;
pub mod level;

use budget::Budget;

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// Sets the process's logger. `filter` is a level, or levels by target such as
/// `info,genkan::source=debug`.
///
/// # Errors
///
/// A filter that does not parse, or a second call.
pub fn init(filter: &str, format: Format) -> anyhow::Result<()> {
    let (chosen, handle) = reload::Layer::new(EnvFilter::builder().parse(filter)?);
    // A line that cannot be written is lost. To say so on the same stream would panic.
    let lines = fmt::layer().with_writer(io::stderr).log_internal_errors(false);
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
    Ok(())
}
