//! The rules of a host with few paths: all in one slice, in the order in which they win, so that the
//! first match is the answer.
//!
//! The usual handful lies in the host itself, without a pointer to follow: among many hosts a lookup
//! waits for each pointer.

use std::cmp::Reverse;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{Found, PathMatch, PathRule, is_boundary};
use crate::routing::route::Route;

#[derive(Debug, Clone, Default)]
pub(super) struct Few {
    /// The keys of all rules, one after the other.
    keys: SmallVec<[u8; 40]>,
    rules: SmallVec<[Rule; 4]>,
}

#[derive(Debug, Clone)]
struct Rule {
    /// Where the key lies in `keys`.
    start: u16,
    end: u16,
    /// Length of the text as written, with its trailing slash.
    length: u16,
    way: PathMatch,
    route: Arc<Route>,
}

// === impl Few ===

impl Few {
    /// With more rules than this, hash tables are quicker.
    const MOST: usize = 12;

    /// `None`: too many rules, or too long ones.
    pub(super) fn new(rules: &[PathRule]) -> Option<Self> {
        let bytes: usize = rules.iter().map(|rule| rule.text.len()).sum();
        if rules.len() > Self::MOST || bytes > usize::from(u16::MAX) {
            return None;
        }
        let position = |at| u16::try_from(at).expect("all texts together are shorter");
        let mut sorted: Vec<&PathRule> = rules.iter().collect();
        sorted.sort_by_key(|rule| Reverse((rule.way == PathMatch::Exact, rule.rank())));
        let mut few = Self::default();
        for rule in sorted {
            let start = position(few.keys.len());
            few.keys.extend_from_slice(rule.key().as_bytes());
            few.rules.push(Rule {
                start,
                end: position(few.keys.len()),
                length: position(rule.text.len()),
                way: rule.way,
                route: rule.route.clone(),
            });
        }
        Some(few)
    }

    pub(super) fn find(&self, path: &str) -> Option<Found<'_>> {
        self.rules.iter().find_map(|rule| {
            let key = &self.keys[usize::from(rule.start)..usize::from(rule.end)];
            if !path.as_bytes().starts_with(key) {
                return None;
            }
            match rule.way {
                PathMatch::Exact => (path.len() == key.len()).then_some(Found::Exact(&rule.route)),
                PathMatch::Prefix | PathMatch::Elements if !is_boundary(path, key.len()) => None,
                PathMatch::Prefix | PathMatch::Elements | PathMatch::Bytes | PathMatch::Regex => {
                    Some(Found::Prefix(usize::from(rule.length), &rule.route))
                }
            }
        })
    }
}
