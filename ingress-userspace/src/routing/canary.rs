//! The share of a route's requests that another Service gets (`deploy/docs/annotations.md`).

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::affinity::{Session, cluster_tag};
use super::cluster::{Cluster, ClusterState};
use super::cookie;
use super::route::Action;
use super::snapshot::Snapshot;
use crate::model::pattern::Pattern;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// Instead of the route's.
    pub action: Action,
    #[serde(with = "super::replica::header::ruled")]
    pub header: Option<(HeaderName, HeaderRule)>,
    /// Name of a cookie whose value is `always` or `never`.
    #[serde(with = "crate::arc::optional")]
    pub cookie: Option<Arc<str>>,
    /// So many of `total` requests about which nothing else decides.
    pub weight: u32,
    pub total: u32,
    /// A session decides before header, cookie and weight.
    pub sticky: bool,
}

/// Which values of a header field decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeaderRule {
    /// `always` and `never`.
    Words,
    /// This one, for the canary.
    Equals(#[serde(with = "super::replica::header::value")] HeaderValue),
    /// Those in which it is found, for the canary.
    Matches(Pattern),
}

/// What decides between a route's Service and its canary; true = the canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The canary has no endpoint.
    NotReady,
    Session(bool),
    Header(bool),
    Cookie(bool),
    /// Nothing of the request: `weight` of `total`.
    Weight,
}

// === impl Canary ===

impl Canary {
    /// `route`: what the route does with the others. `session`: of the request's cookie.
    pub fn choose(
        &self,
        route: &Action,
        session: Option<Session>,
        snapshot: &Snapshot,
        headers: &HeaderMap,
    ) -> Choice {
        let other = forwarded_to(&self.action, snapshot);
        if other.is_some_and(|other| other.state != ClusterState::Ready) {
            return Choice::NotReady;
        }
        let session = session.filter(|_| self.sticky);
        let is_of = |cluster: Option<&Arc<Cluster>>| {
            let tag = cluster.map(|cluster| cluster_tag(&cluster.name));
            session.is_some_and(|session| Some(session.cluster) == tag)
        };
        if is_of(other) {
            Choice::Session(true)
        } else if is_of(forwarded_to(route, snapshot)) {
            Choice::Session(false)
        } else {
            self.choose_by_request(headers)
        }
    }

    fn choose_by_request(&self, headers: &HeaderMap) -> Choice {
        let by_header = self.by_header(headers).map(Choice::Header);
        let by_cookie = || self.by_cookie(headers).map(Choice::Cookie);
        by_header.or_else(by_cookie).unwrap_or(Choice::Weight)
    }

    fn by_header(&self, headers: &HeaderMap) -> Option<bool> {
        let (name, rule) = self.header.as_ref()?;
        let value = headers.get(name)?;
        match rule {
            HeaderRule::Words => word(value.as_bytes()),
            HeaderRule::Equals(wanted) => (value == wanted).then_some(true),
            HeaderRule::Matches(pattern) => pattern.is_in(value.as_bytes()).then_some(true),
        }
    }

    fn by_cookie(&self, headers: &HeaderMap) -> Option<bool> {
        word(cookie::value(headers, self.cookie.as_deref()?)?)
    }
}

// === impl Choice ===

impl Choice {
    /// Whether the request is one of the canary's; `None`: that is drawn.
    pub fn of(self, canary: &Canary) -> Option<bool> {
        match self {
            Self::NotReady => Some(false),
            Self::Session(takes) | Self::Header(takes) | Self::Cookie(takes) => Some(takes),
            Self::Weight if canary.weight == 0 => Some(false),
            Self::Weight if canary.weight >= canary.total => Some(true),
            Self::Weight => None,
        }
    }

    /// `draw` gives a number below the one that it is given, each as often.
    pub fn takes(self, canary: &Canary, draw: impl FnOnce(u32) -> u32) -> bool {
        self.of(canary).unwrap_or_else(|| draw(canary.total) < canary.weight)
    }
}

fn forwarded_to<'a>(action: &Action, snapshot: &'a Snapshot) -> Option<&'a Arc<Cluster>> {
    match action {
        Action::Forward(id) => snapshot.cluster(*id),
        Action::Redirect(_) | Action::Refuse { .. } => None,
    }
}

fn word(value: &[u8]) -> Option<bool> {
    match value {
        b"always" => Some(true),
        b"never" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::header::COOKIE;

    use super::*;
    use crate::routing::ClusterId;

    fn canary() -> Canary {
        Canary {
            action: Action::Forward(ClusterId(1)),
            header: None,
            cookie: None,
            weight: 0,
            total: 100,
            sticky: true,
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair =
            |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        pairs.iter().map(pair).collect()
    }

    /// What it decides without a draw.
    fn decided(canary: &Canary, pairs: &[(&'static str, &'static str)]) -> Option<bool> {
        let canary = Canary { weight: 1, ..canary.clone() };
        canary.choose_by_request(&headers(pairs)).of(&canary)
    }

    #[test]
    fn header_then_cookie_then_weight() {
        let canary = Canary {
            header: Some((HeaderName::from_static("x-canary"), HeaderRule::Words)),
            cookie: Some("try".into()),
            ..canary()
        };
        for (pairs, expected) in [
            (&[][..], None),
            (&[("x-canary", "always")], Some(true)),
            (&[("x-canary", "never")], Some(false)),
            (&[("x-canary", "Always")], None),
            (&[("cookie", "try=always")], Some(true)),
            (&[("cookie", "a=b; try=never")], Some(false)),
            (&[("cookie", "try=maybe")], None),
            (&[("cookie", "retry=always")], None),
            (&[("x-canary", "never"), ("cookie", "try=always")], Some(false)),
            (&[("x-canary", "maybe"), ("cookie", "try=always")], Some(true)),
        ] {
            assert_eq!(decided(&canary, pairs), expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_value_or_a_pattern_takes_the_place_of_the_words() {
        let name = HeaderName::from_static("x-region");
        let equals = HeaderRule::Equals(HeaderValue::from_static("eu"));
        let matches = HeaderRule::Matches(Pattern::new("^(eu|us)-").unwrap());
        for (rule, value, expected) in [
            (&equals, "eu", Some(true)),
            (&equals, "eu-1", None),
            (&equals, "always", None),
            (&matches, "us-2", Some(true)),
            (&matches, "ap-1", None),
            (&matches, "never", None),
        ] {
            let canary = Canary { header: Some((name.clone(), rule.clone())), ..canary() };
            assert_eq!(decided(&canary, &[("x-region", value)]), expected, "{rule:?} {value}");
        }
    }

    #[test]
    fn a_weight_takes_its_share_of_the_total() {
        let canary = Canary { weight: 30, total: 200, ..canary() };
        let choice = canary.choose_by_request(&HeaderMap::new());
        let taken = (0..200).filter(|n| {
            choice.takes(&canary, |total| {
                assert_eq!(total, 200);
                *n
            })
        });
        assert_eq!(taken.count(), 30);
        let with = |weight| Canary { weight, ..canary.clone() };
        assert!(choice.takes(&with(500), |total| total - 1));
        assert!(!choice.takes(&with(0), |_| 0));
        assert_eq!(headers(&[("cookie", "x")]).get_all(COOKIE).iter().count(), 1);
    }
}
