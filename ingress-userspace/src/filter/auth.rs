//! Basic authentication: is this user's password right?
//!
//! A check may take a tenth of a second of a CPU by design, so it is done by a few threads of its
//! own behind a bounded [`queue`], never by a worker, and its verdict is remembered by a keyed
//! digest ([`verdicts`]). A verdict holds for one hash of the password file: when the Secret changes
//! the hash, nothing that was remembered fits any more. Anything unexpected is a refusal.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::htpasswd::{MAX_PASSWORD, Users};

mod credentials;
mod queue;
mod verdicts;

use credentials::Credentials;
use queue::Queue;
use verdicts::Verdicts;

/// Checks passwords for all workers of a node.
#[derive(Debug, Default)]
pub struct Passwords {
    verdicts: Verdicts,
    queue: Queue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Right,
    /// Absent, unreadable, or wrong.
    Wrong,
    /// Too many passwords wait to be checked, of all clients or of this one.
    Busy,
}

// === impl Passwords ===

impl Passwords {
    /// The user and password of a request against those who may come in.
    pub async fn check(&self, users: &Users, request: &HeaderMap, client: IpAddr) -> Verdict {
        let mut fields = request.get_all(AUTHORIZATION).iter();
        let (Some(field), None) = (fields.next(), fields.next()) else { return Verdict::Wrong };
        let Some(credentials) = Credentials::read(field) else { return Verdict::Wrong };
        let (user, password) = (credentials.user(), credentials.password());
        let known = users.find(user);
        let Some(entry) = known.or_else(|| users.decoy()) else { return Verdict::Wrong };
        if password.len() > MAX_PASSWORD {
            return Verdict::Wrong;
        }
        let right = if entry.is_cheap() {
            entry.admits(password)
        } else {
            // With the user, or a password that is remembered would tell that he is unknown.
            let digest = self.verdicts.digest(user, entry.text(), password);
            match self.verdicts.find(&digest) {
                Some(right) => right,
                None => {
                    let checked = self.queue.check(&digest, client, entry, password).await;
                    let Some(right) = checked else { return Verdict::Busy };
                    self.verdicts.remember(&digest, right);
                    right
                }
            }
        };
        if right && known.is_some() { Verdict::Right } else { Verdict::Wrong }
    }
}

#[cfg(test)]
mod tests;
