//! The command line: what can be asked for, and nothing of how it is done.
//!
//! One file per command. A command turns its arguments into plain values, calls the module that
//! does the work, and prints. Exit codes: 0 done, 1 not done or problems found, 2 usage.

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::telemetry::{self, Format, Patience};

pub mod agent;
pub mod ask;
pub mod check;
pub mod completions;
pub mod config;
pub mod convert;
pub mod detach;
pub mod drain;
pub mod explain;
pub mod flow;
pub mod launch;
pub mod man;
pub mod probe;
pub mod proxy;
pub mod reference;
pub mod reload;
pub mod run;
pub mod status;
mod table;
#[cfg(feature = "tui")]
pub mod top;
pub mod version;

pub use agent::AgentOptions;
pub use proxy::ProxyOptions;
pub use run::RunOptions;

/// Genkan: the entrance of a Kubernetes cluster that owns its own edge.
#[derive(Debug, Parser)]
#[command(name = "genkan", disable_version_flag = true, subcommand_required = true)]
#[command(arg_required_else_help = true)]
pub struct Cli {
    /// What is logged: a level, or levels by target such as `info,genkan::source=debug`.
    #[arg(long, env = "GENKAN_LOG", default_value = "info", global = true, value_name = "FILTER")]
    log: String,

    /// Form of a log line on standard error.
    #[arg(long, env = "GENKAN_LOG_FORMAT", default_value = "text", global = true)]
    #[arg(value_name = "FORMAT")]
    log_format: Format,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve: agent and proxy in one process.
    Run(run::Arguments),
    /// Serve without the data side: cluster, kernel and announcements, for a proxy of its own.
    Agent(agent::Arguments),
    /// Serve the data side for an agent: no rights, no capability, no root.
    Proxy(proxy::Arguments),
    /// Read manifests and say what would be refused, and why.
    Check(check::Arguments),
    /// Print manifests with their old Ingress versions as networking.k8s.io/v1.
    Convert(convert::Arguments),
    /// Say which rule, endpoint and certificate a request would get, and why not the others.
    Explain(explain::Arguments),
    /// Say what the kernel programs would do with a packet.
    Flow(flow::Arguments),
    /// Say what a running process serves and how it does.
    Status(status::Arguments),
    /// Watch a running process: VIPs, routes, endpoints, workers, drops.
    #[cfg(feature = "tui")]
    Top(top::Arguments),
    /// Take programs, links, maps and VIP routes off this node.
    Detach(detach::Arguments),
    /// Ask a running process whether it is live or ready; the answer is the exit code.
    Probe(probe::Arguments),
    /// Ask a running process to drain: finish its requests and end.
    Drain(drain::Arguments),
    /// Print the configuration in force and where each value is from.
    Config(config::Arguments),
    /// Print completions for a shell.
    Completions(completions::Arguments),
    /// Write the manual pages.
    Man(man::Arguments),
    /// Replace the process that serves by a new one of the program on disk; no connection is lost.
    Reload(reload::Arguments),
    /// Print the version.
    Version(version::Arguments),
    #[command(hide = true)]
    Launch(launch::Arguments),
}

/// Form of what a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    #[default]
    Text,
    Json,
}

/// How the process ends after a mistake of the caller.
pub(crate) const USAGE: u8 = 2;

/// What the commands that serve do.
#[derive(Clone, Copy)]
pub struct Serve {
    pub run: fn(RunOptions) -> anyhow::Result<ExitCode>,
    pub agent: fn(AgentOptions) -> anyhow::Result<ExitCode>,
    pub proxy: fn(ProxyOptions) -> anyhow::Result<ExitCode>,
}

// === impl Cli ===

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    ///
    /// What kept the command from being done, for standard error and exit code 1.
    pub fn execute(self, serve: Serve) -> anyhow::Result<ExitCode> {
        let serves =
            matches!(self.command, Command::Run(_) | Command::Agent(_) | Command::Proxy(_));
        let patience = if serves { Patience::Serves } else { Patience::Waits };
        // Until all is said.
        let _log = match telemetry::init(&self.log, self.log_format, patience) {
            Ok(log) => log,
            Err(error) => {
                eprintln!("error: --log: {error}");
                return Ok(ExitCode::from(USAGE));
            }
        };
        match self.command {
            Command::Run(arguments) => match arguments.into_options(std::env::vars()) {
                Ok(options) => {
                    config::tell(&options);
                    (serve.run)(options)
                }
                Err(errors) => Ok(run::refuse(&errors)),
            },
            Command::Agent(arguments) => match arguments.into_options(std::env::vars()) {
                Ok(options) => {
                    config::tell(&options.run);
                    (serve.agent)(options)
                }
                Err(errors) => Ok(run::refuse(&errors)),
            },
            Command::Proxy(arguments) => (serve.proxy)(arguments.into_options()),
            Command::Check(arguments) => arguments.execute(&mut std::io::stdout().lock()),
            Command::Convert(arguments) => arguments.execute(&mut std::io::stdout().lock()),
            Command::Explain(arguments) => {
                arguments.execute(std::env::vars(), &mut std::io::stdout().lock())
            }
            Command::Flow(arguments) => arguments.execute(&mut std::io::stdout().lock()),
            #[cfg(feature = "tui")]
            Command::Top(arguments) => arguments.execute(),
            Command::Status(arguments) => arguments.execute(&mut std::io::stdout().lock()),
            Command::Detach(arguments) => arguments.execute(&mut std::io::stdout().lock()),
            Command::Probe(arguments) => arguments.execute(&mut std::io::stdout().lock()),
            Command::Drain(arguments) => arguments.execute(&mut std::io::stdout().lock()),
            Command::Config(arguments) => {
                arguments.execute(std::env::vars(), &mut std::io::stdout().lock())
            }
            Command::Completions(arguments) => arguments.execute(&mut std::io::stdout().lock()),
            Command::Man(arguments) => arguments.execute(&mut std::io::stdout().lock()),
            Command::Reload(arguments) => arguments.execute(&mut std::io::stdout().lock()),
            Command::Launch(arguments) => arguments.execute(),
            Command::Version(arguments) => arguments.execute(&mut std::io::stdout().lock()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn unknown_arguments_end_with_the_usage_code() {
        for arguments in [
            &["genkan"][..],
            &["genkan", "serve"],
            &["genkan", "check"],
            &["genkan", "run", "--manifests", "m"],
            &["genkan", "run", "--manifests", "m", "--config", "c", "--workers", "none"],
        ] {
            let error = Cli::try_parse_from(arguments).unwrap_err();
            assert_eq!(error.exit_code(), i32::from(USAGE), "{arguments:?}");
        }
    }
}
