//! The documents of one file: where each starts, its value, and the line of a field in it.
//!
//! Pure: text in, values out. A YAML stream is cut at its `---` lines before it is parsed, so that
//! a fault stays inside its document.

use serde_json::Value;

use super::{line_of, options};

/// One document of a stream: the lines between two `---`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Document<'t> {
    /// 1-based line of `text`'s first line in the file.
    pub first_line: u32,
    /// 1-based line of the first line with content.
    pub line: u32,
    pub text: &'t str,
}

/// Why a document has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// 1-based line in the file.
    pub line: u32,
    pub reason: String,
}

/// Documents with content; those of comments and blank lines only are left out.
pub fn split(text: &str) -> Vec<Document<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    let mut open = Open { start: 0, first_line: 1, content: None };
    let mut at = 0;
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        if separates(line, "---") {
            // What follows on the line belongs to the new document.
            open.close(text, at, &mut documents);
            let rest = line[3..].trim();
            let content = (!rest.is_empty() && !rest.starts_with('#')).then_some(number);
            open = Open { start: at, first_line: number, content };
        } else if separates(line, "...") {
            open.close(text, at, &mut documents);
            open = Open { start: at + line.len(), first_line: number + 1, content: None };
        } else if open.content.is_none() {
            let line = line.trim_start();
            let blank = line.is_empty() || line.starts_with('#') || line.starts_with('%');
            open.content = (!blank).then_some(number);
        }
        at += line.len();
    }
    open.close(text, at, &mut documents);
    documents
}

struct Open {
    start: usize,
    first_line: u32,
    content: Option<u32>,
}

impl Open {
    fn close<'t>(&self, text: &'t str, end: usize, documents: &mut Vec<Document<'t>>) {
        if let Some(line) = self.content {
            let text = &text[self.start..end];
            documents.push(Document { first_line: self.first_line, line, text });
        }
    }
}

/// A marker counts only at the start of a line and before white space (YAML 1.2, 9.1.2).
fn separates(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

// === impl Document ===

impl<'t> Document<'t> {
    /// A JSON file is one document.
    pub fn json(text: &'t str) -> Self {
        let blank = text.len() - text.trim_start().len();
        let line = 1 + text[..blank].matches('\n').count();
        Self { first_line: 1, line: u32::try_from(line).unwrap_or(u32::MAX), text }
    }

    pub fn parse_json(&self) -> Result<Value, Unreadable> {
        serde_json::from_str(self.text).map_err(|error| Unreadable {
            line: u32::try_from(error.line()).unwrap_or(u32::MAX).max(1),
            reason: format!("not JSON: {error}"),
        })
    }

    /// `Null` for a document that has only comments.
    pub fn parse_yaml(&self) -> Result<Value, Unreadable> {
        serde_saphyr::from_str_with_options(self.text, options()).map_err(|error| {
            let line = error.location().map_or(0, |location| location.line());
            let reason = error.without_snippet().to_string();
            Unreadable {
                line: self.absolute(line).unwrap_or(self.line),
                reason: format!("not YAML: {}", reason.lines().next().unwrap_or_default()),
            }
        })
    }

    /// The line of the deepest part of `field` that the document has, such as that of
    /// `spec.rules[1]` for `spec.rules[1].host` when there is no host.
    ///
    /// Parses again: only documents with problems pay for it.
    pub fn line_of(&self, field: &str) -> u32 {
        line_of(self.text, field).and_then(|line| self.absolute(line)).unwrap_or(self.line)
    }

    /// `line` counts from 1 inside the document; 0 is unknown.
    fn absolute(&self, line: u64) -> Option<u32> {
        let line = u32::try_from(line).ok()?.checked_sub(1)?;
        self.first_line.checked_add(line)
    }
}

#[cfg(test)]
mod tests;
