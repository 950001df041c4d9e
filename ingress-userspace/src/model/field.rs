//! Fields of a decoded document: typed access that reports instead of failing.
//!
//! In: `serde_json::Value`s. Out: Rust values, or [`Refused`] after the [`Report`] has the field's
//! path and the reason. Knows JSON types, nothing of any Kubernetes kind.

use std::fmt;

use serde_json::{Map, Value};

use super::object::{ObjectRef, Origin};
use super::problem::{Problem, Reason};
use super::rule::RuleId;

pub(super) type Fields = Map<String, Value>;

/// What is wrong with this field is already in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused;

/// Where a value stands inside its object; written as `spec.rules[1].host`, keys of free maps as
/// `data[tls.crt]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'a> {
    parent: Option<&'a Self>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Entry(&'a str),
    Index(usize),
}

/// The problems of one object.
#[derive(Debug)]
pub(super) struct Report<'a> {
    object: Option<ObjectRef>,
    origin: &'a Origin,
    problems: Vec<Problem>,
}

// === impl Path ===

impl<'a> Path<'a> {
    pub(super) const ROOT: Path<'static> = Path { parent: None, step: Step::Root };

    pub(super) fn field(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), step: Step::Field(name) }
    }

    pub(super) fn entry(&'a self, key: &'a str) -> Self {
        Self { parent: Some(self), step: Step::Entry(key) }
    }

    pub(super) fn index(&'a self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Field(name) if self.parent.is_none_or(|p| matches!(p.step, Step::Root)) => {
                f.write_str(name)
            }
            Step::Field(name) => write!(f, ".{name}"),
            Step::Entry(key) => write!(f, "[{key}]"),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

// === impl Report ===

impl<'a> Report<'a> {
    pub(super) fn new(origin: &'a Origin) -> Self {
        Self { object: None, origin, problems: Vec::new() }
    }

    /// From here on problems name this object.
    pub(super) fn name(&mut self, object: ObjectRef) {
        self.object = Some(object);
    }

    pub(super) fn add(&mut self, at: &Path<'_>, reason: Reason, message: impl Into<String>) {
        self.problems.push(Problem {
            object: self.object.clone(),
            origin: self.origin.clone(),
            field: at.to_string(),
            reason,
            rule: reason.rule(),
            message: message.into(),
        });
    }

    /// [`Self::add`] by another rule than that of the reason.
    pub(super) fn add_by(
        &mut self,
        at: &Path<'_>,
        rule: RuleId,
        reason: Reason,
        message: impl Into<String>,
    ) {
        self.add(at, reason, message);
        if let Some(last) = self.problems.last_mut() {
            last.rule = Some(rule);
        }
    }

    /// A value that breaks the API's rules.
    pub(super) fn invalid(&mut self, at: &Path<'_>, message: impl Into<String>) -> Refused {
        self.add(at, Reason::InvalidObject, message);
        Refused
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// A value of another JSON type than the API has here.
    fn mistyped(&mut self, at: &Path<'_>, value: &Value, expected: &str) -> Refused {
        self.add(
            at,
            Reason::InvalidDocument,
            format!("{} where {expected} is expected", describe(value)),
        );
        Refused
    }

    pub(super) fn fields<'v>(
        &mut self,
        at: &Path<'_>,
        value: &'v Value,
    ) -> Result<&'v Fields, Refused> {
        match value {
            Value::Object(fields) => Ok(fields),
            other => Err(self.mistyped(at, other, "a mapping")),
        }
    }

    /// The mapping under `key`; absent or null gives `None`.
    pub(super) fn optional_fields<'v>(
        &mut self,
        at: &Path<'_>,
        fields: &'v Fields,
        key: &str,
    ) -> Result<Option<&'v Fields>, Refused> {
        match present(fields, key) {
            None => Ok(None),
            Some(value) => self.fields(&at.field(key), value).map(Some),
        }
    }

    /// The list under `key`; absent or null is the empty list.
    pub(super) fn list<'v>(
        &mut self,
        at: &Path<'_>,
        fields: &'v Fields,
        key: &str,
    ) -> Result<&'v [Value], Refused> {
        match present(fields, key) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(other) => Err(self.mistyped(&at.field(key), other, "a list")),
        }
    }

    pub(super) fn text<'v>(&mut self, at: &Path<'_>, value: &'v Value) -> Result<&'v str, Refused> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(self.mistyped(at, other, "a string")),
        }
    }

    pub(super) fn optional_text<'v>(
        &mut self,
        at: &Path<'_>,
        fields: &'v Fields,
        key: &str,
    ) -> Result<Option<&'v str>, Refused> {
        match present(fields, key) {
            None => Ok(None),
            Some(value) => self.text(&at.field(key), value).map(Some),
        }
    }

    /// Absent and empty are the same for strings of the Kubernetes API.
    pub(super) fn nonempty_text<'v>(
        &mut self,
        at: &Path<'_>,
        fields: &'v Fields,
        key: &str,
    ) -> Result<Option<&'v str>, Refused> {
        Ok(self.optional_text(at, fields, key)?.filter(|text| !text.is_empty()))
    }

    pub(super) fn required_text<'v>(
        &mut self,
        at: &Path<'_>,
        fields: &'v Fields,
        key: &str,
    ) -> Result<&'v str, Refused> {
        match self.nonempty_text(at, fields, key)? {
            Some(text) => Ok(text),
            None => Err(self.invalid(&at.field(key), "required, but missing or empty")),
        }
    }

    pub(super) fn optional_flag(
        &mut self,
        at: &Path<'_>,
        fields: &Fields,
        key: &str,
    ) -> Result<Option<bool>, Refused> {
        match present(fields, key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.mistyped(&at.field(key), other, "true or false")),
        }
    }

    /// A port number, 1 to 65535.
    pub(super) fn port(&mut self, at: &Path<'_>, value: &Value) -> Result<u16, Refused> {
        let Value::Number(number) = value else {
            return Err(self.mistyped(at, value, "a port number"));
        };
        match number.as_u64().and_then(|n| u16::try_from(n).ok()).filter(|port| *port != 0) {
            Some(port) => Ok(port),
            None => {
                Err(self.invalid(at, format!("{number} is not a port: 1 to 65535 is expected")))
            }
        }
    }
}

/// The value under `key`; null counts as absent, as in the Kubernetes API.
pub(super) fn present<'v>(fields: &'v Fields, key: &str) -> Option<&'v Value> {
    fields.get(key).filter(|value| !value.is_null())
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => format!("the boolean {flag}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the string {:?}", shorten(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

/// Foreign text in messages: bounded, so that a message stays one line of a log.
pub(super) fn shorten(text: &str) -> &str {
    match text.char_indices().nth(80) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
