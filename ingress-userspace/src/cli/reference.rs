//! `deploy/docs/cli.md`, made from the definition of the command line.

use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};

use super::Cli;

const HEAD: &str = "\
# Command line

Made from the program's own definition (`genkan help COMMAND` says the same); a test keeps it up to date.
Answers go to standard output, everything else to standard error.

## Exit codes

0: done. 1: not done, or the answer is no. 2: a mistake of the caller (an unknown argument, a configuration that is refused, for `check` and `convert` a file that is not there).

| command | 1 also means |
|---|---|
| `run` | a second signal ended it before what ran was finished |
| `check` | at least one problem |
| `convert` | something could not be converted; the rest is printed |
| `explain` | the request would be answered with an error, or no VIP admits its client and serves its port; a redirect is 0 |
| `flow` | the packet would be dropped, or its connection refused |
| `status` | the process is not ready |
| `probe` | the process is not live, or not ready |
| `reload` | the new process ended before it was ready; the old one serves on |
";

/// The whole page.
pub fn markdown() -> String {
    let mut command = Cli::command();
    command.build();
    let mut out = HEAD.to_owned();
    section(&mut out, "Every command", &command, |arg| arg.is_global_set() && !is_help(arg));
    for sub in
        command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set())
    {
        describe(&mut out, sub);
    }
    out
}

fn describe(out: &mut String, command: &Command) {
    let title = format!("`genkan {}`", command.get_name());
    section(out, &title, command, |arg| !arg.is_global_set() && !is_help(arg));
}

fn section(out: &mut String, title: &str, command: &Command, shown: impl Fn(&Arg) -> bool) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "\n## {title}");
    if title.starts_with('`') {
        let about = command.get_long_about().or_else(|| command.get_about());
        if let Some(about) = about {
            let _ = writeln!(out, "\n{about}");
        }
        let usage = command.clone().render_usage().to_string();
        let _ = writeln!(out, "\n```\n{}\n```", usage.trim_start_matches("Usage: "));
    }
    let arguments: Vec<&Arg> =
        command.get_arguments().filter(|arg| !arg.is_hide_set() && shown(arg)).collect();
    if arguments.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n| argument | default | environment | meaning |\n|---|---|---|---|");
    for arg in arguments {
        let cells = [name(arg), default(arg), environment(arg), help(arg)];
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
}

fn is_help(arg: &Arg) -> bool {
    arg.get_id() == "help"
}

fn name(arg: &Arg) -> String {
    let values: Vec<String> =
        arg.get_value_names().into_iter().flatten().map(ToString::to_string).collect();
    let values = if arg.get_action().takes_values() { values.join(" ") } else { String::new() };
    let flags: Vec<String> = [
        arg.get_short().map(|short| format!("-{short}")),
        arg.get_long().map(|long| format!("--{long}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let text = match (flags.is_empty(), values.is_empty()) {
        (true, _) => values,
        (false, true) => flags.join(", "),
        (false, false) => format!("{} {values}", flags.join(", ")),
    };
    format!("`{}`", text.replace('|', "\\|"))
}

fn default(arg: &Arg) -> String {
    let values: Vec<String> = arg
        .get_default_values()
        .iter()
        .filter(|_| arg.get_action().takes_values())
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    values.join(", ")
}

fn environment(arg: &Arg) -> String {
    arg.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default()
}

fn help(arg: &Arg) -> String {
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let mut text = help.map(ToString::to_string).unwrap_or_default().replace('\n', " ");
    let possible: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| arg.get_action().takes_values() && !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !possible.is_empty() {
        let _ = write!(text, "; one of {}", possible.join(", "));
    }
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_says_what_the_program_does() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/docs/cli.md");
        let text = markdown();
        if std::env::var_os("GENKAN_WRITE_GOLDEN").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let document = std::fs::read_to_string(path).unwrap();
        assert!(
            document == text,
            "deploy/docs/cli.md is not up to date: GENKAN_WRITE_GOLDEN=1 cargo test --lib \
             cli::reference"
        );
    }
}
