//! `genkan check DIR`: every problem of a directory of manifests, without serving anything.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{Output, USAGE};
use crate::config::{Config, Overrides, read};
use crate::model::decode::Settings;
use crate::model::{Origin, Problem};
use crate::source::{Update, manifests};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Directory of Kubernetes manifests; read with its subdirectories.
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Configuration file: decides which classes and annotations count. Without it the defaults
    /// hold.
    #[arg(long, env = "GENKAN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// Form of the report.
    #[arg(long, short, default_value = "text")]
    output: Output,
}

// === impl Arguments ===

impl Arguments {
    /// # Errors
    ///
    /// When `out` does not take the report.
    pub fn execute(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let overrides = Overrides::from_env(std::env::vars());
        let config = match &self.config {
            None => Config::default(),
            Some(path) => match read::read(path, &overrides) {
                Ok(config) => config,
                Err(errors) => return Ok(super::run::refuse(&errors)),
            },
        };
        let update = match manifests::load(&self.directory, &Settings::from(&config)) {
            Ok(update) => update,
            Err(error) => {
                eprintln!("error: {}: {error}", self.directory.display());
                return Ok(ExitCode::from(USAGE));
            }
        };
        match self.output {
            Output::Text => text(out, &update)?,
            Output::Json => json(out, &update)?,
        }
        Ok(if update.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn text(out: &mut impl Write, update: &Update) -> io::Result<()> {
    for problem in &update.problems {
        writeln!(out, "{problem}")?;
    }
    let (objects, problems) = (update.change.upserts.len(), update.problems.len());
    writeln!(out, "{objects} objects, {problems} problems")
}

fn json(out: &mut impl Write, update: &Update) -> io::Result<()> {
    let report = json!({
        "objects": update.change.upserts.len(),
        "problems": update.problems.iter().map(describe).collect::<Vec<_>>(),
    });
    writeln!(out, "{report:#}")
}

fn describe(problem: &Problem) -> serde_json::Value {
    let (file, line) = match &problem.origin {
        Origin::File { path, line } => (Some(path.display().to_string()), Some(*line)),
        Origin::Cluster => (None, None),
    };
    let object = problem.object.as_ref().map(|object| {
        json!({
            "kind": object.kind.as_str(),
            "namespace": &*object.namespace,
            "name": &*object.name,
        })
    });
    json!({
        "file": file,
        "line": line.filter(|line| *line != 0),
        "object": object,
        "field": problem.field,
        "reason": problem.reason.as_str(),
        "message": problem.message,
    })
}
