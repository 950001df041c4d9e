//! `genkan top`: what a running process does, in a terminal, once a second.
//!
//! The screen's state and its drawing are in [`screen`]; here the process is asked, keys are read,
//! and the terminal is given back, also after a panic.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use super::ask::Target;
use crate::admin::status::Status;

mod screen;

use screen::Screen;

/// Between two questions.
const REFRESH: Duration = Duration::from_secs(1);
const QUESTION: &str = "/status?lists=routes,clusters,problems&limit=1000";

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
}

// === impl Arguments ===

impl Arguments {
    /// Keys: `1` to `5` or Tab choose a list, `s` its order, `/` a filter, `q` ends.
    ///
    /// # Errors
    ///
    /// When no process answers at the start, or there is no terminal.
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let client = self.target.client();
        let ask = || client.document::<Status>(QUESTION).map_err(|error| error.to_string());
        let first = ask().map_err(anyhow::Error::msg)?;
        let mut screen = Screen::new(first);
        let mut terminal = ratatui::try_init()?;
        let ended = watch(&mut terminal, &mut screen, ask);
        ratatui::restore();
        ended?;
        Ok(ExitCode::SUCCESS)
    }
}

fn watch(
    terminal: &mut DefaultTerminal,
    screen: &mut Screen,
    ask: impl Fn() -> Result<Status, String>,
) -> std::io::Result<()> {
    let mut next = Instant::now() + REFRESH;
    loop {
        terminal.draw(|frame| screen.draw(frame))?;
        if event::poll(next.saturating_duration_since(Instant::now()))? {
            if let Event::Key(key) = event::read()?
                && key.kind == KeyEventKind::Press
                && screen.key(key)
            {
                return Ok(());
            }
        } else {
            screen.update(ask());
            next = Instant::now() + REFRESH;
        }
    }
}
