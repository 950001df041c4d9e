//! Why the API server could not be asked, in words that are the same for all watches that meet it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::resource::Resource;

/// A request that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Status of the answer; 0 without one.
    code: u16,
    message: String,
}

// === impl Fault ===

impl Fault {
    pub(super) fn silent(resource: &Resource, limit: Duration) -> Self {
        let seconds = limit.as_secs_f64();
        Self { code: 0, message: format!("no answer about {resource} within {seconds:.0} s") }
    }

    /// The stream of an answer ended in its midst.
    pub(super) fn dropped(resource: &Resource, error: &dyn Error) -> Self {
        Self {
            code: 0,
            message: format!("the answer about {resource} broke off: {}", chain(error)),
        }
    }

    pub(super) fn not_text(resource: &Resource) -> Self {
        Self { code: 0, message: format!("the answer about {resource} is no text") }
    }

    pub(super) fn refused(code: u16, message: &str) -> Self {
        // What else is on the way may answer with a page.
        let message: String =
            message.lines().next().unwrap_or_default().chars().take(300).collect();
        Self { code, message: format!("the API server answers {code}: {message}") }
    }

    /// The text is not in the message: it may hold keys.
    pub(super) fn unreadable(resource: &Resource, error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let message = format!("{resource} are not readable at line {line}, column {column}");
        Self { code: 0, message }
    }

    /// The object does not exist.
    pub(super) fn is_absence(&self) -> bool {
        self.code == 404
    }

    /// 410 Gone: from that version on nothing is known any more.
    pub(super) fn is_expiry(&self) -> bool {
        self.code == 410
    }

    pub(super) fn is_forbidden(&self) -> bool {
        self.code == 403
    }

    /// The server does not know who we are.
    pub(super) fn is_unknown_user(&self) -> bool {
        self.code == 401
    }
}

impl From<kube::Error> for Fault {
    fn from(error: kube::Error) -> Self {
        Self { code: 0, message: format!("the API server is not reached: {}", chain(&error)) }
    }
}

/// An error and what it comes from, each said once.
fn chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = error.source();
    }
    message
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
