//! The session of one request, and the choice between a route's Service and its canary.

use std::time::SystemTime;

use http::{HeaderMap, HeaderValue};

use crate::routing::affinity::{self, Affinity, Setting, cluster_tag};
use crate::routing::canary::Canary;
use crate::routing::{Cluster, Filters, Route, Snapshot};
use crate::upstream::{Lead, Sticky};

/// What a route with a cookie of ours knows of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session<'a> {
    affinity: &'a Affinity,
    cookie: Option<affinity::Session>,
}

// === impl Session ===

impl<'a> Session<'a> {
    /// `None`: the route has no sessions.
    pub(super) fn of(filters: &'a Filters, headers: &HeaderMap) -> Option<Self> {
        let affinity = filters.affinity.as_deref()?;
        Some(Self { affinity, cookie: affinity.session(headers) })
    }

    /// The number of the cookie, if it is one of this cluster.
    fn number(&self, cluster: &Cluster) -> Option<u64> {
        let cookie = self.cookie.filter(|cookie| cookie.cluster == cluster_tag(&cluster.name));
        cookie.map(|cookie| cookie.number)
    }

    pub(super) fn sticky(&self, cluster: &Cluster) -> Sticky {
        let to = match (self.affinity.persistent, self.number(cluster)) {
            (false, Some(key)) => Lead::Key(key),
            (false, None) => Lead::Key(fastrand::u64(..)),
            (true, Some(number)) => Lead::Endpoint(number),
            (true, None) => Lead::Anywhere,
        };
        Sticky { to, moves_on_failure: self.affinity.change_on_failure }
    }

    /// `Set-Cookie` of the answer, when the session is new or has moved. `number`: what it has
    /// become.
    pub(super) fn set_cookie(
        &self,
        number: Option<u64>,
        cluster: &Cluster,
        route: &Route,
        https: bool,
    ) -> Option<HeaderValue> {
        let number = number.filter(|number| self.number(cluster) != Some(*number))?;
        let session = affinity::Session { number, cluster: cluster_tag(&cluster.name) };
        let setting = Setting { path: &route.path, https, now: SystemTime::now() };
        self.affinity.set_cookie(session, setting)
    }
}

/// Whether a request goes to the canary: as its session says, else by the canary's own rules; never
/// to one that has no endpoint.
pub(super) fn takes(
    canary: &Canary,
    route: &Route,
    session: Option<&Session<'_>>,
    snapshot: &Snapshot,
    headers: &HeaderMap,
) -> bool {
    let cookie = session.and_then(|session| session.cookie);
    let choice = canary.choose(&route.action, cookie, snapshot, headers);
    choice.takes(canary, |total| fastrand::u32(..total))
}
