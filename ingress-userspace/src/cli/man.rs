//! `genkan man`: the manual pages, made from the same definition as `--help`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, CommandFactory};

use super::Cli;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Directory for `genkan.1` and a page for each command.
    #[arg(value_name = "DIR", required_unless_present = "stdout")]
    directory: Option<PathBuf>,

    /// Print the page of `genkan` instead: `genkan man --stdout | man -l -`.
    #[arg(long, conflicts_with = "directory")]
    stdout: bool,
}

// === impl Arguments ===

impl Arguments {
    /// # Errors
    ///
    /// When a page cannot be written.
    pub fn execute(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let mut command = Cli::command();
        command.build();
        match self.directory {
            None => clap_mangen::Man::new(command).render(out)?,
            Some(directory) => {
                let named = || directory.display().to_string();
                std::fs::create_dir_all(&directory).with_context(named)?;
                clap_mangen::generate_to(command, &directory).with_context(named)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_each_command() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Some(dir.path().to_owned());
        Arguments { directory, stdout: false }.execute(&mut Vec::new()).unwrap();
        let command = Cli::command();
        let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
        for name in shown.map(clap::Command::get_name) {
            let page = dir.path().join(format!("genkan-{name}.1"));
            let text = std::fs::read_to_string(&page).unwrap_or_else(|e| panic!("{page:?}: {e}"));
            assert!(text.contains(".SH SYNOPSIS"), "{name}");
        }
        let mut out = Vec::new();
        Arguments { directory: None, stdout: true }.execute(&mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains(".TH genkan 1"));
    }
}
