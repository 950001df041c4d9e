//! A snapshot in another process: told once as a whole, then by what changes.
//!
//! Pure. [`Original`] stands where snapshots are compiled: it compares the one that it told last
//! with the next and puts the difference into [`Message`]s, at the cost of the change, because two
//! snapshots share what an edit did not touch. [`Replica`] stands where they are served: it builds
//! its own, just as shared, and gives it away at each [`Message::Commit`], so that nobody sees half
//! a change. A replica that starts anew is told everything; the one before serves until then.
//!
//! Not told: what only the control side is asked about (facts of certificates), and tallies, which
//! each side keeps for itself.

mod apply;
mod diff;
pub(super) mod header;
mod message;
mod shared;

pub use apply::{Refused, Replica};
pub use diff::Original;
pub use message::{Chain, Key, Message, RouteParts, Shared, Shown};

#[cfg(test)]
mod tests;
