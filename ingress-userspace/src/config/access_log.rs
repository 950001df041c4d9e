//! Where the access log goes: `off`, `stdout`, or the path of a file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One JSON line for each request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum AccessLogTarget {
    Off,
    #[default]
    Stdout,
    /// Appended to.
    File(PathBuf),
}

// === impl AccessLogTarget ===

impl AccessLogTarget {
    /// `None`: no access log. `Some(None)`: standard output.
    pub fn destination(&self) -> Option<Option<&Path>> {
        match self {
            Self::Off => None,
            Self::Stdout => Some(None),
            Self::File(path) => Some(Some(path)),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_or_a_path() {
        for (text, target) in [
            ("off", AccessLogTarget::Off),
            ("stdout", AccessLogTarget::Stdout),
            ("/var/log/genkan.log", AccessLogTarget::File("/var/log/genkan.log".into())),
        ] {
            assert_eq!(AccessLogTarget::from(text.to_owned()), target);
            assert_eq!(String::from(target), text);
        }
    }
}
