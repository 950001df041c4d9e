//! What is wrong with an object, as a value: it ends in the log, the status and the exit code of
//! `check`, and never stops anything but the thing it names.

use std::fmt;

use super::object::{ObjectRef, Origin};
use super::rule::RuleId;

/// One thing that was refused, ignored or replaced.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The object, when the document was readable enough to name it.
    pub object: Option<ObjectRef>,
    pub origin: Origin,
    /// Field path inside the object, such as `spec.rules[1].http.paths[0].backend`; may be empty.
    pub field: String,
    pub reason: Reason,
    /// The rule that was broken, or that settled a conflict; reading text follows none.
    pub rule: Option<RuleId>,
    /// One sentence: what was found, what was expected, what happens now.
    pub message: String,
}

/// Stable reasons of problems, in the form that Kubernetes Events have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The document is not readable YAML/JSON, or a field has the wrong type.
    InvalidDocument,
    /// The object parsed but a value breaks the API's validation rules.
    InvalidObject,
    /// Two documents with one kind, namespace and name: the first stays.
    DuplicateObject,
    InvalidAnnotation,
    UnsupportedAnnotation,
    ConflictingPath,
    ConflictingHost,
    ServiceNotFound,
    PortNotFound,
    NoEndpoints,
    InvalidEndpoint,
    SecretNotFound,
    ConfigMapNotFound,
    SecretInvalid,
    CertificateMismatch,
    CertificateExpired,
    UnsupportedBackend,
    UnsupportedKind,
    /// The API server does not let us read it.
    Forbidden,
}

// === impl Reason ===

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidDocument => "InvalidDocument",
            Self::InvalidObject => "InvalidObject",
            Self::DuplicateObject => "DuplicateObject",
            Self::InvalidAnnotation => "InvalidAnnotation",
            Self::UnsupportedAnnotation => "UnsupportedAnnotation",
            Self::ConflictingPath => "ConflictingPath",
            Self::ConflictingHost => "ConflictingHost",
            Self::ServiceNotFound => "ServiceNotFound",
            Self::PortNotFound => "PortNotFound",
            Self::NoEndpoints => "NoEndpoints",
            Self::InvalidEndpoint => "InvalidEndpoint",
            Self::SecretNotFound => "SecretNotFound",
            Self::ConfigMapNotFound => "ConfigMapNotFound",
            Self::SecretInvalid => "SecretInvalid",
            Self::CertificateMismatch => "CertificateMismatch",
            Self::CertificateExpired => "CertificateExpired",
            Self::UnsupportedBackend => "UnsupportedBackend",
            Self::UnsupportedKind => "UnsupportedKind",
            Self::Forbidden => "Forbidden",
        }
    }

    /// The rule that is meant unless the place that raises the problem knows a better one.
    pub fn rule(self) -> Option<RuleId> {
        Some(match self {
            Self::InvalidDocument
            | Self::DuplicateObject
            | Self::UnsupportedKind
            | Self::Forbidden => return None,
            Self::InvalidObject => RuleId::Validation,
            Self::InvalidAnnotation | Self::UnsupportedAnnotation => RuleId::D20,
            Self::ConflictingPath => RuleId::C1,
            Self::ConflictingHost => RuleId::C4,
            Self::ServiceNotFound | Self::NoEndpoints => RuleId::C9,
            Self::PortNotFound => RuleId::C10,
            Self::InvalidEndpoint => RuleId::E2,
            Self::ConfigMapNotFound => RuleId::C13,
            Self::SecretNotFound => RuleId::T9,
            Self::SecretInvalid => RuleId::T3,
            Self::CertificateMismatch => RuleId::T8,
            Self::CertificateExpired => RuleId::T10,
            Self::UnsupportedBackend => RuleId::C12,
        })
    }
}

// === impl Problem ===

impl Problem {
    /// The same problem by another rule than that of its reason.
    #[must_use]
    pub fn by(self, rule: RuleId) -> Self {
        Self { rule: Some(rule), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{} ({}", self.message, self.reason.as_str())?;
        if let Some(rule) = self.rule {
            write!(f, ", {rule}")?;
        }
        f.write_str(")")
    }
}
