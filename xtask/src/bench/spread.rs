//! Minimum, median and maximum of some rounds.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
}

impl Spread {
    /// `None` without rounds.
    pub(super) fn of(rounds: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = rounds.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let median = *sorted.get(sorted.len() / 2)?;
        Some(Self { min: *sorted.first()?, median, max: *sorted.last()? })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.median < 10.0 { 2 } else { 0 };
        let Self { min, median, max } = self;
        write!(f, "{min:.digits$} - {median:.digits$} - {max:.digits$}")
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn orders_its_rounds() {
        let spread = Spread::of([3.0, 1.0, 2.0]).expect("rounds");
        assert_eq!(spread.to_string(), "1.00 - 2.00 - 3.00");
        assert_eq!(Spread::of([]), None);
    }
}
