//! A bound on how much is written: so much at once, and then so much in a time.

use std::time::{Duration, Instant};

/// `BURST` at once, and one more each `PAUSE` milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket<const BURST: u32, const PAUSE: u64> {
    left: u32,
    since: Option<Instant>,
}

// === impl Bucket ===

impl<const BURST: u32, const PAUSE: u64> Bucket<BURST, PAUSE> {
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let pauses = now.saturating_duration_since(since).as_millis() / u128::from(PAUSE);
        let pauses = u32::try_from(pauses).unwrap_or(u32::MAX);
        if pauses > 0 {
            self.left = self.left.saturating_add(pauses).min(BURST);
            self.since = Some(since + Duration::from_millis(PAUSE).saturating_mul(pauses));
        }
        let is_left = self.left > 0;
        self.left -= u32::from(is_left);
        is_left
    }
}

impl<const BURST: u32, const PAUSE: u64> Default for Bucket<BURST, PAUSE> {
    fn default() -> Self {
        Self { left: BURST, since: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_one_in_a_time() {
        let (mut bucket, now) = (Bucket::<3, 1000>::default(), Instant::now());
        let given = |bucket: &mut Bucket<3, 1000>, now| (0..9).filter(|_| bucket.take(now)).count();
        assert_eq!(given(&mut bucket, now), 3);
        assert_eq!(given(&mut bucket, now + Duration::from_millis(1500)), 1);
        assert_eq!(given(&mut bucket, now + Duration::from_millis(2000)), 1);
        assert_eq!(given(&mut bucket, now + Duration::from_secs(3600)), 3);
    }
}
