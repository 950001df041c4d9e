//! Which of a route's two Services a request gets, and what of the request says so.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::Question;
use crate::routing::canary::{Canary, Choice};
use crate::routing::route::{Action, Route};
use crate::routing::snapshot::Snapshot;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryAnswer {
    /// `namespace/service:port`, or what keeps it from being one.
    pub backend: String,
    /// Whether it gets the request; absent: its weight decides, each time anew.
    pub taken: Option<bool>,
    /// So many of `total` requests about which nothing else decides.
    pub weight: u32,
    pub total: u32,
    pub why: String,
}

/// `None`: the route has no canary.
pub(in crate::routing) fn answer(
    route: &Route,
    question: &Question,
    snapshot: &Snapshot,
) -> Option<CanaryAnswer> {
    let filters = route.filters.as_deref()?;
    let canary = filters.canary.as_deref()?;
    let headers = headers(question);
    let session = filters.affinity.as_deref().and_then(|affinity| affinity.session(&headers));
    let choice = canary.choose(&route.action, session, snapshot, &headers);
    let backend = match &canary.action {
        Action::Forward(id) => {
            snapshot.cluster(*id).map_or("no such cluster", |cluster| &cluster.name).to_owned()
        }
        Action::Refuse { reason, .. } => reason.to_string(),
        Action::Redirect(moved) => moved.to.to_string(),
    };
    let (taken, why) = (choice.of(canary), why(choice, canary, &headers));
    Some(CanaryAnswer { backend, taken, weight: canary.weight, total: canary.total, why })
}

/// As far as a client could send them.
fn headers(question: &Question) -> HeaderMap {
    let field = |(name, value): &(String, String)| {
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?))
    };
    question.headers.iter().filter_map(field).fold(HeaderMap::new(), |mut all, (name, value)| {
        all.append(name, value);
        all
    })
}

fn why(choice: Choice, canary: &Canary, headers: &HeaderMap) -> String {
    match choice {
        Choice::NotReady => "it has no endpoint that is ready".to_owned(),
        Choice::Session(true) => "the session cookie is one of the canary".to_owned(),
        Choice::Session(false) => "the session cookie is one of the other Service".to_owned(),
        Choice::Header(_) => {
            let name = canary.header.as_ref().map(|(name, _)| name);
            let value = name.and_then(|name| headers.get(name));
            let value = String::from_utf8_lossy(value.map_or(b"", HeaderValue::as_bytes));
            format!("header {}: {value}", name.map_or("", HeaderName::as_str))
        }
        Choice::Cookie(takes) => {
            let (name, word) = (canary.cookie.as_deref(), if takes { "always" } else { "never" });
            format!("cookie {}={word}", name.unwrap_or_default())
        }
        Choice::Weight => {
            format!("nothing of the request decides: {} of {}", canary.weight, canary.total)
        }
    }
}
