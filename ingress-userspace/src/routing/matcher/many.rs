//! The rules of a host with many paths: hash tables, asked once for each length of a key.

use std::cmp::Reverse;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::{Found, PathMatch, PathRule, Ranked, is_boundary, keep_greater};
use crate::routing::route::Route;

#[derive(Debug, Clone, Default)]
pub(super) struct Many {
    exact: HashMap<Arc<str>, Arc<Route>, RandomState>,
    prefix: PrefixTable,
    bytes: PrefixTable,
}

/// Rules that match what begins with their key, by the lengths of the keys, longest first.
#[derive(Debug, Clone, Default)]
struct PrefixTable {
    lengths: Box<[usize]>,
    rules: HashMap<Arc<str>, Ranked, RandomState>,
}

// === impl Many ===

impl Many {
    pub(super) fn new(rules: Vec<PathRule>) -> Self {
        let mut many = Self::default();
        for rule in rules {
            match rule.way {
                PathMatch::Exact => {
                    many.exact.insert(rule.text, rule.route);
                }
                PathMatch::Prefix | PathMatch::Elements => {
                    many.prefix.insert(rule.key().into(), rule.ranked());
                }
                PathMatch::Bytes | PathMatch::Regex => {
                    many.bytes.insert(rule.key().into(), rule.ranked());
                }
            }
        }
        many.prefix.finish();
        many.bytes.finish();
        many
    }

    pub(super) fn find(&self, path: &str) -> Option<Found<'_>> {
        if !self.exact.is_empty()
            && let Some(route) = self.exact.get(path)
        {
            return Some(Found::Exact(route));
        }
        let mut best = self.prefix.longest(path, |at| is_boundary(path, at));
        if let Some(bytes) = self.bytes.longest(path, |_| true) {
            best = best.filter(|best| best.rank > bytes.rank).or(Some(bytes));
        }
        best.map(|best| Found::Prefix(best.rank.0, &best.route))
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
