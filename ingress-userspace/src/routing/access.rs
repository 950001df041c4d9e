//! Who may send requests to a route, how many, and with which password; ready to be applied.
//!
//! Made from the annotations of an Ingress. What cannot be made closes its paths instead (C13), so
//! there is nothing here that admits for want of a rule.

use std::sync::Arc;

use http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::htpasswd::Users;
use crate::net::sources::{AddressSet, SourceRules};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    pub limits: Option<Limits>,
    pub sources: Option<SourceRules>,
    pub auth: Auth,
    /// `satisfy: any`: a source that the allow list names needs no password, and a password opens
    /// what the lists refuse.
    pub satisfy_any: bool,
}

/// Rates that an Ingress can have: of a second and of a minute.
pub const RATES: usize = 2;

/// For each client. All that are set have to admit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// `namespace/ingress`: all its paths count together, and an edit forgets nothing.
    #[serde(with = "crate::arc")]
    pub id: Arc<str>,
    pub rates: [Option<Rate>; RATES],
    /// Requests under way at a time; each stream of HTTP/2 is one.
    pub connections: Option<u32>,
    /// Clients without limits.
    pub exempt: AddressSet,
}

/// A leaky bucket, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// In which one request drains.
    pub period: u64,
    /// What may wait to drain when another request comes.
    pub burst: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Auth {
    #[default]
    None,
    Basic(Basic),
    /// Asked for, but nobody can come in: there is no usable Secret. 503.
    Unusable,
}

/// Basic authentication (RFC 7617).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basic {
    /// Come apart to another process, once for all that share them; nobody until then.
    #[serde(skip)]
    pub users: Arc<Users>,
    /// Value of `WWW-Authenticate`.
    #[serde(with = "super::replica::header::value")]
    pub challenge: HeaderValue,
}

// === impl Rate ===

impl Rate {
    const SECOND: u64 = 1_000_000_000;

    /// `burst` in requests.
    pub fn per_second(requests: u64, burst: u64) -> Self {
        Self::of(Self::SECOND, requests, burst)
    }

    pub fn per_minute(requests: u64, burst: u64) -> Self {
        Self::of(60 * Self::SECOND, requests, burst)
    }

    fn of(span: u64, requests: u64, burst: u64) -> Self {
        let period = (span / requests.max(1)).max(1);
        Self { period, burst: burst.saturating_mul(period) }
    }
}

// === impl Basic ===

impl Basic {
    /// `None`: the realm does not fit into a header field.
    pub fn new(users: Arc<Users>, realm: &str) -> Option<Self> {
        let mut challenge = String::from("Basic realm=\"");
        for character in realm.chars() {
            // RFC 9110 5.6.4.
            if matches!(character, '"' | '\\') {
                challenge.push('\\');
            }
            challenge.push(character);
        }
        challenge.push('"');
        let challenge = HeaderValue::try_from(challenge).ok()?;
        Some(Self { users, challenge })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realm_is_one_quoted_string_whatever_it_contains() {
        for (realm, challenge) in [
            ("", Some(r#"Basic realm="""#)),
            (
                "Authentication Required - foo",
                Some(r#"Basic realm="Authentication Required - foo""#),
            ),
            (r#"a", charset="x"#, Some(r#"Basic realm="a\", charset=\"x""#)),
            (r"a\", Some(r#"Basic realm="a\\""#)),
            ("a\r\nX: y", None),
            ("a\0", None),
        ] {
            let auth = Basic::new(Arc::default(), realm);
            assert_eq!(
                auth.as_ref().map(|a| a.challenge.to_str().unwrap()),
                challenge,
                "{realm:?}"
            );
        }
        assert!(Basic::new(Arc::default(), "für alle").is_some());
    }
}
