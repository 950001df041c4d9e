//! Which origins may read the answers of a route, and what their browsers are told.

use http::HeaderValue;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cors {
    pub origins: Origins,
    pub credentials: bool,
    /// Values of `Access-Control-Allow-Methods`, `-Allow-Headers`, `-Max-Age`, `-Expose-Headers`.
    #[serde(with = "super::replica::header::value")]
    pub methods: HeaderValue,
    #[serde(with = "super::replica::header::value")]
    pub headers: HeaderValue,
    #[serde(with = "super::replica::header::value")]
    pub max_age: HeaderValue,
    #[serde(with = "super::replica::header::optional")]
    pub expose: Option<HeaderValue>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origins {
    /// `*`
    Any,
    Listed(Box<[Origin]>),
}

/// `scheme://host[:port]`; the host may begin with `*.` for one label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    before: Box<str>,
    /// What follows the `*`.
    after: Option<Box<str>>,
}

// === impl Origins ===

impl Origins {
    /// Entries of the grammar; one `*` among them is all there is.
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str> + Clone) -> Self {
        if texts.clone().into_iter().any(|text| text == "*") {
            return Self::Any;
        }
        Self::Listed(texts.into_iter().map(Origin::of).collect())
    }

    pub fn lists(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(origins) => origins.iter().any(|listed| listed.is(origin)),
        }
    }
}

// === impl Origin ===

impl Origin {
    fn of(text: &str) -> Self {
        match text.split_once('*') {
            Some((before, after)) => Self { before: before.into(), after: Some(after.into()) },
            None => Self { before: text.into(), after: None },
        }
    }

    /// The whole of it, in any case.
    fn is(&self, origin: &[u8]) -> bool {
        let Some(after) = &self.after else {
            return origin.eq_ignore_ascii_case(self.before.as_bytes());
        };
        let Some((before, rest)) = origin.split_at_checked(self.before.len()) else { return false };
        let Some(label) = rest.len().checked_sub(after.len()) else { return false };
        let (label, end) = rest.split_at(label);
        before.eq_ignore_ascii_case(self.before.as_bytes())
            && end.eq_ignore_ascii_case(after.as_bytes())
            && !label.is_empty()
            && label.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_as_a_whole() {
        let listed = |list: &[&str], origin: &str| {
            Origins::of(list.iter().copied()).lists(origin.as_bytes())
        };
        for (list, origin, yes) in [
            (&["https://a.example"][..], "https://a.example", true),
            (&["https://a.example"], "HTTPS://A.example", true),
            (&["https://a.example"], "http://a.example", false),
            (&["https://a.example"], "https://a.example:443", false),
            (&["https://a.example"], "https://a.example.evil", false),
            (&["https://a.example"], "evil https://a.example", false),
            (&["https://a.example"], "https://xa.example", false),
            (&["https://a.example:8443"], "https://a.example:8443", true),
            (&["https://a.example", "http://b.example"], "http://b.example", true),
            (&["https://*.a.example"], "https://b.a.example", true),
            (&["https://*.a.example"], "https://b-1.A.example", true),
            (&["https://*.a.example"], "https://a.example", false),
            (&["https://*.a.example"], "https://.a.example", false),
            (&["https://*.a.example"], "https://c.b.a.example", false),
            (&["https://*.a.example"], "https://evil/.a.example", false),
            (&["https://*.a.example:8443"], "https://b.a.example:8443", true),
            (&["https://*.a.example:8443"], "https://b.a.example", false),
            (&["https://a.example"], "", false),
            (&[], "https://a.example", false),
            (&["https://a.example", "*"], "null", true),
        ] {
            assert_eq!(listed(list, origin), yes, "{list:?} {origin}");
        }
    }
}
