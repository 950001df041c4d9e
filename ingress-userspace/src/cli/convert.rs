//! `genkan convert`: old Ingress versions as networking.k8s.io/v1, on standard output.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{Output, USAGE};
use crate::model::convert::{self, Converted};
use crate::source::manifests;

/// Names standard input.
const STANDARD_INPUT: &str = "-";

#[derive(Debug, Args)]
pub struct Arguments {
    /// A manifest, a directory of manifests, or `-` for standard input.
    #[arg(value_name = "FILE|DIR|-")]
    path: PathBuf,

    /// `text`: YAML, with everything else as it was. `json`: one List of all objects.
    #[arg(long, short, default_value = "text")]
    output: Output,
}

/// What was read under one name.
type Input = (PathBuf, Result<String, String>);

// === impl Arguments ===

impl Arguments {
    /// Exit code 1 when something could not be converted.
    ///
    /// # Errors
    ///
    /// When `out` does not take the result.
    pub fn execute(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let inputs = match read(&self.path) {
            Ok(inputs) => inputs,
            Err(error) => {
                eprintln!("error: {}: {error}", self.path.display());
                return Ok(ExitCode::from(USAGE));
            }
        };
        let several = inputs.len() > 1;
        let mut lost = false;
        let mut objects: Vec<Value> = Vec::new();
        let mut written = String::new();
        for (path, text) in inputs {
            let converted = match text {
                Ok(text) => convert::convert(&text, is_json(&path, &text)),
                Err(reason) => {
                    eprintln!("error: {}: {reason}", path.display());
                    lost = true;
                    continue;
                }
            };
            tell(&path, &converted);
            lost |= converted.notes.iter().any(|note| note.lost);
            if several {
                separate(&mut written, &path, &converted.text);
            }
            written.push_str(&converted.text);
            objects.extend(converted.values.into_iter().flat_map(items));
        }
        match self.output {
            Output::Text => out.write_all(written.as_bytes())?,
            Output::Json => {
                let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
                writeln!(out, "{list:#}")?;
            }
        }
        Ok(if lost { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn read(path: &Path) -> io::Result<Vec<Input>> {
    if path != Path::new(STANDARD_INPUT) {
        return manifests::texts(path);
    }
    let mut text = String::new();
    io::stdin().lock().read_to_string(&mut text)?;
    Ok(vec![(path.to_owned(), Ok(text))])
}

/// Standard input has no name to tell by.
fn is_json(path: &Path, text: &str) -> bool {
    match path.extension() {
        Some(extension) => extension == "json",
        None => text.trim_start().starts_with('{') && serde_json::from_str::<Value>(text).is_ok(),
    }
}

/// Notes go to standard error too: they are easily overlooked in the text, and JSON has no place
/// for them.
fn tell(path: &Path, converted: &Converted) {
    for note in &converted.notes {
        eprintln!("{}:{}: {note}", path.display(), note.line);
    }
}

/// Files after one another are documents of one stream.
fn separate(written: &mut String, path: &Path, text: &str) {
    if !written.is_empty() && !written.ends_with('\n') {
        written.push('\n');
    }
    if text.starts_with("---") {
        written.push_str(&format!("# Source: {}\n", path.display()));
    } else {
        written.push_str(&format!("---\n# Source: {}\n", path.display()));
    }
}

/// A list stands for its items, which may leave version and kind to it.
fn items(value: Value) -> Vec<Value> {
    let kind = value["kind"].as_str().and_then(|kind| kind.strip_suffix("List"));
    let (Some(kind), Some(items)) = (kind, value["items"].as_array()) else {
        return if value.is_null() { Vec::new() } else { vec![value] };
    };
    let mut items = items.clone();
    for item in items.iter_mut().filter_map(Value::as_object_mut).filter(|_| !kind.is_empty()) {
        item.entry("apiVersion").or_insert_with(|| value["apiVersion"].clone());
        item.entry("kind").or_insert_with(|| kind.into());
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_directory_are_documents_of_one_stream_and_items_of_one_list() {
        let dir = tempfile::tempdir().unwrap();
        let service = "kind: Service\napiVersion: v1";
        let ingress = "{\"apiVersion\": \"extensions/v1beta1\", \"kind\": \"IngressList\", \"items\": \
                       [{\"metadata\": {\"name\": \"i\"}, \"spec\": {\"backend\": {\"serviceName\": \
                       \"s\", \"servicePort\": 80}}}]}";
        std::fs::write(dir.path().join("a.yaml"), service).unwrap();
        std::fs::write(dir.path().join("b.json"), ingress).unwrap();
        let run = |output| {
            let mut out = Vec::new();
            let arguments = Arguments { path: dir.path().to_owned(), output };
            assert_eq!(arguments.execute(&mut out).unwrap(), ExitCode::SUCCESS);
            String::from_utf8(out).unwrap().replace(&format!("{}/", dir.path().display()), "")
        };
        let text = run(Output::Text);
        assert!(
            text.starts_with(
                "---\n# Source: a.yaml\nkind: Service\napiVersion: v1\n---\n# Source: b.json\n"
            ),
            "{text}"
        );
        let list: Value = serde_json::from_str(&run(Output::Json)).unwrap();
        assert_eq!(list["items"][0]["kind"], "Service");
        assert_eq!(list["items"][1]["kind"], "Ingress");
        assert_eq!(list["items"][1]["apiVersion"], "networking.k8s.io/v1");
        let backend = &list["items"][1]["spec"]["defaultBackend"]["service"];
        assert_eq!(*backend, json!({"name": "s", "port": {"number": 80}}));
    }

    #[test]
    fn what_cannot_be_converted_is_exit_code_1() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        let text = "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: a}\nspec:\n  \
                    backend:\n    serviceName: s\n";
        std::fs::write(&path, text).unwrap();
        let mut out = Vec::new();
        let code = Arguments { path, output: Output::Text }.execute(&mut out).unwrap();
        assert_eq!(code, ExitCode::FAILURE);
        let out = String::from_utf8(out).unwrap();
        assert!(
            out.contains("  # genkan: NOT CONVERTED: spec.backend: `servicePort` is missing"),
            "{out}"
        );
        assert!(out.contains("    serviceName: s\n"), "{out}");
    }
}
