//! What does not work, each once when it appears and once when it is gone.

use std::collections::BTreeMap;
use std::fmt::Display;

#[derive(Debug, Default)]
pub(super) struct Complaints {
    standing: BTreeMap<&'static str, String>,
}

// === impl Complaints ===

impl Complaints {
    /// `what` does not work, and why.
    pub(super) fn raise(&mut self, what: &'static str, why: &impl Display) {
        let why = why.to_string();
        if self.standing.get(what) != Some(&why) {
            tracing::warn!("{what}: {why}");
            self.standing.insert(what, why);
        }
    }

    pub(super) fn resolve(&mut self, what: &'static str) {
        if let Some(why) = self.standing.remove(what) {
            tracing::info!(why, "resolved: {what}");
        }
    }

    /// Hands `result` on.
    pub(super) fn hear<T, E: Display>(
        &mut self,
        what: &'static str,
        result: Result<T, E>,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                self.resolve(what);
                Some(value)
            }
            Err(error) => {
                self.raise(what, &error);
                None
            }
        }
    }
}
