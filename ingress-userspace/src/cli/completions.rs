//! `genkan completions SHELL`.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Put the output where the shell looks for it, such as
    /// `/usr/share/bash-completion/completions/genkan`.
    shell: Shell,
}

// === impl Arguments ===

impl Arguments {
    /// # Errors
    ///
    /// When `out` does not take the completions.
    pub fn execute(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        // clap_complete panics when a write fails; a closed pipe is no reason to.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "genkan", &mut script);
        out.write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_learns_every_command() {
        let commands: Vec<String> =
            Cli::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
        for &shell in Shell::value_variants() {
            let mut out = Vec::new();
            Arguments { shell }.execute(&mut out).unwrap();
            let script = String::from_utf8(out).unwrap();
            for command in &commands {
                assert!(script.contains(command.as_str()), "{shell}: {command}");
            }
        }
    }
}
