//! Which of one host's paths takes a request path (2.2, 2.3).
//!
//! In: the host's rules, each with the way it matches, conflicts already settled. Out: a
//! [`Matcher`] that finds the winner for a normalised path without allocating. Order: exact; then
//! the longest rule text, on a tie element prefix before the others, regexes last.
//!
//! Most hosts have a handful of paths: those are compared one by one and lie in the matcher itself,
//! because with many hosts each pointer is a cache miss, and each hash table several.
//!
//! A clone shares all that is large.

use std::cmp::Reverse;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::route::Route;

mod few;
mod many;
mod regex_tail;

use few::Few;
use many::Many;
use regex_tail::RegexTail;

/// One rule of a host.
#[derive(Debug, Clone)]
pub(super) struct PathRule {
    /// Canonical for all ways but [`PathMatch::Regex`], there as written. Begins with a slash.
    pub(super) text: Arc<str>,
    pub(super) way: PathMatch,
    pub(super) route: Arc<Route>,
}

/// How a rule matches; the order settles ties of equally long texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PathMatch {
    /// Byte equality (P2).
    Exact,
    /// Leading elements (P3).
    Prefix,
    /// ImplementationSpecific outside of regex mode (P5): leading elements too, but loses ties.
    Elements,
    /// ImplementationSpecific as nginx reads it (P5): leading bytes.
    Bytes,
    /// Case-insensitive, anchored at the start.
    Regex,
}

/// The paths of one host.
#[derive(Debug, Clone, Default)]
pub(super) struct Matcher {
    texts: Texts,
    regex: RegexTail,
    /// What the empty path of `OPTIONS *` reaches: the rule `/` unless it is exact (P1).
    asterisk: Option<Arc<Route>>,
}

/// All rules that are no regex.
#[derive(Debug, Clone)]
enum Texts {
    Few(Few),
    Many(Arc<Many>),
}

#[derive(Debug, Clone)]
struct Ranked {
    rank: Rank,
    route: Arc<Route>,
}

/// The greater wins.
type Rank = (usize, Reverse<PathMatch>);

/// What the rules of a host that are no regex say of a path.
enum Found<'a> {
    /// Wins over every regex.
    Exact(&'a Arc<Route>),
    /// Wins over the regexes whose text is not longer than this.
    Prefix(usize, &'a Arc<Route>),
}

// === impl Matcher ===

impl Matcher {
    /// `rules` hold no two of the same text and way. Every regex has passed
    /// [`pattern::check`](super::pattern::check).
    pub(super) fn new(rules: Vec<PathRule>) -> Self {
        let (regexes, texts): (Vec<_>, Vec<_>) =
            rules.into_iter().partition(|rule| rule.way == PathMatch::Regex);
        let mut asterisk: Option<Ranked> = None;
        for rule in regexes.iter().chain(&texts) {
            if &*rule.text == "/" && rule.way != PathMatch::Exact {
                keep_greater(&mut asterisk, rule.ranked());
            }
        }
        let regexes = regexes.into_iter().map(|rule| (rule.text, rule.route)).collect();
        Self {
            texts: match Few::new(&texts) {
                Some(few) => Texts::Few(few),
                None => Texts::Many(Arc::new(Many::new(texts))),
            },
            regex: RegexTail::new(regexes),
            asterisk: asterisk.map(|ranked| ranked.route),
        }
    }

    /// The route that wins `path`: normalised, or empty for `OPTIONS *`.
    pub(super) fn find(&self, path: &str) -> Option<&Arc<Route>> {
        if path.is_empty() {
            return self.asterisk.as_ref();
        }
        let found = match &self.texts {
            Texts::Few(few) => few.find(path),
            Texts::Many(many) => many.find(path),
        };
        let (longest, prefix) = match found {
            Some(Found::Exact(route)) => return Some(route),
            Some(Found::Prefix(longest, route)) => (longest, Some(route)),
            None => (0, None),
        };
        self.regex.first(path, prefix.map_or(0, |_| longest + 1)).or(prefix)
    }
}

// === impl Texts ===

impl Default for Texts {
    fn default() -> Self {
        Self::Few(Few::default())
    }
}

// === impl PathRule ===

impl PathRule {
    fn ranked(&self) -> Ranked {
        Ranked { rank: self.rank(), route: self.route.clone() }
    }

    fn rank(&self) -> Rank {
        (self.text.len(), Reverse(self.way))
    }

    /// What a path has to begin with. Element prefixes end before their trailing slash (P3).
    fn key(&self) -> &str {
        match self.way {
            PathMatch::Prefix | PathMatch::Elements => {
                self.text.strip_suffix('/').unwrap_or(&self.text)
            }
            PathMatch::Exact | PathMatch::Bytes | PathMatch::Regex => &self.text,
        }
    }
}

/// Whether an element of `path` ends at `at`.
fn is_boundary(path: &str, at: usize) -> bool {
    matches!(path.as_bytes().get(at), None | Some(b'/'))
}

fn keep_greater(kept: &mut Option<Ranked>, other: Ranked) {
    if kept.as_ref().is_none_or(|kept| kept.rank < other.rank) {
        *kept = Some(other);
    }
}

#[cfg(test)]
mod tests;
