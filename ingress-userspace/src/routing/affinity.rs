//! Sessions: the requests of one client meet one endpoint, told by a cookie (`deploy/docs/annotations.md`).
//!
//! Nothing is kept anywhere. The cookie holds a number that leads to an endpoint, and the cluster
//! for which it does; each node computes the same from it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};

use super::cookie;
use crate::model::options::SameSite;

/// The default name, that of ingress-nginx.
pub const NAME: &str = "INGRESSCOOKIE";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affinity {
    #[serde(with = "crate::arc")]
    pub name: Arc<str>,
    /// The number is that of an endpoint and holds as long as that lives; else it is a key, which
    /// leads to another endpoint when there are new ones that take their share.
    pub persistent: bool,
    /// A session whose endpoint fails moves for good, not for one request.
    pub change_on_failure: bool,
    /// `None`: the path of the route.
    #[serde(with = "crate::arc::optional")]
    pub path: Option<Arc<str>>,
    #[serde(with = "crate::arc::optional")]
    pub domain: Option<Arc<str>>,
    /// Seconds from the answer.
    pub expires: Option<i64>,
    pub max_age: Option<i64>,
    pub same_site: Option<SameSite>,
    /// `None`: when the request came over HTTPS.
    pub secure: Option<bool>,
}

/// What a cookie says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Leads to an endpoint.
    pub number: u64,
    /// Of which cluster: [`cluster_tag`] of its name.
    pub cluster: u32,
}

/// Where and when a cookie is set.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// Path of the route, as written.
    pub path: &'a str,
    pub https: bool,
    pub now: SystemTime,
}

// === impl Affinity ===

impl Affinity {
    /// The session of a request; `None` without a cookie that is one of ours.
    pub fn session(&self, headers: &HeaderMap) -> Option<Session> {
        Session::parse(cookie::value(headers, &self.name)?)
    }

    /// The value of `Set-Cookie`.
    pub fn set_cookie(&self, session: Session, setting: Setting<'_>) -> Option<HeaderValue> {
        let mut text = format!("{}={:016x}.{:08x}", self.name, session.number, session.cluster);
        if let Some(seconds) = self.expires {
            text.push_str("; Expires=");
            text.push_str(&httpdate::fmt_http_date(after(setting.now, seconds)));
        }
        if let Some(seconds) = self.max_age {
            text.push_str(&format!("; Max-Age={seconds}"));
        }
        if let Some(domain) = &self.domain {
            text.push_str("; Domain=");
            text.push_str(domain);
        }
        text.push_str("; Path=");
        text.push_str(self.path.as_deref().unwrap_or_else(|| plain_path(setting.path)));
        if self.secure.unwrap_or(setting.https) {
            text.push_str("; Secure");
        }
        text.push_str("; HttpOnly");
        text.push_str(match self.same_site {
            None => "",
            Some(SameSite::Strict) => "; SameSite=Strict",
            Some(SameSite::Lax) => "; SameSite=Lax",
            Some(SameSite::None) => "; SameSite=None",
        });
        HeaderValue::try_from(text).ok()
    }
}

// === impl Session ===

impl Session {
    fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let (number, cluster) = text.split_once('.')?;
        let is_hex = |text: &str, length| {
            text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit())
        };
        if !is_hex(number, 16) || !is_hex(cluster, 8) {
            return None;
        }
        let number = u64::from_str_radix(number, 16).ok()?;
        Some(Self { number, cluster: u32::from_str_radix(cluster, 16).ok()? })
    }
}

/// Tells clusters apart in cookies; the same on every node.
pub fn cluster_tag(name: &str) -> u32 {
    // Its high half is as good as its low one.
    (stable_hash(&[name.as_bytes()]) >> 32) as u32
}

/// FNV-1a over parts with their ends, spread by the last step of SplitMix64. Cookies outlive
/// processes and versions, so this must never change.
pub fn stable_hash(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.iter().copied().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    spread(hash)
}

/// Every bit of the result depends on every bit of `number`.
pub fn spread(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A path that is a regex is no path of a cookie; the whole host is.
fn plain_path(path: &str) -> &str {
    let plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_.~%:@".contains(&b));
    if plain && path.starts_with('/') { path } else { "/" }
}

fn after(now: SystemTime, seconds: i64) -> SystemTime {
    let span = Duration::from_secs(seconds.unsigned_abs());
    let moved = if seconds < 0 { now.checked_sub(span) } else { now.checked_add(span) };
    // Dates of HTTP have four digits and begin in 1970.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    moved.unwrap_or(now).clamp(SystemTime::UNIX_EPOCH, last)
}

#[cfg(test)]
mod tests {
    use http::header::COOKIE;

    use super::*;

    fn affinity() -> Affinity {
        Affinity {
            name: "s".into(),
            persistent: false,
            change_on_failure: false,
            path: None,
            domain: None,
            expires: None,
            max_age: None,
            same_site: None,
            secure: None,
        }
    }

    const SESSION: Session = Session { number: 0x1234, cluster: 0xab };

    fn set(affinity: &Affinity, path: &str, https: bool) -> String {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let value = affinity.set_cookie(SESSION, Setting { path, https, now });
        value.expect("a header value").to_str().expect("ASCII").to_owned()
    }

    #[test]
    fn cookies_are_written_with_their_attributes() {
        let value = "s=0000000000001234.000000ab";
        let plain = affinity();
        assert_eq!(set(&plain, "/app", false), format!("{value}; Path=/app; HttpOnly"));
        assert_eq!(set(&plain, "/app", true), format!("{value}; Path=/app; Secure; HttpOnly"));
        assert_eq!(set(&plain, "/app(/|$)(.*)", false), format!("{value}; Path=/; HttpOnly"));
        assert_eq!(set(&plain, "", false), format!("{value}; Path=/; HttpOnly"));
        let all = Affinity {
            path: Some("/x".into()),
            domain: Some("a.example".into()),
            expires: Some(60),
            max_age: Some(-1),
            same_site: Some(SameSite::None),
            secure: Some(true),
            ..affinity()
        };
        let wanted = format!(
            "{value}; Expires=Sun, 09 Sep 2001 01:47:40 GMT; Max-Age=-1; Domain=a.example; \
             Path=/x; Secure; HttpOnly; SameSite=None"
        );
        assert_eq!(set(&all, "/app", false), wanted);
        assert!(!set(&Affinity { secure: Some(false), ..all }, "/", true).contains("Secure"));
        for (seconds, year) in [(i64::MIN, "1970"), (i64::MAX, "2001"), (1 << 50, "9999")] {
            let text = set(&Affinity { expires: Some(seconds), ..affinity() }, "/", false);
            assert!(text.contains(year), "{text}");
        }
    }

    #[test]
    fn only_cookies_of_our_form_are_sessions() {
        let session = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, HeaderValue::from_str(value).expect("a header value"));
            affinity().session(&headers)
        };
        assert_eq!(session("s=0000000000001234.000000ab"), Some(SESSION));
        for other in [
            "",
            "t=0000000000001234.000000ab",
            "s=0000000000001234",
            "s=1234.ab",
            "s=+000000000001234.000000ab",
            "s=0000000000001234.000000abc",
            "s=000000000000123g.000000ab",
            "s=0000000000001234.000000ab.1",
        ] {
            assert_eq!(session(other), None, "{other}");
        }
    }

    /// Cookies of an older version still lead to the same endpoints.
    #[test]
    fn hashes_never_change() {
        assert_eq!(stable_hash(&[]), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(spread(1), 0x5692_161d_100b_05e5);
        assert_ne!(stable_hash(&[b"ab", b"c"]), stable_hash(&[b"a", b"bc"]));
    }
}
