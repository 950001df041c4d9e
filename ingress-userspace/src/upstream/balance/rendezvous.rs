//! The endpoint that a key leads to: the one that gets the highest number together with it.
//!
//! Every node and worker that knows the same endpoints computes the same. An endpoint that leaves
//! moves its own keys only; one that comes takes its share from all others.

use crate::routing::affinity::spread;

/// `id`: stable number of an endpoint.
pub(in crate::upstream) fn pick(
    key: u64,
    count: usize,
    id: impl Fn(usize) -> u64,
    skip: impl Fn(usize) -> bool,
) -> Option<usize> {
    (0..count).filter(|index| !skip(*index)).max_by_key(|index| spread(spread(key) ^ id(*index)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> Vec<u64> {
        (0..count as u64).map(|n| spread(n + 1)).collect()
    }

    fn all(ids: &[u64]) -> Vec<u64> {
        let led = |key| pick(key, ids.len(), |i| ids[i], |_| false).map(|index| ids[index]);
        (0..10_000).map(|key| led(key).expect("an endpoint")).collect()
    }

    #[test]
    fn keys_spread_evenly() {
        let ids = ids(10);
        let led = all(&ids);
        for id in ids {
            let share = led.iter().filter(|other| **other == id).count();
            assert!((850..1150).contains(&share), "{share}");
        }
    }

    #[test]
    fn an_endpoint_that_goes_or_comes_moves_its_own_share_only() {
        let ids = ids(10);
        let (before, after) = (all(&ids), all(&ids[..9]));
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || *before == ids[9]);
        }
    }

    #[test]
    fn the_order_of_endpoints_does_not_matter_and_skipped_ones_are_passed_over() {
        let mut ids = ids(5);
        let before = all(&ids);
        ids.reverse();
        assert_eq!(before, all(&ids));
        let first = pick(7, 5, |i| ids[i], |_| false).expect("an endpoint");
        let second = pick(7, 5, |i| ids[i], |i| i == first).expect("another");
        assert_ne!(first, second);
        assert_eq!(pick(7, 5, |i| ids[i], |_| true), None);
    }
}
