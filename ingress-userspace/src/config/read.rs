//! Reading the configuration: file, then environment, then flags, then the checks.
//!
//! In: the file's text and the overrides. Out: a checked [`Config`], or every reason why there is
//! none, each with its field and the file's line or the variable's name.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Config, validate};
use crate::yaml;

/// Variables with this prefix override the file when they name one of its keys.
const PREFIX: &str = "GENKAN_";

/// One reason to refuse a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub source: Source,
    /// Such as `vips[0].ports[1].port`; empty for the whole.
    pub field: String,
    pub reason: String,
}

/// Who says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// 1-based line; 0 when it is not known.
    File { path: PathBuf, line: u64 },
    /// A variable or flag by its name.
    Override(String),
}

/// Values that win over the file, in the order of their precedence: the last one wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    values: Vec<Override>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Override {
    /// Name of the variable or flag.
    from: String,
    /// Keys from the top, such as `timeouts`, `drain`.
    keys: Vec<String>,
    /// A YAML value.
    text: String,
}

/// Reads a configuration file with its overrides. Called again whenever the file changes.
///
/// # Errors
///
/// All that is wrong: either the first fault of reading, or every fault that the checks find.
pub fn read(path: &Path, overrides: &Overrides) -> Result<Config, Vec<ConfigError>> {
    let whole = |reason: String| {
        let source = Source::File { path: path.to_owned(), line: 0 };
        vec![ConfigError { source, field: String::new(), reason }]
    };
    let text = std::fs::read_to_string(path).map_err(|error| whole(error.to_string()))?;
    parse(&text, path, overrides)
}

/// The defaults with overrides, checked.
///
/// # Errors
///
/// As [`read`].
pub fn without_file(overrides: &Overrides) -> Result<Config, Vec<ConfigError>> {
    parse("vips: []", Path::new("defaults"), overrides)
}

/// [`read`] for a text that is there already; `path` only names it.
///
/// # Errors
///
/// As [`read`].
pub fn parse(text: &str, path: &Path, overrides: &Overrides) -> Result<Config, Vec<ConfigError>> {
    let refuse = |fault: Fault| {
        let source = Source::File { path: path.to_owned(), line: fault.line };
        vec![ConfigError { source, field: fault.field, reason: fault.reason }]
    };
    let written: Config = from_yaml(text).map_err(refuse)?;
    if !overrides.name("vips") {
        says_vips(text).map_err(refuse)?;
    }
    let config = overrides.apply(written).map_err(|error| vec![error])?;
    let faults = validate::check(&config);
    if faults.is_empty() {
        return Ok(config);
    }
    Err(faults
        .into_iter()
        .map(|fault| ConfigError {
            source: overrides.source_of(&fault.field).unwrap_or_else(|| Source::File {
                path: path.to_owned(),
                line: yaml::line_of(text, &fault.field).unwrap_or(0),
            }),
            field: fault.field,
            reason: fault.reason,
        })
        .collect())
}

struct Fault {
    line: u64,
    field: String,
    reason: String,
}

fn from_yaml<T: DeserializeOwned + Default>(text: &str) -> Result<T, Fault> {
    let mut field = String::new();
    let read = serde_saphyr::with_deserializer_from_str_with_options(
        text,
        yaml::options(),
        |deserializer| {
            serde_path_to_error::deserialize::<_, Option<T>>(deserializer).map_err(|error| {
                field = error.path().to_string();
                error.into_inner()
            })
        },
    );
    read.map(Option::unwrap_or_default).map_err(|error| Fault {
        line: error.location().map_or(0, |location| location.line()),
        field: if field == "." { String::new() } else { field },
        reason: reason(error.without_snippet()),
    })
}

/// A file that lost its VIPs, or has not got them yet, must not be taken for one that wants none.
fn says_vips(text: &str) -> Result<(), Fault> {
    #[derive(Default, serde::Deserialize)]
    struct Keys {
        vips: Option<serde::de::IgnoredAny>,
    }
    let keys: Option<Keys> =
        serde_saphyr::from_str_with_options(text, yaml::options()).ok().flatten();
    let reason = match keys {
        Some(Keys { vips: Some(_) }) => return Ok(()),
        Some(Keys { vips: None }) => "no `vips` are given",
        None => "the file is empty: no `vips` are given",
    };
    let reason = format!("{reason}; `vips: []` says that there are none");
    Err(Fault { line: 0, field: String::new(), reason })
}

/// The error in our words, with the nearest known name.
fn reason(error: &serde_saphyr::Error) -> String {
    match error {
        serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => {
            format!("unknown key `{field}`{}", suggestion(field, expected))
        }
        serde_saphyr::Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!(
                "`{variant}` is none of {}{}",
                expected.join(", "),
                suggestion(variant, expected)
            )
        }
        serde_saphyr::Error::SerdeMissingField { field, .. } => format!("`{field}` is missing"),
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

fn suggestion(found: &str, known: &[&str]) -> String {
    match nearest(found, known) {
        Some(near) => format!(", did you mean `{near}`?"),
        None if known.is_empty() => String::new(),
        None => format!("; known here: {}", known.join(", ")),
    }
}

/// The known name that was probably meant.
fn nearest<'k>(found: &str, known: &[&'k str]) -> Option<&'k str> {
    let distances = known.iter().map(|&known| (strsim::damerau_levenshtein(known, found), known));
    let near = distances.filter(|(distance, known)| *distance <= 1 + known.len() / 4).min();
    near.map(|(_, known)| known)
}

// === impl Overrides ===

impl Overrides {
    /// From the environment: `GENKAN_TIMEOUTS__DRAIN=5s` is `timeouts.drain`. A variable that names
    /// no key belongs to others (`GENKAN_LOG`, the `GENKAN_PORT` of a Service in the cluster), unless
    /// its two underscores or its likeness to a key show what it was meant for.
    pub fn from_env(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let known = top_level_keys();
        let mut values: Vec<_> = variables
            .into_iter()
            .filter_map(|(name, text)| {
                let keys: Vec<_> =
                    name.strip_prefix(PREFIX)?.split("__").map(str::to_ascii_lowercase).collect();
                let meant = keys.len() > 1
                    || known.contains(&keys[0])
                    || nearest(&keys[0], &known.iter().map(String::as_str).collect::<Vec<_>>())
                        .is_some();
                meant.then_some(Override { from: name, keys, text })
            })
            .collect();
        values.sort_by(|a, b| a.from.cmp(&b.from));
        Self { values }
    }

    /// Adds a flag, which wins over all before it. `field` is written with dots.
    pub fn set(&mut self, flag: &str, field: &str, text: &str) {
        self.values.push(Override {
            from: flag.to_owned(),
            keys: field.split('.').map(str::to_owned).collect(),
            text: text.to_owned(),
        });
    }

    /// Whether one of them gives the value of a key of the top level.
    fn name(&self, key: &str) -> bool {
        self.values.iter().any(|value| value.keys == [key])
    }

    fn apply(&self, config: Config) -> Result<Config, ConfigError> {
        let mut config = config;
        for value in &self.values {
            config = value.apply(&config)?;
        }
        Ok(config)
    }

    /// The override that decides `field`, if one does.
    pub(super) fn source_of(&self, field: &str) -> Option<Source> {
        self.values
            .iter()
            .rev()
            .find(|value| {
                let prefix = value.keys.join(".");
                field
                    .strip_prefix(&prefix)
                    .is_some_and(|r| r.is_empty() || r.starts_with(['.', '[']))
            })
            .map(|value| Source::Override(value.from.clone()))
    }
}

// === impl Override ===

impl Override {
    fn apply(&self, config: &Config) -> Result<Config, ConfigError> {
        let mut tree = serde_json::to_value(config).expect("a Config is plain data");
        // `off` is a word here, not a boolean: the type that it is for is not known yet.
        let mut options = yaml::options();
        options.strict_booleans = true;
        let value: Value = serde_saphyr::from_str_with_options(&self.text, options)
            .map_err(|error| self.refuse(reason(error.without_snippet())))?;
        let mut at = &mut tree;
        for key in &self.keys {
            let Value::Object(fields) = at else {
                return Err(self.refuse("there are no keys below this one".to_owned()));
            };
            let known: Vec<&str> = fields.keys().map(String::as_str).collect();
            if !known.contains(&key.as_str()) {
                let suggestion = suggestion(key, &known);
                return Err(self.refuse(format!("unknown key `{key}`{suggestion}")));
            }
            at = fields.entry(key).or_insert(Value::Null);
        }
        *at = value;
        serde_json::from_value(tree).map_err(|error| self.refuse(error.to_string()))
    }

    fn refuse(&self, reason: String) -> ConfigError {
        ConfigError {
            source: Source::Override(self.from.clone()),
            field: self.keys.join("."),
            reason,
        }
    }
}

fn top_level_keys() -> Vec<String> {
    match serde_json::to_value(Config::default()) {
        Ok(Value::Object(fields)) => fields.into_iter().map(|(key, _)| key).collect(),
        Ok(_) | Err(_) => Vec::new(),
    }
}

// === impl ConfigError ===

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::File { path, line: 0 } => write!(f, "{}: ", path.display())?,
            Source::File { path, line } => write!(f, "{}:{line}: ", path.display())?,
            Source::Override(name) => write!(f, "{name}: ")?,
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests;
