//! Requests of a session: what leads them to their endpoint, and what the session is afterwards.

use super::balance::{Turn, rendezvous};
use crate::routing::Balance;

/// Keys that are tried for one that leads to an endpoint that has not failed.
const DRAWS: usize = 64;

/// The session of a request.
#[derive(Debug, Clone, Copy)]
pub struct Sticky {
    pub to: Lead,
    /// A session whose endpoint fails moves for good; else one request goes elsewhere.
    pub moves_on_failure: bool,
}

/// Where its number leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lead {
    /// To one of those that are there.
    Key(u64),
    /// To the endpoint of this number.
    Endpoint(u64),
    /// A new session that will stay with the endpoint that it gets.
    Anywhere,
}

/// The endpoints of a cluster, by their places.
pub(super) struct Field<'a, N, F> {
    pub(super) turn: &'a Turn,
    pub(super) balance: Balance,
    pub(super) count: usize,
    /// Stable number of an endpoint.
    pub(super) id: N,
    pub(super) in_flight: F,
    /// Those that have failed.
    pub(super) refused: &'a [usize],
}

// === impl Sticky ===

impl Sticky {
    /// An endpoint that has not failed, and the number that the session has with it.
    pub(super) fn pick<N, F>(&self, field: &Field<'_, N, F>) -> Option<(usize, u64)>
    where
        N: Fn(usize) -> u64,
        F: Fn(usize) -> u32,
    {
        let Field { count, id, refused, .. } = field;
        match self.to {
            Lead::Key(key) => {
                let key = self.moved(key, field);
                Some((rendezvous::pick(key, *count, id, |i| refused.contains(&i))?, key))
            }
            Lead::Endpoint(number) => match (0..*count).find(|&index| id(index) == number) {
                Some(index) if !refused.contains(&index) => Some((index, number)),
                Some(_) if !self.moves_on_failure => Some((field.balanced()?, number)),
                Some(_) | None => field.balanced().map(|index| (index, id(index))),
            },
            Lead::Anywhere => field.balanced().map(|index| (index, id(index))),
        }
    }

    /// `key`, or after a failure another one that leads away from what has failed.
    fn moved<N: Fn(usize) -> u64, F>(&self, key: u64, field: &Field<'_, N, F>) -> u64 {
        if !self.moves_on_failure || field.refused.is_empty() {
            return key;
        }
        let fits = |key: &u64| {
            let leads = rendezvous::pick(*key, field.count, &field.id, |_| false);
            leads.is_some_and(|index| !field.refused.contains(&index))
        };
        let mut others = std::iter::repeat_with(|| fastrand::u64(..)).take(DRAWS);
        others.find(fits).unwrap_or(key)
    }
}

// === impl Field ===

impl<N, F: Fn(usize) -> u32> Field<'_, N, F> {
    pub(super) fn balanced(&self) -> Option<usize> {
        let skip = |index| self.refused.contains(&index);
        self.turn.pick(self.balance, self.count, &self.in_flight, skip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [u64; 4] = [11, 22, 33, 44];

    fn pick(to: Lead, moves_on_failure: bool, refused: &[usize]) -> Option<(usize, u64)> {
        let turn = Turn::new(0);
        let field = Field {
            turn: &turn,
            balance: Balance::RoundRobin,
            count: IDS.len(),
            id: |index: usize| IDS[index],
            in_flight: |_: usize| 0,
            refused,
        };
        Sticky { to, moves_on_failure }.pick(&field)
    }

    #[test]
    fn a_number_leads_to_its_endpoint_while_that_is_there() {
        assert_eq!(pick(Lead::Endpoint(33), false, &[]), Some((2, 33)));
        assert_eq!(pick(Lead::Endpoint(99), false, &[]), Some((0, 11)), "it has left");
        assert_eq!(pick(Lead::Anywhere, false, &[0]), Some((1, 22)));
    }

    #[test]
    fn a_failure_moves_a_session_only_where_that_is_asked_for() {
        assert_eq!(pick(Lead::Endpoint(11), false, &[0]), Some((1, 11)));
        assert_eq!(pick(Lead::Endpoint(11), true, &[0]), Some((1, 22)));
        for key in 0..200 {
            let (first, same) = pick(Lead::Key(key), false, &[]).expect("an endpoint");
            assert_eq!(same, key);
            let (second, same) = pick(Lead::Key(key), false, &[first]).expect("another");
            assert!(second != first && same == key);
            let (third, moved) = pick(Lead::Key(key), true, &[first]).expect("another");
            assert!(third != first && moved != key);
            assert_eq!(pick(Lead::Key(moved), true, &[]), Some((third, moved)), "it stays there");
        }
    }

    #[test]
    fn when_all_have_failed_there_is_none() {
        for to in [Lead::Key(1), Lead::Endpoint(11), Lead::Anywhere] {
            assert_eq!(pick(to, true, &[0, 1, 2, 3]), None);
        }
    }
}
