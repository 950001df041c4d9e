//! The share of a route's requests that another Service gets (`deploy/docs/annotations.md`).

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::cookie;
use super::route::Action;
use crate::model::pattern::Pattern;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// Instead of the route's.
    pub action: Action,
    pub header: Option<(HeaderName, HeaderRule)>,
    /// Name of a cookie whose value is `always` or `never`.
    pub cookie: Option<Arc<str>>,
    /// So many of `total` requests about which nothing else decides.
    pub weight: u32,
    pub total: u32,
    /// A session decides before header, cookie and weight.
    pub sticky: bool,
}

/// Which values of a header field decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderRule {
    /// `always` and `never`.
    Words,
    /// This one, for the canary.
    Equals(HeaderValue),
    /// Those in which it is found, for the canary.
    Matches(Pattern),
}

// === impl Canary ===

impl Canary {
    /// Whether a request without a session is one of the canary's. `draw` gives a number below the
    /// one that it is given, each as often.
    pub fn takes(&self, headers: &HeaderMap, draw: impl FnOnce(u32) -> u32) -> bool {
        self.by_header(headers)
            .or_else(|| self.by_cookie(headers))
            .unwrap_or_else(|| self.weight > 0 && draw(self.total) < self.weight)
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

    /// What it decides when the draw would send the request to the canary, and when not.
    fn decided(canary: &Canary, pairs: &[(&'static str, &'static str)]) -> Option<bool> {
        let with = |weight| Canary { weight, ..canary.clone() };
        let all = with(canary.total).takes(&headers(pairs), |_| 0);
        let none = with(0).takes(&headers(pairs), |_| 0);
        (all == none).then_some(all)
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
        let taken = (0..200).filter(|n| {
            canary.takes(&HeaderMap::new(), |total| {
                assert_eq!(total, 200);
                *n
            })
        });
        assert_eq!(taken.count(), 30);
        assert!(Canary { weight: 500, ..canary }.takes(&HeaderMap::new(), |total| total - 1));
        assert_eq!(headers(&[("cookie", "x")]).get_all(COOKIE).iter().count(), 1);
    }
}
