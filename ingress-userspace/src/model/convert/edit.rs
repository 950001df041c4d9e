//! The conversion as edits of the text, so that comments and layout stay.
//!
//! The edits are made for the common ways to write; the caller's value decides whether the result
//! is right, so that an unusual way can give no wrong object.

use std::ops::Range;

use serde_json::Value;

use super::value::{self, DEFAULT_PATH_TYPE, FILLED_IN, Subject, V1};
use super::{MARK, Note};
use crate::yaml::document::Document;
use crate::yaml::place::{self, Entry, Node};

/// Replacements by the places that they take; an empty place is an insertion.
struct Edits<'t> {
    text: &'t str,
    newline: &'static str,
    edits: Vec<(Range<usize>, String)>,
    /// Fields whose note stands in an edit already.
    noted: Vec<String>,
}

/// The edited text; `None` when it does not mean `wanted`.
pub(super) fn edit(text: &str, wanted: &Value, notes: &[Note]) -> Option<String> {
    let root = place::places(text)?;
    let document = |text| Document { first_line: 1, line: 1, text };
    let before = document(text).parse_yaml().ok()?;
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut edits = Edits { text, newline, edits: Vec::new(), noted: Vec::new() };
    edits.object(&root, &before, "", None);
    edits.notes(notes);
    let out = edits.apply()?;
    let after = document(&out).parse_yaml().ok()?;
    (after == *wanted).then_some(out)
}

// === impl Edits ===

impl Edits<'_> {
    fn object(&mut self, node: &Node, before: &Value, at: &str, outer: Option<(&str, &str)>) {
        let subject = value::subject(before, outer);
        match subject {
            Subject::Other => return,
            Subject::List => {
                let inherited = value::inherited(before);
                let is_old = inherited.is_some_and(|(version, _)| version.ends_with("/v1beta1"));
                if is_old && let Some(version) = node.get("apiVersion") {
                    self.replace_scalar(version, V1);
                }
                let values = before.get("items").and_then(Value::as_array);
                let nodes = node.get("items").map(Node::items).unwrap_or_default();
                for (index, (node, value)) in
                    nodes.iter().zip(values.into_iter().flatten()).enumerate()
                {
                    self.object(node, value, &format!("{at}items[{index}]."), inherited);
                }
                return;
            }
            Subject::Ingress | Subject::IngressClass | Subject::Excerpt => {}
        }
        if let Some(version) = node.get("apiVersion") {
            self.replace_scalar(version, V1);
        }
        if subject != Subject::IngressClass
            && let (Some(spec), Some(value)) = (node.get("spec"), before.get("spec"))
        {
            self.spec(spec, value, &format!("{at}spec"));
        }
    }

    fn spec(&mut self, spec: &Node, before: &Value, at: &str) {
        if let Some(entry) = spec.entry("backend")
            && spec.entry("defaultBackend").is_none()
        {
            self.rename(entry, "", "defaultBackend");
            self.backend(&entry.node, before.get("backend"));
        }
        let rules = spec.get("rules").map(Node::items).unwrap_or_default();
        for (number, rule) in rules.iter().enumerate() {
            let paths = rule.get("http").and_then(|http| http.get("paths")).map(Node::items);
            for (index, path) in paths.unwrap_or_default().iter().enumerate() {
                let pointer = format!("/rules/{number}/http/paths/{index}");
                let Some(value) = before.pointer(&pointer) else { continue };
                let at = format!("{at}.rules[{number}].http.paths[{index}]");
                self.path(path, value, &at);
            }
        }
    }

    fn path(&mut self, path: &Node, before: &Value, at: &str) {
        if value::needs_path_type(before.get("pathType")) {
            self.path_type(path, format!("{at}.pathType"));
        }
        if let Some(backend) = path.get("backend") {
            self.backend(backend, before.get("backend"));
        }
    }

    fn path_type(&mut self, path: &Node, field: String) {
        if let Some(given) = path.get("pathType") {
            // Null or empty.
            return self.replace_scalar(given, DEFAULT_PATH_TYPE);
        }
        let Some(first) = path.entries().first() else { return };
        if self.is_flow(first) {
            let text = format!("pathType: {DEFAULT_PATH_TYPE}, ");
            return self.insert(first.at.start, text);
        }
        let indent = self.column(first);
        let line = format!("pathType: {DEFAULT_PATH_TYPE} {MARK}{FILLED_IN}");
        self.noted.push(field);
        match path.get("path").and_then(Node::scalar).filter(|at| !at.is_empty()) {
            Some(written) => {
                let end = self.text[written.end..].find(['\r', '\n']);
                let end = end.map_or(self.text.len(), |end| written.end + end);
                self.insert(end, format!("{}{:indent$}{line}", self.newline, ""));
            }
            None => {
                let text = format!("{line}{}{:indent$}", self.newline, "");
                self.insert(first.at.start, text);
            }
        }
    }

    fn backend(&mut self, backend: &Node, before: Option<&Value>) {
        let entries = (backend.entry("serviceName"), backend.entry("servicePort"));
        let ((Some(name), Some(port)), Some(before)) = (entries, before) else { return };
        let numeric = value::numeric(&before["servicePort"]);
        let kind = match &before["servicePort"] {
            Value::String(_) if numeric.is_none() => "name",
            _ => "number",
        };
        if let Some(number) = numeric {
            self.replace_scalar(&port.node, &number.to_string());
        }
        let name_first = name.at.start < port.at.start;
        let first = if name_first { name } else { port };
        let is_flow = backend.entries().first().is_some_and(|first| self.is_flow(first));
        if is_flow {
            self.rename(name, if name_first { "service: {" } else { "" }, "name");
            self.rename(port, if name_first { "port: {" } else { "service: {port: {" }, kind);
            let closing =
                if name_first { [(port, "}}"), (name, "")] } else { [(port, "}"), (name, "}")] };
            for (entry, braces) in closing {
                if let Some(at) = entry.node.scalar() {
                    self.insert(at.end, braces.to_owned());
                }
            }
            return;
        }
        let indent = self.column(first);
        let line = |depth: usize| format!("{}{:width$}", self.newline, "", width = indent + depth);
        let (two, four) = (line(2), line(4));
        let before_name = if name_first { format!("service:{two}") } else { "  ".to_owned() };
        let before_port = match name_first {
            true => format!("  port:{four}"),
            false => format!("service:{two}port:{four}"),
        };
        self.rename(name, &before_name, "name");
        self.rename(port, &before_port, kind);
    }

    /// Comments for the notes that stand in no edit, above the lines that they are about.
    fn notes(&mut self, notes: &[Note]) {
        for note in notes {
            if self.noted.contains(&note.field) {
                continue;
            }
            let line = crate::yaml::line_of(self.text, &note.field).unwrap_or(0);
            let at = match usize::try_from(line).ok().and_then(|line| line.checked_sub(1)) {
                Some(above) => self.text.split_inclusive('\n').take(above).map(str::len).sum(),
                None => self.first_content(),
            };
            let start = &self.text[at..];
            let indent = start.len() - start.trim_start_matches(' ').len();
            let text = format!("{:indent$}{MARK}{note}{}", "", self.newline);
            self.insert(at, text);
        }
    }

    /// Behind the marker and the comments at the top.
    fn first_content(&self) -> usize {
        let top = self.text.split_inclusive('\n').take_while(|line| {
            let line = line.trim();
            line.is_empty() || line.starts_with('#') || line == "---" || line.starts_with("--- #")
        });
        top.map(str::len).sum()
    }

    /// Puts another key, with its parents before it, in the place of a key.
    fn rename(&mut self, entry: &Entry, parents: &str, key: &str) {
        let quoted = self.text[entry.at.clone()].starts_with(['"', '\'']);
        // `"a":1` needs no space behind the colon, `a:1` does.
        let key = if quoted { format!("\"{key}\"") } else { key.to_owned() };
        self.edits.push((entry.at.clone(), format!("{parents}{key}")));
    }

    fn replace_scalar(&mut self, node: &Node, text: &str) {
        if let Some(at) = node.scalar() {
            let quoted = self.text[at.clone()].starts_with('"');
            let is_text = text.bytes().any(|byte| !byte.is_ascii_digit());
            let text = if quoted && is_text { format!("{text:?}") } else { text.to_owned() };
            self.edits.push((at.clone(), text));
        }
    }

    fn insert(&mut self, at: usize, text: String) {
        self.edits.push((at..at, text));
    }

    /// Whether the mapping that begins with this key is written in braces.
    fn is_flow(&self, first: &Entry) -> bool {
        self.text[..first.at.start].trim_end().ends_with('{')
    }

    /// Characters before the key on its line.
    fn column(&self, entry: &Entry) -> usize {
        let before = &self.text[..entry.at.start];
        let line = before.rfind('\n').map_or(0, |newline| newline + 1);
        before[line..].chars().count()
    }

    /// `None` when two edits want the same place. What an alias refers to is edited once.
    fn apply(mut self) -> Option<String> {
        self.edits.sort_by_key(|(at, _)| (at.start, at.end));
        let mut out = String::with_capacity(self.text.len() + 256);
        let mut copied = 0;
        let mut last: Option<&(Range<usize>, String)> = None;
        for edit in &self.edits {
            let (at, text) = edit;
            if last == Some(edit) {
                continue;
            }
            out.push_str(self.text.get(copied..at.start)?);
            out.push_str(text);
            copied = at.end;
            last = Some(edit);
        }
        out.push_str(self.text.get(copied..)?);
        Some(out)
    }
}
