//! How long something took, in buckets that one thread fills.

use std::time::Duration;

use super::Counter;

const BUCKETS: usize = 14;

/// Upper bounds in seconds, the same for every duration, so that all of them can be compared.
pub const BOUNDS: [f64; BUCKETS] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The same in microseconds.
const MICROS: [u64; BUCKETS] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

#[derive(Debug, Default)]
pub struct Histogram {
    /// Not cumulative; the last one has no bound.
    buckets: [Counter; BUCKETS + 1],
    micros: Counter,
}

/// The values of some histograms, added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Distribution {
    /// Not cumulative; the last one has no bound.
    pub buckets: [u64; BUCKETS + 1],
    pub micros: u64,
}

// === impl Histogram ===

impl Histogram {
    #[inline]
    pub fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = MICROS.partition_point(|&bound| bound < micros);
        self.buckets[bucket].add(1);
        self.micros.add(micros);
    }

    pub fn read(&self) -> Distribution {
        Distribution {
            buckets: std::array::from_fn(|bucket| self.buckets[bucket].value()),
            micros: self.micros.value(),
        }
    }
}

// === impl Distribution ===

impl Distribution {
    pub fn add(&mut self, other: &Self) {
        for (sum, count) in self.buckets.iter_mut().zip(other.buckets) {
            *sum += count;
        }
        self.micros += other.micros;
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub fn seconds(&self) -> f64 {
        self.micros as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_at_a_bound_belongs_below_it() {
        for (bucket, bound) in MICROS.into_iter().enumerate() {
            assert_eq!(bound as f64, BOUNDS[bucket] * 1e6);
            let histogram = Histogram::default();
            histogram.observe(Duration::from_micros(bound));
            histogram.observe(Duration::from_micros(bound + 1));
            let read = histogram.read();
            assert_eq!((read.buckets[bucket], read.buckets[bucket + 1]), (1, 1));
            assert_eq!((read.count(), read.micros), (2, 2 * bound + 1));
        }
    }

    #[test]
    fn distributions_add_up() {
        let (fast, slow) = (Histogram::default(), Histogram::default());
        fast.observe(Duration::ZERO);
        slow.observe(Duration::from_secs(3600));
        let mut sum = fast.read();
        sum.add(&slow.read());
        assert_eq!((sum.buckets[0], sum.buckets[BUCKETS], sum.seconds()), (1, 1, 3600.0));
    }
}
