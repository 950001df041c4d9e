//! The less loaded of two: one in turn, one at random.
//!
//! The first candidate goes round instead of being random as well, so that idle endpoints are all
//! reached (equal load: the one in turn wins) while a slow one is still avoided.

use std::cell::Cell;

use super::round_robin;

pub(super) fn pick(
    next: &Cell<usize>,
    count: usize,
    in_flight: impl Fn(usize) -> u32,
    skip: impl Fn(usize) -> bool,
) -> Option<usize> {
    let turn = round_robin::pick(next, count, &skip)?;
    let other = fastrand::usize(..count);
    let better = !skip(other) && in_flight(other) < in_flight(turn);
    Some(if better { other } else { turn })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_endpoint_is_avoided() {
        let next = Cell::new(0);
        let load = [0, 50, 0, 0];
        let mut hits = [0; 4];
        for _ in 0..4000 {
            hits[pick(&next, 4, |i| load[i], |_| false).expect("four endpoints")] += 1;
        }
        // Chosen only when both candidates are the busy one: 1 of 16 requests, not 1 of 4.
        assert!(hits[1] < 500, "{hits:?}");
        assert!(hits.iter().all(|h| *h > 0), "{hits:?}");
    }

    #[test]
    fn equal_load_goes_round() {
        let next = Cell::new(1);
        let picked: Vec<_> = (0..4).filter_map(|_| pick(&next, 4, |_| 7, |_| false)).collect();
        assert_eq!(picked, [1, 2, 3, 0]);
    }

    #[test]
    fn skipped_endpoints_are_never_taken() {
        let next = Cell::new(0);
        for _ in 0..100 {
            assert_eq!(pick(&next, 2, |i| if i == 0 { 0 } else { 9 }, |i| i == 0), Some(1));
        }
    }
}
