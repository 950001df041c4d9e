//! A persistent map: a clone is one pointer, and an edit copies one path of fixed length.
//!
//! Two levels of 64 children, chosen by the bits of a seeded hash, end in 4,096 small tables with
//! open addressing. An edit of a shared map always costs the same allocations and copies two
//! branches and one table, which has 24 entries when the map has 100,000. The order of the entries
//! is that of the hash, which differs between runs.
//!
//! What a lookup in a large map costs is cache misses that wait for each other. The branches are
//! small enough to stay in the cache, and the hashes lie in the tables themselves, so that a lookup
//! waits for one line of a table and then for the key that it is about to return.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use foldhash::quality::RandomState;

mod difference;

pub(super) use difference::Difference;

const BITS: u32 = 6;
const FANOUT: usize = 1 << BITS;

#[derive(Clone)]
pub(super) struct Trie<K, V> {
    root: Option<Arc<Root<K, V>>>,
    hasher: RandomState,
    len: usize,
}

type Root<K, V> = [Option<Arc<Branch<K, V>>>; FANOUT];
type Branch<K, V> = [Option<Leaf<K, V>>; FANOUT];

/// As many slots as a power of two, at least one of them empty: the end of a search.
type Leaf<K, V> = Arc<[Slot<K, V>]>;
type Slot<K, V> = Option<Entry<K, V>>;

#[derive(Clone)]
struct Entry<K, V> {
    hash: u64,
    key: K,
    value: V,
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
        self.get_key_value(key).map(|(_, value)| value)
    }

    pub(super) fn get_key_value<Q>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let root = self.root.as_ref()?;
        let hash = self.hasher.hash_one(key);
        let leaf = root[first(hash)].as_ref()?[second(hash)].as_ref()?;
        let mut entries = probe(leaf, hash).map_while(|at| leaf[at].as_ref());
        let found = entries.find(|entry| entry.hash == hash && entry.key.borrow() == key)?;
        Some((&found.key, &found.value))
    }

    /// Every entry once.
    pub(super) fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a K, &'a V)) {
        let branches = self.root.iter().flat_map(|root| root.iter().flatten());
        let leaves = branches.flat_map(|branch| branch.iter().flatten());
        for entry in leaves.flat_map(|leaf| leaf.iter().flatten()) {
            visit(&entry.key, &entry.value);
        }
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.len += usize::from(self.get(&key).is_none());
        let hash = self.hasher.hash_one(&key);
        let root = self.root.get_or_insert_with(|| Arc::new([const { None }; FANOUT]));
        let branch = Arc::make_mut(root)[first(hash)]
            .get_or_insert_with(|| Arc::new([const { None }; FANOUT]));
        let leaf = &mut Arc::make_mut(branch)[second(hash)];
        let entry = Entry { hash, key, value };
        *leaf = table(all_but(leaf.as_ref(), hash, &entry.key).chain([&entry]));
    }

    pub(super) fn remove<Q>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if self.get(key).is_none() {
            return;
        }
        self.len -= 1;
        let hash = self.hasher.hash_one(key);
        let Some(root) = &mut self.root else { return };
        let branches = Arc::make_mut(root);
        let Some(branch) = &mut branches[first(hash)] else { return };
        let leaves = Arc::make_mut(branch);
        let leaf = &mut leaves[second(hash)];
        *leaf = table(all_but(leaf.as_ref(), hash, key));
        if leaves.iter().all(Option::is_none) {
            branches[first(hash)] = None;
        }
        if branches.iter().all(Option::is_none) {
            self.root = None;
        }
    }
}

fn all_but<'a, K, V, Q>(
    leaf: Option<&'a Leaf<K, V>>,
    hash: u64,
    key: &'a Q,
) -> impl Iterator<Item = &'a Entry<K, V>> + Clone
where
    K: Borrow<Q>,
    Q: Eq + ?Sized,
{
    let entries = leaf.into_iter().flat_map(|leaf| leaf.iter().flatten());
    entries.filter(move |entry| entry.hash != hash || entry.key.borrow() != key)
}

/// At most two thirds full; always two allocations, however many entries it has.
fn table<'a, K: Clone + 'a, V: Clone + 'a>(
    entries: impl Iterator<Item = &'a Entry<K, V>> + Clone,
) -> Option<Leaf<K, V>> {
    let len = entries.clone().count();
    if len == 0 {
        return None;
    }
    let mut slots: Vec<Slot<K, V>> = Vec::new();
    slots.resize((len + len / 2 + 1).next_power_of_two(), None);
    for entry in entries {
        let free = probe(&slots, entry.hash).find(|&at| slots[at].is_none());
        slots[free.expect("more slots than entries")] = Some(entry.clone());
    }
    Some(slots.into())
}

fn first(hash: u64) -> usize {
    hash as usize % FANOUT
}

fn second(hash: u64) -> usize {
    (hash >> BITS) as usize % FANOUT
}

/// The slots in which an entry of this hash can be, the likeliest first.
fn probe<T>(slots: &[T], hash: u64) -> impl Iterator<Item = usize> + use<T> {
    let mask = slots.len() - 1;
    let home = (hash >> (2 * BITS)) as usize;
    (0..=mask).map(move |step| home.wrapping_add(step) & mask)
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
    fn holds_far_more_entries_than_tables() {
        let mut trie = Trie::default();
        for key in 0..200_000u32 {
            trie.insert(key, key);
        }
        assert_eq!(trie.len(), 200_000);
        assert!((0..200_000).all(|key| trie.get(&key) == Some(&key)));
        assert_eq!(trie.get(&200_000), None);
    }
}
