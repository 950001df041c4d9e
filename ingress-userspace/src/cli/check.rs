//! `genkan check DIR`: every problem of a directory of manifests, without serving anything.
//!
//! The documents are decoded and compiled as `genkan run` does it; nothing is asked of a cluster, a
//! network or the kernel.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::json;

use super::{Output, USAGE};
use crate::config::{Config, Overrides, read};
use crate::model::{Origin, Problem, decode};
use crate::routing::{self, Compiler};
use crate::source::manifests::{self, Locator};

/// What was found.
#[derive(Debug)]
struct Report {
    objects: usize,
    /// Of the documents and of what they say together.
    problems: Vec<Problem>,
}

#[derive(Debug, Args)]
pub struct Arguments {
    /// Directory of Kubernetes manifests, read with its subdirectories; or a single file.
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Configuration file: decides which classes and annotations count. Without it the defaults
    /// and the environment hold.
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
        let read = match &self.config {
            None => read::without_file(&overrides),
            Some(path) => read::read(path, &overrides),
        };
        let config = match read {
            Ok(config) => config,
            Err(errors) => return Ok(super::run::refuse(&errors)),
        };
        let report = match examine(&self.directory, &config) {
            Ok(report) => report,
            Err(error) => {
                eprintln!("error: {}: {error}", self.directory.display());
                return Ok(ExitCode::from(USAGE));
            }
        };
        match self.output {
            Output::Text => text(out, &report)?,
            Output::Json => json(out, &report)?,
        }
        Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Reads the documents and compiles them as `genkan run` would.
fn examine(directory: &Path, config: &Config) -> io::Result<Report> {
    let update = manifests::load(directory, &decode::Settings::from(config))?;
    let objects = update.change.upserts.len();
    let mut problems = update.problems;
    let mut compiler = Compiler::new(routing::Settings::from(config));
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
    compiler.apply(update.change, now);
    compiler.full_list(now);
    let mut locator = Locator::default();
    problems.extend(compiler.problems().into_iter().map(|problem| Problem {
        origin: locator.locate(&problem.origin, problem.object.as_ref(), &problem.field),
        ..problem
    }));
    problems.sort_by(|a, b| (&a.origin, &a.field).cmp(&(&b.origin, &b.field)));
    Ok(Report { objects, problems })
}

fn text(out: &mut impl Write, report: &Report) -> io::Result<()> {
    for problem in &report.problems {
        writeln!(out, "{problem}")?;
    }
    let (objects, problems) = (report.objects, report.problems.len());
    writeln!(out, "{objects} objects, {problems} problems")
}

fn json(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let report = json!({
        "objects": report.objects,
        "problems": report.problems.iter().map(describe).collect::<Vec<_>>(),
    });
    writeln!(out, "{report:#}")
}

fn describe(problem: &Problem) -> serde_json::Value {
    let (file, line) = match &problem.origin {
        Origin::File { path, line } => (Some(path.display().to_string()), Some(*line)),
        Origin::Cluster | Origin::Configuration => (None, None),
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
        "rule": problem.rule,
        "message": problem.message,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn check(files: &[(&str, &str)], output: Output) -> (ExitCode, String) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let arguments = Arguments { directory: dir.path().to_owned(), config: None, output };
        let mut out = Vec::new();
        let code = arguments.execute(&mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        (code, out.replace(&format!("{}/", dir.path().display()), ""))
    }

    const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n";
    const REFUSED: &str = "apiVersion: v1\nkind: Service\nmetadata:\n  name: S\n";
    const DANGLING: &str = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: \
                            i, annotations: {kubernetes.io/ingress.class: genkan}}\nspec: \
                            {defaultBackend: {service: {name: missing, port: {number: 80}}}}\n";

    #[test]
    fn nothing_wrong_is_exit_code_0() {
        let (code, out) = check(&[("a.yaml", SERVICE)], Output::Text);
        assert_eq!(code, ExitCode::SUCCESS);
        assert_eq!(out, "1 objects, 0 problems\n");
    }

    #[test]
    fn each_problem_is_a_line_and_the_exit_code_is_1() {
        let files = [("a.yaml", REFUSED), ("b.yaml", DANGLING), ("c.yaml", SERVICE)];
        let (code, out) = check(&files, Output::Text);
        assert_eq!(code, ExitCode::FAILURE);
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(lines.len(), 3, "{out}");
        assert_eq!(
            lines[0],
            "a.yaml:4: Service default/S: metadata.name: \"S\" is not a valid name (InvalidObject, 2.4)"
        );
        assert!(
            lines[1].starts_with("b.yaml:4: Ingress default/i: spec.defaultBackend: "),
            "{out}"
        );
        assert!(lines[1].ends_with("(ServiceNotFound, C9)"), "{out}");
        assert_eq!(lines[2], "2 objects, 2 problems");
    }

    #[test]
    fn json_has_the_same_in_fields() {
        let (_, out) = check(&[("a.yaml", REFUSED)], Output::Json);
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            report["problems"],
            json!([{
                "file": "a.yaml",
                "line": 4,
                "object": {"kind": "Service", "namespace": "default", "name": "S"},
                "field": "metadata.name",
                "reason": "InvalidObject",
                "rule": "2.4",
                "message": "\"S\" is not a valid name",
            }])
        );
    }

    #[test]
    fn a_single_file_is_enough() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.yaml");
        fs::write(&file, SERVICE).unwrap();
        let arguments = Arguments { directory: file, config: None, output: Output::Text };
        let mut out = Vec::new();
        assert_eq!(arguments.execute(&mut out).unwrap(), ExitCode::SUCCESS);
        assert_eq!(String::from_utf8(out).unwrap(), "1 objects, 0 problems\n");
    }

    #[test]
    fn a_missing_directory_is_a_mistake_of_the_caller() {
        let arguments =
            Arguments { directory: "/nonexistent".into(), config: None, output: Output::Text };
        assert_eq!(arguments.execute(&mut Vec::new()).unwrap(), ExitCode::from(USAGE));
    }
}
