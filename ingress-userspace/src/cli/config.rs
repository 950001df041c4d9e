//! `genkan config`: every value of the configuration and where it is from.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{Output, RunOptions};
use crate::config::effective::{self, Setting};
use crate::config::{Overrides, read};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Configuration file. Without it the defaults, environment and `--set` hold.
    #[arg(long, env = "GENKAN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// Set a value, as `genkan run` would take it. May be repeated.
    #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = super::run::assignment)]
    set: Vec<(String, String)>,

    /// Only what is not the default.
    #[arg(long)]
    changed: bool,

    /// Form of the answer.
    #[arg(long, short, default_value = "text")]
    output: Output,
}

// === impl Arguments ===

impl Arguments {
    /// # Errors
    ///
    /// When `out` does not take the answer.
    pub fn execute(
        self,
        environment: impl IntoIterator<Item = (String, String)>,
        out: &mut impl Write,
    ) -> anyhow::Result<ExitCode> {
        let mut overrides = Overrides::from_env(environment);
        for (field, value) in &self.set {
            overrides.set("--set", field, value);
        }
        let read = match &self.config {
            Some(path) => read::read(path, &overrides),
            None => read::without_file(&overrides),
        };
        let config = match read {
            Ok(config) => config,
            Err(errors) => return Ok(super::run::refuse(&errors)),
        };
        let mut settings = effective::settings(&config, self.config.as_deref(), &overrides);
        settings.retain(|setting| !self.changed || !setting.is_default);
        match self.output {
            Output::Text => text(out, &settings)?,
            Output::Json => {
                let settings: Vec<_> = settings.iter().map(describe).collect();
                writeln!(out, "{:#}", json!(settings))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Logs what `genkan run` starts with: what differs from the defaults, and everything for `debug`.
pub(super) fn tell(options: &RunOptions) {
    let path = Some(options.config_path.as_path());
    for setting in effective::settings(&options.config, path, &options.overrides) {
        let Setting { field, value, origin, is_default } = setting;
        if is_default {
            tracing::debug!(target: "genkan::config", %value, %origin, "{field}");
        } else {
            tracing::info!(target: "genkan::config", %value, %origin, "{field}");
        }
    }
}

fn text(out: &mut impl Write, settings: &[Setting]) -> io::Result<()> {
    let width = settings.iter().map(|setting| setting.field.len()).max().unwrap_or(0);
    for Setting { field, value, origin, .. } in settings {
        writeln!(out, "{field:width$}  {value}  # {origin}")?;
    }
    Ok(())
}

fn describe(setting: &Setting) -> serde_json::Value {
    json!({
        "field": setting.field,
        "value": setting.value,
        "origin": setting.origin.to_string(),
        "default": setting.is_default,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(changed: bool, output: Output, environment: &[(&str, &str)]) -> (ExitCode, String) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("genkan.yaml");
        std::fs::write(&file, "workers:\n  count: 2\nlimits: {http2_streams: 128}\nvips: []\n")
            .unwrap();
        let arguments = Arguments {
            config: Some(file),
            set: vec![("timeouts.drain".to_owned(), "5s".to_owned())],
            changed,
            output,
        };
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let mut out = Vec::new();
        let code = arguments.execute(environment, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        (code, out.replace(&format!("{}/", dir.path().display()), ""))
    }

    #[test]
    fn what_is_not_the_default_is_told_with_its_origin() {
        let (code, out) = run(true, Output::Text, &[("GENKAN_COMPAT", "nginx")]);
        assert_eq!(code, ExitCode::SUCCESS);
        let lines: Vec<Vec<&str>> = out
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|w| !w.is_empty()).collect())
            .collect();
        assert_eq!(
            lines,
            [
                vec!["compat", "\"nginx\"", "# GENKAN_COMPAT"],
                vec!["timeouts.drain", "\"5s\"", "# --set"],
                vec!["workers.count", "2", "# genkan.yaml:2"],
            ]
        );
    }

    #[test]
    fn json_lists_everything() {
        let (_, out) = run(false, Output::Json, &[]);
        let settings: Vec<serde_json::Value> = serde_json::from_str(&out).unwrap();
        let of = |field: &str| settings.iter().find(|s| s["field"] == field).unwrap().clone();
        assert_eq!(of("limits.http2_streams")["origin"], "genkan.yaml:3");
        assert_eq!(of("limits.http2_streams")["default"], true);
        assert_eq!(of("limits.connections")["origin"], "default");
    }

    #[test]
    fn without_a_file_the_defaults_and_the_environment_hold() {
        let arguments =
            Arguments { config: None, set: vec![], changed: true, output: Output::Text };
        let environment = [("GENKAN_COMPAT".to_owned(), "nginx".to_owned())];
        let mut out = Vec::new();
        assert_eq!(arguments.execute(environment, &mut out).unwrap(), ExitCode::SUCCESS);
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out, "compat  \"nginx\"  # GENKAN_COMPAT\n");
    }

    #[test]
    fn a_bad_override_is_a_mistake_of_the_caller() {
        let (code, _) = run(true, Output::Text, &[("GENKAN_TIMEOUT__DRAIN", "5s")]);
        assert_eq!(code, ExitCode::from(super::super::USAGE));
    }
}
