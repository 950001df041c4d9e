//! One line per step: a spinner with the last line of output on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stdout};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A step under way. Dropping it without an outcome leaves no line on a terminal.
pub(crate) struct Step {
    name: String,
    started: Instant,
    spinner: Option<ProgressBar>,
}

impl Step {
    pub(crate) fn begin(name: impl Into<String>) -> Self {
        let name = name.into();
        let spinner = stdout().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg:.dim}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::new_spinner().with_style(style).with_prefix(name.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if spinner.is_none() {
            println!(".. {name}");
        }
        Self { name, started: Instant::now(), spinner }
    }

    /// What is happening right now; shown only on a terminal.
    pub(crate) fn note(&self, text: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(text.to_owned());
        }
    }

    pub(crate) fn ok(self, detail: &str) {
        self.end("ok", detail);
    }

    pub(crate) fn failed(self, detail: &str) {
        self.end("FAILED", detail);
    }

    pub(crate) fn skipped(self, reason: &str) {
        self.end("skipped", reason);
    }

    fn end(self, outcome: &str, detail: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        let separator = if detail.is_empty() { "" } else { ": " };
        println!("{outcome} {}{separator}{detail} ({})", self.name, short(self.started.elapsed()));
    }
}

/// `0.4 s`, `12 s`, `3 min 20 s`.
pub(crate) fn short(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 10.0 {
        format!("{seconds:.1} s")
    } else if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}
