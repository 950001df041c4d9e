//! Which of one host's paths takes a request path (`semantics.md` 2.2, 2.3).
//!
//! In: the host's rules, each with the way it matches, conflicts already settled. Out: a
//! [`Matcher`] that finds the winner for a normalised path without allocating. Order: exact; then
//! the longest rule text, on a tie element prefix before the others, regexes last.

use std::cmp::Reverse;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::route::Route;

mod regex_tail;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum PathMatch {
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

#[derive(Debug, Clone, Default)]
pub(super) struct Matcher {
    exact: HashMap<Arc<str>, Arc<Route>, RandomState>,
    prefix: PrefixTable,
    bytes: PrefixTable,
    regex: RegexTail,
    /// What the empty path of `OPTIONS *` reaches: the rule `/` unless it is exact (P1).
    asterisk: Option<Arc<Route>>,
}

/// Rules that match what begins with their key, by the lengths of the keys, longest first.
#[derive(Debug, Clone, Default)]
struct PrefixTable {
    lengths: Box<[usize]>,
    rules: HashMap<Arc<str>, Ranked, RandomState>,
}

#[derive(Debug, Clone)]
struct Ranked {
    rank: Rank,
    route: Arc<Route>,
}

/// The greater wins.
type Rank = (usize, Reverse<PathMatch>);

// === impl Matcher ===

impl Matcher {
    /// `rules` hold no two of the same text and way. Every regex has passed
    /// [`pattern::check`](super::pattern::check).
    pub(super) fn new(rules: Vec<PathRule>) -> Self {
        let mut matcher = Self::default();
        let mut regexes = Vec::new();
        let mut asterisk: Option<Ranked> = None;
        for rule in rules {
            let rank = (rule.text.len(), Reverse(rule.way));
            let ranked = Ranked { rank, route: rule.route.clone() };
            if &*rule.text == "/" && rule.way != PathMatch::Exact {
                keep_greater(&mut asterisk, ranked.clone());
            }
            match rule.way {
                PathMatch::Exact => {
                    matcher.exact.insert(rule.text, rule.route);
                }
                PathMatch::Prefix | PathMatch::Elements => {
                    let key = match rule.text.strip_suffix('/') {
                        Some(key) => key.into(),
                        None => rule.text,
                    };
                    matcher.prefix.insert(key, ranked);
                }
                PathMatch::Bytes => matcher.bytes.insert(rule.text, ranked),
                PathMatch::Regex => regexes.push((rule.text, rule.route)),
            }
        }
        matcher.prefix.finish();
        matcher.bytes.finish();
        matcher.regex = RegexTail::new(regexes);
        matcher.asterisk = asterisk.map(|ranked| ranked.route);
        matcher
    }

    /// The route that wins `path`: normalised, or empty for `OPTIONS *`.
    pub(super) fn find(&self, path: &str) -> Option<&Arc<Route>> {
        if path.is_empty() {
            return self.asterisk.as_ref();
        }
        if !self.exact.is_empty()
            && let Some(route) = self.exact.get(path)
        {
            return Some(route);
        }
        let on_boundary = |at: usize| matches!(path.as_bytes().get(at), None | Some(b'/'));
        let mut best = self.prefix.longest(path, on_boundary);
        if let Some(bytes) = self.bytes.longest(path, |_| true) {
            best = best.filter(|best| best.rank > bytes.rank).or(Some(bytes));
        }
        let beaten_from = best.map_or(0, |best| best.rank.0 + 1);
        match self.regex.first(path, beaten_from) {
            Some(route) => Some(route),
            None => best.map(|best| &best.route),
        }
    }
}

// === impl PrefixTable ===

impl PrefixTable {
    fn insert(&mut self, key: Arc<str>, ranked: Ranked) {
        let mut kept = self.rules.remove(&key);
        keep_greater(&mut kept, ranked);
        self.rules.extend(kept.map(|kept| (key, kept)));
    }

    fn finish(&mut self) {
        let mut lengths: Vec<usize> = self.rules.keys().map(|key| key.len()).collect();
        lengths.sort_unstable_by_key(|&length| Reverse(length));
        lengths.dedup();
        self.lengths = lengths.into();
    }

    fn longest(&self, path: &str, ends: impl Fn(usize) -> bool) -> Option<&Ranked> {
        let mut lengths = self.lengths.iter().filter(|&&length| length <= path.len());
        lengths.find_map(|&length| {
            if !ends(length) {
                return None;
            }
            self.rules.get(path.get(..length)?)
        })
    }
}

fn keep_greater(kept: &mut Option<Ranked>, other: Ranked) {
    if kept.as_ref().is_none_or(|kept| kept.rank < other.rank) {
        *kept = Some(other);
    }
}
