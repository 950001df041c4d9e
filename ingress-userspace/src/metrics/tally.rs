//! What the workers count for one thing, such as a route: a block for each worker, made at its
//! first request.
//!
//! Whoever compiles routes gives each one its tally; a worker reaches its own block by two loads,
//! without a lock or a hash. A block is written by one worker alone and has cache lines of its own.
//! A thing without requests costs a pointer.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use super::{Counter, Distribution, Histogram};

/// Different statuses of one thing that are told apart.
const STATUSES: usize = 12;

#[derive(Debug, Default)]
pub struct Tally {
    blocks: OnceLock<Box<[OnceLock<Box<Block>>]>>,
}

/// The part of one worker.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Block {
    /// Zero: the place is free. In the order of their first request.
    codes: [AtomicU16; STATUSES],
    counts: [Counter; STATUSES],
    /// Requests with a status that found no place.
    others: Counter,
    /// Body bytes from and to clients.
    pub received: Counter,
    pub sent: Counter,
    /// From the head of a request to the end of its answer.
    pub duration: Histogram,
    /// From sending a request to the head of the endpoint's answer.
    pub upstream: Histogram,
}

/// All workers together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sum {
    /// Requests by status, sorted by it.
    pub statuses: Vec<(u16, u64)>,
    pub others: u64,
    pub received: u64,
    pub sent: u64,
    pub duration: Distribution,
    pub upstream: Distribution,
}

// === impl Tally ===

impl Tally {
    /// The block of one of so many workers; the number is the same in each call.
    #[inline]
    pub fn of(&self, worker: usize, workers: usize) -> &Block {
        let blocks = self.blocks.get_or_init(|| (0..workers).map(|_| OnceLock::new()).collect());
        blocks[worker].get_or_init(Box::default)
    }

    pub fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        self.add_to(&mut sum);
        sum
    }

    pub fn add_to(&self, sum: &mut Sum) {
        let blocks = self.blocks.get().into_iter().flatten();
        blocks.filter_map(OnceLock::get).for_each(|block| block.add_to(sum));
    }

    /// Whether there has been no request.
    pub fn is_untouched(&self) -> bool {
        self.blocks.get().is_none()
    }

    /// Requests, whatever their status.
    pub fn requests(&self) -> u64 {
        let blocks = self.blocks.get().into_iter().flatten().filter_map(OnceLock::get);
        blocks.map(|block| block.requests()).sum()
    }
}

// === impl Block ===

impl Block {
    #[inline]
    pub fn answered(&self, status: u16) {
        for (code, count) in self.codes.iter().zip(&self.counts) {
            match code.load(Ordering::Relaxed) {
                known if known == status => return count.add(1),
                0 if status != 0 => {
                    count.add(1);
                    return code.store(status, Ordering::Release);
                }
                _ => {}
            }
        }
        self.others.add(1);
    }

    fn requests(&self) -> u64 {
        self.counts.iter().map(Counter::value).sum::<u64>() + self.others.value()
    }

    pub fn add_to(&self, sum: &mut Sum) {
        for (code, count) in self.codes.iter().zip(&self.counts) {
            let status = code.load(Ordering::Acquire);
            if status != 0 {
                sum.add(status, count.value());
            }
        }
        sum.others += self.others.value();
        sum.received += self.received.value();
        sum.sent += self.sent.value();
        sum.duration.add(&self.duration.read());
        sum.upstream.add(&self.upstream.read());
    }
}

// === impl Sum ===

impl Sum {
    fn add(&mut self, status: u16, count: u64) {
        match self.statuses.binary_search_by_key(&status, |(known, _)| *known) {
            Ok(at) => self.statuses[at].1 += count,
            Err(at) => self.statuses.insert(at, (status, count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn blocks_of_workers_add_up_by_status() {
        let tally = Tally::default();
        assert_eq!(tally.sum(), Sum::default());
        assert!(tally.is_untouched());
        for (worker, status) in [(0, 200), (2, 503), (2, 200), (2, 404)] {
            let block = tally.of(worker, 3);
            block.answered(status);
            block.duration.observe(Duration::from_millis(3));
            block.sent.add(10);
        }
        let sum = tally.sum();
        assert_eq!(sum.statuses, [(200, 2), (404, 1), (503, 1)]);
        assert_eq!((sum.others, sum.sent, sum.duration.count()), (0, 40, 4));
        assert_eq!(tally.requests(), 4);
    }

    #[test]
    fn a_backend_that_plays_with_statuses_fills_no_memory() {
        let tally = Tally::default();
        for status in 100..600 {
            tally.of(0, 1).answered(status);
        }
        let sum = tally.sum();
        assert_eq!(sum.statuses.len(), STATUSES);
        assert_eq!(sum.others, 500 - STATUSES as u64);
    }

    #[test]
    fn one_block_is_a_few_cache_lines() {
        assert!(size_of::<Block>() <= 512, "{}", size_of::<Block>());
        assert_eq!(align_of::<Block>(), 64);
        assert!(size_of::<Tally>() <= 32, "{}", size_of::<Tally>());
    }
}
