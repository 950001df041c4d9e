//! Old Ingress versions written as networking.k8s.io/v1.
//!
//! In: the text of a manifest file. Out: the same text with every Ingress of `extensions/v1beta1`
//! and `networking.k8s.io/v1beta1` (and every IngressClass of the latter) in version v1, and a
//! [`Note`] for what was filled in and for what v1 cannot say. Nothing else changes: other
//! documents, unknown fields and comments stay as they stand.
//!
//! [`value`] says what the converted object is. The text is edited in place ([`edit`]) and the
//! result is read again: only when it is exactly that object it is taken. Else, for documents that
//! are JSON or use merge keys, the document is written anew, without its comments, and says so.

use std::ops::Range;

use serde_json::Value;

use super::decode;
use super::object::{Kind, Origin};
use super::problem::Reason;
use crate::yaml::document::{self, Document};

mod edit;
mod value;

#[cfg(test)]
mod tests;

/// A file after the conversion.
#[derive(Debug, Default)]
pub struct Converted {
    pub text: String,
    /// The value of every document, converted or not.
    pub values: Vec<Value>,
    /// Objects that have another version now.
    pub objects: usize,
    pub notes: Vec<Note>,
}

/// Something to know about a converted object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// 1-based, in the file as it was.
    pub line: u32,
    /// Field path in the document; empty for the document.
    pub field: String,
    pub message: String,
    /// It could not be converted.
    pub lost: bool,
}

/// What one document becomes.
struct Outcome {
    text: String,
    value: Option<Value>,
    objects: usize,
    notes: Vec<Note>,
}

/// Begins each comment that the conversion adds.
const MARK: &str = "# genkan: ";

/// Converts a file. `json`: the whole text is one JSON document, which comes out as YAML when it is
/// converted.
pub fn convert(text: &str, json: bool) -> Converted {
    let mut converted = Converted::default();
    let documents = if json { vec![Document::json(text)] } else { document::split(text) };
    let mut copied = 0;
    for document in documents {
        let at = range_in(text, document.text);
        converted.text.push_str(&text[copied..at.start]);
        let outcome = one(&document, json);
        converted.text.push_str(&outcome.text);
        converted.values.extend(outcome.value);
        converted.objects += outcome.objects;
        converted.notes.extend(outcome.notes);
        copied = at.end;
    }
    converted.text.push_str(&text[copied..]);
    converted
}

fn one(document: &Document<'_>, json: bool) -> Outcome {
    let unchanged =
        |value, notes| Outcome { text: document.text.to_owned(), value, objects: 0, notes };
    let before = if json { document.parse_json() } else { document.parse_yaml() };
    let before = match before {
        Ok(before) => before,
        Err(fault) => {
            let note = Note {
                line: fault.line,
                field: String::new(),
                message: format!("passed through unchanged: {}", fault.reason),
                lost: true,
            };
            return unchanged(None, vec![note]);
        }
    };
    let value::Converted { value, objects, mut notes } = value::convert(&before);
    if value == before {
        return unchanged(Some(value), Vec::new());
    }
    let told: Vec<String> =
        notes.iter().filter(|note| note.lost).map(|note| note.field.clone()).collect();
    let untold = |note: &Note| !told.iter().any(|field| note.field.starts_with(field.as_str()));
    notes.extend(refused(&value).into_iter().filter(untold));
    for note in &mut notes {
        note.line = document.line_of(&note.field);
    }
    let edited = (!json).then(|| edit::edit(document.text, &value, &notes)).flatten();
    let text = edited.unwrap_or_else(|| anew(document, json, &value, &notes));
    Outcome { text, value: Some(value), objects, notes }
}

/// What the rules of v1 refuse in the converted object.
fn refused(value: &Value) -> Vec<Note> {
    let mut named = value.clone();
    if let Value::Object(fields) = &mut named
        && !fields.contains_key("kind")
    {
        fields.insert("apiVersion".to_owned(), value::V1.into());
        fields.insert("kind".to_owned(), Kind::Ingress.as_str().into());
        fields.insert("metadata".to_owned(), serde_json::json!({"name": "excerpt"}));
    }
    let decoded = decode::decode(&named, &Origin::Configuration, &decode::Settings::default());
    let problems = decoded.into_iter().flat_map(|decoded| decoded.problems);
    problems
        .filter(|problem| {
            let ours = match &problem.object {
                Some(object) => matches!(object.kind, Kind::Ingress | Kind::IngressClass),
                // An item without a name may be anybody's.
                None => value.get("items").is_none(),
            };
            ours && matches!(problem.reason, Reason::InvalidDocument | Reason::InvalidObject)
        })
        .map(|problem| Note::lost(problem.field, format!("v1 refuses this: {}", problem.message)))
        .collect()
}

/// The document written from its value. What stands above its first line stays.
fn anew(document: &Document<'_>, json: bool, value: &Value, notes: &[Note]) -> String {
    let above = (document.line - document.first_line) as usize;
    let mut out: String = match json {
        true => String::new(),
        false => document.text.split_inclusive('\n').take(above).collect(),
    };
    let first = document.text.lines().nth(above).unwrap_or_default();
    if !json && first.starts_with("---") {
        out.push_str("---\n");
    }
    if !json {
        out.push_str(MARK);
        out.push_str("written anew: comments inside this document are not kept\n");
    }
    for note in notes {
        out.push_str(&format!("{MARK}{note}\n"));
    }
    match serde_saphyr::to_string(value) {
        Ok(text) => out.push_str(&text),
        // JSON is YAML, and a JSON value can always be written as JSON.
        Err(_) => out.push_str(&format!("{value:#}\n")),
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// Where a part of `text` stands in it.
fn range_in(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - text.as_ptr().addr();
    start..start + part.len()
}

// === impl Note ===

impl Note {
    fn filled(field: String, message: impl Into<String>) -> Self {
        Self { line: 0, field, message: message.into(), lost: false }
    }

    fn lost(field: String, message: impl Into<String>) -> Self {
        Self { lost: true, ..Self::filled(field, message) }
    }
}

impl std::fmt::Display for Note {
    /// One line, whatever the document holds.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.lost {
            f.write_str("NOT CONVERTED: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field.escape_debug())?;
        }
        f.write_str(&self.message.replace(|c: char| c.is_control(), " "))
    }
}
