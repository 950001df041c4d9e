//! The configuration in force, value by value, each with where it is from.
//!
//! In: a checked [`Config`] and what it was read from. Out: [`Setting`]s in the order of the
//! fields. Values of secrets are left out.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Config;
use super::read::{Overrides, Source};
use crate::yaml;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Such as `vips[0].ports[1].port`.
    pub field: String,
    pub value: Value,
    pub origin: Origin,
    pub is_default: bool,
}

/// Who decided a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File {
        path: PathBuf,
        line: u64,
    },
    /// A variable or flag by its name.
    Override(String),
}

/// What the value of a secret is replaced by.
pub const REDACTED: &str = "[redacted]";
/// Words that the name of a secret value contains. Names of Secrets are not secret.
const SECRET: [&str; 5] = ["password", "passphrase", "token", "private_key", "secret_key"];

/// All settings. `file` is read again; what stands there only decides the origin.
pub fn settings(config: &Config, file: Option<&Path>, overrides: &Overrides) -> Vec<Setting> {
    let text = file.and_then(|path| Some((path, std::fs::read_to_string(path).ok()?)));
    let (config, default) = (tree(config), tree(&Config::default()));
    let mut settings = Vec::new();
    leaves(&config, Some(&default), String::new(), &mut |field, value, is_default| {
        let origin = match (overrides.source_of(field), &text) {
            (Some(Source::Override(name)), _) => Origin::Override(name),
            (_, Some((path, text))) => match yaml::exact_line_of(text, field) {
                Some(line) => Origin::File { path: (*path).to_owned(), line },
                None => Origin::Default,
            },
            (_, None) => Origin::Default,
        };
        let value = if is_secret(field) && !value.is_null() { REDACTED.into() } else { value };
        settings.push(Setting { field: field.to_owned(), value, origin, is_default });
    });
    settings
}

fn tree(config: &Config) -> Value {
    serde_json::to_value(config).expect("a Config is plain data")
}

fn leaves(
    value: &Value,
    default: Option<&Value>,
    field: String,
    visit: &mut impl FnMut(&str, Value, bool),
) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                let dot = if field.is_empty() { "" } else { "." };
                let default = default.and_then(|default| default.get(key));
                leaves(value, default, format!("{field}{dot}{key}"), visit);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, value) in items.iter().enumerate() {
                let default = default.and_then(|default| default.get(index));
                leaves(value, default, format!("{field}[{index}]"), visit);
            }
        }
        leaf => {
            // An entry of a list has no default; what it leaves out is empty.
            let is_empty = leaf.is_null() || leaf.as_array().is_some_and(Vec::is_empty);
            let is_default = default.map_or(is_empty, |default| default == leaf);
            visit(&field, leaf.clone(), is_default);
        }
    }
}

/// By the name of its last key, so that a value added later is covered as well.
pub fn is_secret(field: &str) -> bool {
    let last = field.rsplit('.').next().unwrap_or(field);
    SECRET.iter().any(|part| last.contains(part))
}

// === impl Origin ===

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Override(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_secrets_are_known_by_their_names() {
        assert!(is_secret("bgp.peers[0].password"));
        assert!(is_secret("admin.bearer_token"));
        assert!(!is_secret("tls.default_certificate"));
        assert!(!is_secret("password.length"));
    }
}
