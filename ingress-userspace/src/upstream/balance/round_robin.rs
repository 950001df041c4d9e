//! Each endpoint in turn.

use std::cell::Cell;

pub(super) fn pick(
    next: &Cell<usize>,
    count: usize,
    skip: impl Fn(usize) -> bool,
) -> Option<usize> {
    for _ in 0..count {
        let index = next.get() % count;
        next.set(next.get().wrapping_add(1));
        if !skip(index) {
            return Some(index);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_gets_its_turn_from_any_start() {
        for start in 0..12 {
            let next = Cell::new(start);
            let mut hits = [0; 5];
            for _ in 0..20 {
                hits[pick(&next, 5, |_| false).expect("five endpoints")] += 1;
            }
            assert_eq!(hits, [4; 5]);
        }
    }

    #[test]
    fn skipped_endpoints_are_passed_over() {
        let next = Cell::new(0);
        assert_eq!(pick(&next, 3, |i| i == 0), Some(1));
        assert_eq!(pick(&next, 3, |_| true), None);
        assert_eq!(pick(&next, 0, |_| false), None);
    }
}
