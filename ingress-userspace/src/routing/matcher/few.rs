//! The rules of a host with few paths: all in one slice, in the order in which they win, so that the
//! first match is the answer.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use super::{Found, PathMatch, PathRule, is_boundary};
use crate::routing::route::Route;

#[derive(Debug, Clone, Default)]
pub(super) struct Few {
    /// The keys of all rules, one after the other.
    keys: Box<str>,
    rules: Box<[Rule]>,
}

#[derive(Debug, Clone)]
struct Rule {
    key: Range<u32>,
    /// Length of the text as written, with its trailing slash.
    length: u32,
    way: PathMatch,
    route: Arc<Route>,
}

// === impl Few ===

impl Few {
    /// With more rules than this, hash tables are quicker.
    pub(super) const MOST: usize = 12;

    pub(super) fn new(mut rules: Vec<PathRule>) -> Self {
        rules.sort_by_key(|rule| Reverse((rule.way == PathMatch::Exact, rule.rank())));
        let mut keys = String::new();
        let rules = rules
            .into_iter()
            .map(|rule| {
                let start = keys.len();
                keys.push_str(rule.key());
                Rule {
                    key: position(start)..position(keys.len()),
                    length: position(rule.text.len()),
                    way: rule.way,
                    route: rule.route,
                }
            })
            .collect();
        Self { keys: keys.into(), rules }
    }

    pub(super) fn find(&self, path: &str) -> Option<Found<'_>> {
        self.rules.iter().find_map(|rule| {
            let key = &self.keys[rule.key.start as usize..rule.key.end as usize];
            if !path.starts_with(key) {
                return None;
            }
            match rule.way {
                PathMatch::Exact => (path.len() == key.len()).then_some(Found::Exact(&rule.route)),
                PathMatch::Prefix | PathMatch::Elements if !is_boundary(path, key.len()) => None,
                PathMatch::Prefix | PathMatch::Elements | PathMatch::Bytes | PathMatch::Regex => {
                    Some(Found::Prefix(rule.length as usize, &rule.route))
                }
            }
        })
    }
}

fn position(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("an object of an API server is smaller than 4 GiB")
}
