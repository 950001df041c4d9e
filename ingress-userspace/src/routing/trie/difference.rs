//! What an edit changed: two states of one trie are walked together, and what both share is skipped
//! by its address. The cost is that of the change.

use std::hash::Hash;
use std::sync::Arc;

use super::{Entry, FANOUT, Leaf, Trie};

/// One key that two states hold differently.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::routing) enum Difference<'a, K, V> {
    /// It is there now, with this value.
    Set(&'a K, &'a V),
    /// It was there.
    Gone(&'a K, &'a V),
}

// === impl Trie ===

impl<K: Clone + Eq + Hash, V: Clone> Trie<K, V> {
    /// What makes this state out of `old`. `is_same` tells an entry that was put in again from a new
    /// one.
    ///
    /// The states need not come from one another: then everything that they do not share is told,
    /// and nothing wrong.
    pub(in crate::routing) fn since<'a>(
        &'a self,
        old: &'a Self,
        is_same: impl Fn((&K, &V), (&K, &V)) -> bool,
        visit: &mut dyn FnMut(Difference<'a, K, V>),
    ) {
        let roots = (self.root.as_ref(), old.root.as_ref());
        if let (Some(new), Some(old)) = roots
            && Arc::ptr_eq(new, old)
        {
            return;
        }
        let branches = pairs(roots.0.map(|root| &**root), roots.1.map(|root| &**root));
        let leaves = branches
            .flat_map(|(new, old)| pairs(new.map(|branch| &**branch), old.map(|branch| &**branch)));
        for (new, old) in leaves {
            for entry in entries(new) {
                let same = |before: &Entry<K, V>| {
                    is_same((&before.key, &before.value), (&entry.key, &entry.value))
                };
                if !find(old, entry).is_some_and(same) {
                    visit(Difference::Set(&entry.key, &entry.value));
                }
            }
            for entry in entries(old) {
                // By the whole trie: under another seed it would be in another table.
                if find(new, entry).is_none() && self.get(&entry.key).is_none() {
                    visit(Difference::Gone(&entry.key, &entry.value));
                }
            }
        }
    }
}

fn entries<K, V>(leaf: Option<&Leaf<K, V>>) -> impl Iterator<Item = &Entry<K, V>> {
    leaf.into_iter().flat_map(|leaf| leaf.iter().flatten())
}

/// The entry of the same key in another table.
fn find<'a, K: Eq, V>(leaf: Option<&'a Leaf<K, V>>, like: &Entry<K, V>) -> Option<&'a Entry<K, V>> {
    entries(leaf).find(|entry| entry.hash == like.hash && entry.key == like.key)
}

type Children<T> = [Option<Arc<T>>; FANOUT];

/// The children of two nodes that are not one and the same.
fn pairs<'a, T: ?Sized>(
    new: Option<&'a Children<T>>,
    old: Option<&'a Children<T>>,
) -> impl Iterator<Item = (Option<&'a Arc<T>>, Option<&'a Arc<T>>)> {
    let child = |of: Option<&'a Children<T>>, slot: usize| of.and_then(|of| of[slot].as_ref());
    let both = (0..FANOUT).map(move |slot| (child(new, slot), child(old, slot)));
    both.filter(|pair| match pair {
        (Some(new), Some(old)) => !Arc::ptr_eq(new, old),
        (new, old) => new.is_some() || old.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Edits = Vec<(bool, u32, u32)>;

    fn edit(trie: &mut Trie<u32, u32>, edits: &Edits) {
        for &(insert, key, value) in edits {
            if insert { trie.insert(key, value) } else { trie.remove(&key) }
        }
    }

    /// `old` with what was told.
    fn follow(old: &Trie<u32, u32>, new: &Trie<u32, u32>) -> BTreeMap<u32, u32> {
        let mut map = BTreeMap::new();
        old.each(&mut |&key, &value| {
            map.insert(key, value);
        });
        new.since(old, |(_, a), (_, b)| a == b, &mut |difference| match difference {
            Difference::Set(&key, &value) => {
                assert_ne!(map.insert(key, value), Some(value), "{key} had this value before");
            }
            Difference::Gone(&key, &value) => assert_eq!(map.remove(&key), Some(value)),
        });
        map
    }

    fn content(trie: &Trie<u32, u32>) -> BTreeMap<u32, u32> {
        follow(&Trie::default(), trie)
    }

    fn edits() -> impl Strategy<Value = Edits> {
        prop::collection::vec((any::<bool>(), 0u32..60, 0u32..4), 0..120)
    }

    proptest! {
        #[test]
        fn the_difference_leads_from_one_state_to_the_next(first in edits(), then in edits()) {
            let mut old = Trie::default();
            edit(&mut old, &first);
            let mut new = old.clone();
            edit(&mut new, &then);
            prop_assert_eq!(follow(&old, &new), content(&new));
            prop_assert_eq!(follow(&new, &old), content(&old));
        }

        #[test]
        fn states_of_other_origin_are_told_apart_by_their_content(first in edits(), then in edits()) {
            let (mut old, mut new) = (Trie::default(), Trie::default());
            edit(&mut old, &first);
            edit(&mut new, &then);
            let mut map = BTreeMap::new();
            old.each(&mut |&key, &value| {
            map.insert(key, value);
        });
            let mut gone = Vec::new();
            new.since(&old, |(_, a), (_, b)| a == b, &mut |difference| match difference {
                Difference::Set(&key, &value) => {
                    map.insert(key, value);
                }
                Difference::Gone(&key, _) => gone.push(key),
            });
            map.retain(|key, _| !gone.contains(key));
            prop_assert_eq!(map, content(&new));
        }
    }

    #[test]
    fn one_edit_among_many_entries_is_one_difference() {
        let mut trie = Trie::default();
        for key in 0..100_000u32 {
            trie.insert(key, key);
        }
        let old = trie.clone();
        trie.insert(7, 70);
        trie.remove(&9);
        let mut told = Vec::new();
        trie.since(&old, |(_, a), (_, b)| a == b, &mut |difference| told.push(difference));
        told.sort_by_key(|difference| match difference {
            Difference::Set(key, _) | Difference::Gone(key, _) => **key,
        });
        assert_eq!(told, [Difference::Set(&7, &70), Difference::Gone(&9, &9)]);
    }
}
