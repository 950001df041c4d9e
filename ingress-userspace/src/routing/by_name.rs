//! Values of precise names and of one-label wildcards: the hosts and the certificates.
//!
//! A name and its value are one allocation, so that the comparison of the name brings what the
//! lookup is for into the cache.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use smallvec::SmallVec;

use super::trie::{Difference, Trie};
use crate::model::HostPattern;

#[derive(Clone)]
pub(super) struct ByName<V> {
    exact: Trie<Named<V>, ()>,
    /// Named by what follows `*.`.
    wildcard: Trie<Named<V>, ()>,
}

/// A value as the key of a set, compared by its name.
struct Named<V>(Arc<NameAndValue<V>>);

struct NameAndValue<V> {
    /// UTF-8; most names need no allocation of their own.
    name: SmallVec<[u8; 32]>,
    value: V,
}

// === impl ByName ===

impl<V> Default for ByName<V> {
    fn default() -> Self {
        Self { exact: Trie::default(), wildcard: Trie::default() }
    }
}

impl<V> fmt::Debug for ByName<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ByName({} names)", self.len())
    }
}

impl<V> ByName<V> {
    pub(super) fn len(&self) -> usize {
        self.exact.len() + self.wildcard.len()
    }

    /// Precise before wildcard (H3, H5, T4).
    pub(super) fn find(&self, name: &str) -> Option<&V> {
        self.precise(name).or_else(|| self.wildcard(name))
    }

    pub(super) fn precise(&self, name: &str) -> Option<&V> {
        value(&self.exact, name)
    }

    /// That of the wildcard that takes `name`: it stands for exactly one label.
    pub(super) fn wildcard(&self, name: &str) -> Option<&V> {
        let (_, parent) = name.split_once('.')?;
        value(&self.wildcard, parent)
    }

    /// That of this very pattern; [`HostPattern::Any`] has none.
    pub(super) fn of(&self, pattern: &HostPattern) -> Option<&V> {
        match pattern {
            HostPattern::Any => None,
            HostPattern::Exact(name) => value(&self.exact, name),
            HostPattern::Wildcard(parent) => value(&self.wildcard, parent),
        }
    }

    /// Nothing is kept for [`HostPattern::Any`].
    pub(super) fn set(&mut self, pattern: &HostPattern, value: Option<V>) {
        let (set, name) = match pattern {
            HostPattern::Any => return,
            HostPattern::Exact(name) => (&mut self.exact, name),
            HostPattern::Wildcard(parent) => (&mut self.wildcard, parent),
        };
        match value {
            Some(value) => {
                let name = SmallVec::from_slice(name.as_bytes());
                set.insert(Named(Arc::new(NameAndValue { name, value })), ());
            }
            None => set.remove(name.as_bytes()),
        }
    }

    pub(super) fn each_precise<'a>(&'a self, visit: impl FnMut(&'a str, &'a V)) {
        each(&self.exact, visit);
    }

    /// By what follows `*.`.
    pub(super) fn each_wildcard<'a>(&'a self, visit: impl FnMut(&'a str, &'a V)) {
        each(&self.wildcard, visit);
    }
}

/// What became of the value of a name: the new and the old one.
pub(super) type Change<'a, V> = dyn FnMut(HostPattern, Option<&V>, Option<&V>) + 'a;

impl<V> ByName<V> {
    /// The names whose value is another one than in `old`. Costs what an edit has changed.
    pub(super) fn since(&self, old: &Self, is_same: fn(&V, &V) -> bool, visit: &mut Change<'_, V>) {
        differences(&self.exact, &old.exact, is_same, HostPattern::Exact, visit);
        differences(&self.wildcard, &old.wildcard, is_same, HostPattern::Wildcard, visit);
    }
}

fn differences<V>(
    new: &Trie<Named<V>, ()>,
    old: &Trie<Named<V>, ()>,
    is_same: fn(&V, &V) -> bool,
    pattern: fn(Arc<str>) -> HostPattern,
    visit: &mut Change<'_, V>,
) {
    let unchanged =
        |a: &Named<V>, b: &Named<V>| Arc::ptr_eq(&a.0, &b.0) || is_same(&a.0.value, &b.0.value);
    new.since(old, |(a, ()), (b, ())| unchanged(a, b), &mut |difference| match difference {
        Difference::Set(named, ()) => {
            let before = old.get_key_value(named).map(|(before, ())| &before.0.value);
            visit(pattern(named.text().into()), Some(&named.0.value), before);
        }
        Difference::Gone(named, ()) => {
            visit(pattern(named.text().into()), None, Some(&named.0.value));
        }
    });
}

fn value<'a, V>(set: &'a Trie<Named<V>, ()>, name: &str) -> Option<&'a V> {
    set.get_key_value(name.as_bytes()).map(|(named, ())| &named.0.value)
}

fn each<'a, V>(set: &'a Trie<Named<V>, ()>, mut visit: impl FnMut(&'a str, &'a V)) {
    set.each(&mut |named, ()| {
        visit(named.text(), &named.0.value);
    });
}

// === impl Named ===

impl<V> Named<V> {
    fn text(&self) -> &str {
        str::from_utf8(&self.0.name).expect("it was made from a string")
    }
}

impl<V> Clone for Named<V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<V> Borrow<[u8]> for Named<V> {
    fn borrow(&self) -> &[u8] {
        &self.0.name
    }
}

impl<V> Hash for Named<V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.as_slice().hash(state);
    }
}

impl<V> PartialEq for Named<V> {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl<V> Eq for Named<V> {}
