//! Logging: what is written, where and in which form.
//!
//! Diagnostics go to standard error, one line each; targets are `genkan::...`.

use std::io;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

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
    let filter = EnvFilter::builder().parse(filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let set = match format {
        Format::Text => {
            let colours = io::IsTerminal::is_terminal(&io::stderr());
            lines.with_ansi(colours).try_init()
        }
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
    set.map_err(|error| anyhow::anyhow!("{error}"))
}
