//! A persistent map: a clone is one pointer, and an edit copies one path of fixed length.
//!
//! Four levels of sixteen children, chosen by the bits of a seeded hash, end in buckets. The depth
//! does not depend on the number of entries, so an edit of a shared map always costs the same five
//! allocations of bounded size and a lookup the same five loads; past 65,536 entries only the
//! buckets grow. The order of its entries is that of the hash, which differs between runs.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use foldhash::quality::RandomState;

const BITS: u32 = 4;
const FANOUT: usize = 1 << BITS;

#[derive(Clone)]
pub(super) struct Trie<K, V> {
    root: Option<Arc<Root<K, V>>>,
    hasher: RandomState,
    len: usize,
}

type Root<K, V> = Branch<Branch<Branch<Leaves<K, V>>>>;

#[derive(Clone)]
struct Branch<N> {
    children: [Option<Arc<N>>; FANOUT],
}

#[derive(Clone)]
struct Leaves<K, V> {
    buckets: [Option<Bucket<K, V>>; FANOUT],
}

type Bucket<K, V> = Arc<[Entry<K, V>]>;

#[derive(Clone)]
struct Entry<K, V> {
    hash: u64,
    key: K,
    value: V,
}

/// What becomes of a bucket.
type Edit<'a, K, V> = dyn FnMut(Option<&Bucket<K, V>>) -> Option<Bucket<K, V>> + 'a;

/// One level; `bits` holds the part of the hash that is not used up yet.
trait Level<K, V>: Clone + Default {
    fn bucket(&self, bits: u64) -> Option<&Bucket<K, V>>;

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a K, &'a V));

    /// Replaces the bucket by what `edit` makes of it and tells whether this level is empty now.
    fn edit(&mut self, bits: u64, edit: &mut Edit<'_, K, V>) -> bool;
}

// === impl Trie ===

impl<K, V> Default for Trie<K, V> {
    fn default() -> Self {
        Self { root: None, hasher: RandomState::default(), len: 0 }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Trie<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trie({} entries)", self.len)
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Trie<K, V> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let root = self.root.as_ref()?;
        let hash = self.hasher.hash_one(key);
        let found = root.bucket(hash)?.iter().find(|e| e.hash == hash && e.key.borrow() == key)?;
        Some(&found.value)
    }

    /// Every entry once.
    pub(super) fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a K, &'a V)) {
        if let Some(root) = &self.root {
            root.each(visit);
        }
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        let hash = self.hasher.hash_one(&key);
        let entry = Entry { hash, key, value };
        let mut added = true;
        let root = self.root.get_or_insert_default();
        Arc::make_mut(root).edit(hash, &mut |bucket| {
            let Some(bucket) = bucket else { return Some(Arc::new([entry.clone()])) };
            match bucket.iter().position(|e| e.hash == hash && e.key == entry.key) {
                None => Some(collect(bucket.len() + 1, |at| bucket.get(at).unwrap_or(&entry))),
                Some(own) => {
                    added = false;
                    Some(collect(bucket.len(), |at| if at == own { &entry } else { &bucket[at] }))
                }
            }
        });
        self.len += usize::from(added);
    }

    pub(super) fn remove<Q>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if self.get(key).is_none() {
            return;
        }
        let Some(root) = &mut self.root else { return };
        let hash = self.hasher.hash_one(key);
        let empty = Arc::make_mut(root).edit(hash, &mut |bucket| {
            let bucket = bucket?;
            let own = bucket.iter().position(|e| e.hash == hash && e.key.borrow() == key)?;
            let after = |at| if at < own { at } else { at + 1 };
            (bucket.len() > 1).then(|| collect(bucket.len() - 1, |at| &bucket[after(at)]))
        });
        self.len -= 1;
        if empty {
            self.root = None;
        }
    }
}

/// A range knows its length, so that the slice is one allocation.
fn collect<'a, K, V>(len: usize, entry: impl Fn(usize) -> &'a Entry<K, V>) -> Bucket<K, V>
where
    Entry<K, V>: Clone + 'a,
{
    (0..len).map(|at| entry(at).clone()).collect()
}

// === impl Branch ===

impl<N> Default for Branch<N> {
    fn default() -> Self {
        Self { children: [const { None }; FANOUT] }
    }
}

impl<N: Level<K, V>, K, V> Level<K, V> for Branch<N> {
    fn bucket(&self, bits: u64) -> Option<&Bucket<K, V>> {
        self.children[slot(bits)].as_ref()?.bucket(bits >> BITS)
    }

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a K, &'a V)) {
        self.children.iter().flatten().for_each(|child| child.each(visit));
    }

    fn edit(&mut self, bits: u64, edit: &mut Edit<'_, K, V>) -> bool {
        let child = &mut self.children[slot(bits)];
        if Arc::make_mut(child.get_or_insert_default()).edit(bits >> BITS, edit) {
            *child = None;
        }
        self.children.iter().all(Option::is_none)
    }
}

// === impl Leaves ===

impl<K, V> Default for Leaves<K, V> {
    fn default() -> Self {
        Self { buckets: [const { None }; FANOUT] }
    }
}

impl<K: Clone, V: Clone> Level<K, V> for Leaves<K, V> {
    fn bucket(&self, bits: u64) -> Option<&Bucket<K, V>> {
        self.buckets[slot(bits)].as_ref()
    }

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a K, &'a V)) {
        let entries = self.buckets.iter().flatten().flat_map(|bucket| bucket.iter());
        entries.for_each(|entry| visit(&entry.key, &entry.value));
    }

    fn edit(&mut self, bits: u64, edit: &mut Edit<'_, K, V>) -> bool {
        let bucket = &mut self.buckets[slot(bits)];
        *bucket = edit(bucket.as_ref());
        self.buckets.iter().all(Option::is_none)
    }
}

fn slot(bits: u64) -> usize {
    (bits as usize) & (FANOUT - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn behaves_as_a_map_and_leaves_clones_alone(
            edits in prop::collection::vec((any::<bool>(), 0u32..200, any::<u32>()), 0..400),
        ) {
            let mut trie = Trie::default();
            let mut map = BTreeMap::new();
            let (mut old, mut old_map) = (trie.clone(), map.clone());
            for (at, (insert, key, value)) in edits.into_iter().enumerate() {
                if insert {
                    trie.insert(key, value);
                    map.insert(key, value);
                } else {
                    trie.remove(&key);
                    map.remove(&key);
                }
                if at == 100 {
                    (old, old_map) = (trie.clone(), map.clone());
                }
            }
            for (trie, map) in [(&trie, &map), (&old, &old_map)] {
                prop_assert_eq!(trie.len(), map.len());
                let mut walked = BTreeMap::new();
                trie.each(&mut |&key, &value| {
                    assert!(walked.insert(key, value).is_none());
                });
                prop_assert_eq!(&walked, map);
                for key in 0..200 {
                    prop_assert_eq!(trie.get(&key), map.get(&key));
                }
            }
            for key in 0..200 {
                trie.remove(&key);
            }
            prop_assert!(trie.root.is_none());
        }
    }

    #[test]
    fn holds_far_more_entries_than_buckets() {
        let mut trie = Trie::default();
        for key in 0..200_000u32 {
            trie.insert(key, key);
        }
        assert_eq!(trie.len(), 200_000);
        assert!((0..200_000).all(|key| trie.get(&key) == Some(&key)));
        assert_eq!(trie.get(&200_000), None);
    }
}
