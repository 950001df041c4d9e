//! The access log: where it goes, and what a line says.
//!
//! Either a word or path (`off`, `stdout`, `/var/log/genkan/access.log`), which takes the defaults
//! for the rest, or a map of the fields of [`AccessLogConfig`].

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

mod variable;

pub(super) use variable::unknown;
pub use variable::{Part, Variable, parts};

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AccessLogConfig {
    pub to: AccessLogTarget,
    /// `json`, `combined`, or a text with variables such as `$client $status`.
    pub format: AccessLogFormat,
    /// Which variables a JSON line has, in this order; empty = the usual ones.
    pub fields: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum AccessLogTarget {
    Off,
    #[default]
    Stdout,
    /// Appended to.
    File(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum AccessLogFormat {
    #[default]
    Json,
    /// That of Apache and nginx.
    Combined,
    /// Variables and what stands between them.
    Text(String),
}

/// nginx's `combined`.
const COMBINED: &str = "$client_address - - [$time_local] \"$request\" $status $sent \
                        \"$referer\" \"$user_agent\"";

// === impl AccessLogConfig ===

impl AccessLogConfig {
    /// `None`: no access log. `Some(None)`: standard output.
    pub fn destination(&self) -> Option<Option<&Path>> {
        match &self.to {
            AccessLogTarget::Off => None,
            AccessLogTarget::Stdout => Some(None),
            AccessLogTarget::File(path) => Some(Some(path)),
        }
    }
}

impl<'de> Deserialize<'de> for AccessLogConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrMap)
    }
}

struct WordOrMap;

impl<'de> Visitor<'de> for WordOrMap {
    type Value = AccessLogConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("off, stdout, a path, or a map with to, format and fields")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<AccessLogConfig, E> {
        Ok(AccessLogConfig { to: text.to_owned().into(), ..AccessLogConfig::default() })
    }

    /// `off` is a boolean to some readers of YAML.
    fn visit_bool<E: Error>(self, on: bool) -> Result<AccessLogConfig, E> {
        let to = if on { AccessLogTarget::Stdout } else { AccessLogTarget::Off };
        Ok(AccessLogConfig { to, ..AccessLogConfig::default() })
    }

    fn visit_unit<E: Error>(self) -> Result<AccessLogConfig, E> {
        Ok(AccessLogConfig::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AccessLogConfig, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            #[serde(default)]
            to: AccessLogTarget,
            #[serde(default)]
            format: AccessLogFormat,
            #[serde(default)]
            fields: Vec<String>,
        }

        let Fields { to, format, fields } = Fields::deserialize(MapAccessDeserializer::new(map))?;
        Ok(AccessLogConfig { to, format, fields })
    }
}

// === impl AccessLogTarget ===

impl From<String> for AccessLogTarget {
    fn from(text: String) -> Self {
        match text.as_str() {
            "off" => Self::Off,
            "stdout" => Self::Stdout,
            _ => Self::File(text.into()),
        }
    }
}

impl From<AccessLogTarget> for String {
    fn from(target: AccessLogTarget) -> Self {
        match target {
            AccessLogTarget::Off => "off".to_owned(),
            AccessLogTarget::Stdout => "stdout".to_owned(),
            AccessLogTarget::File(path) => path.to_string_lossy().into_owned(),
        }
    }
}

// === impl AccessLogFormat ===

impl AccessLogFormat {
    /// The text with variables that stands for it; `None` for JSON.
    pub fn template(&self) -> Option<&str> {
        match self {
            Self::Json => None,
            Self::Combined => Some(COMBINED),
            Self::Text(text) => Some(text),
        }
    }
}

impl From<String> for AccessLogFormat {
    fn from(text: String) -> Self {
        match text.as_str() {
            "json" => Self::Json,
            "combined" => Self::Combined,
            _ => Self::Text(text),
        }
    }
}

impl From<AccessLogFormat> for String {
    fn from(format: AccessLogFormat) -> Self {
        match format {
            AccessLogFormat::Json => "json".to_owned(),
            AccessLogFormat::Combined => "combined".to_owned(),
            AccessLogFormat::Text(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> AccessLogConfig {
        serde_saphyr::from_str(yaml).unwrap()
    }

    #[test]
    fn a_word_or_a_path() {
        for (text, target) in [
            ("off", AccessLogTarget::Off),
            ("stdout", AccessLogTarget::Stdout),
            ("/var/log/genkan.log", AccessLogTarget::File("/var/log/genkan.log".into())),
        ] {
            assert_eq!(read(text), AccessLogConfig { to: target.clone(), ..Default::default() });
            assert_eq!(String::from(target), text);
        }
    }

    #[test]
    fn a_map_says_the_rest() {
        let config = read("{to: off, format: combined}");
        assert_eq!((config.to, config.format), (AccessLogTarget::Off, AccessLogFormat::Combined));
        let config = read("{format: '$client $status'}");
        assert_eq!(config.format, AccessLogFormat::Text("$client $status".to_owned()));
        let config = read("{fields: [time, status]}");
        assert_eq!(config.fields, ["time", "status"]);
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(read(&text), config);
        assert!(serde_saphyr::from_str::<AccessLogConfig>("{too: off}").is_err());
    }
}
