//! What a run of libtest said: how many passed, failed, were skipped, and why some failed.

use std::fmt;
use std::fs;
use std::ops::AddAssign;
use std::path::Path;

use crate::program;

/// Lines of failures shown of one binary.
const SHOWN: usize = 200;

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Tally {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Counts what the log of a test run says; a run that ended badly without saying so failed once.
pub(super) fn read(log: &Path, success: bool) -> Tally {
    count(&text(log), success)
}

/// The part of the log that tells why tests failed.
pub(super) fn failures(log: &Path) -> String {
    let text = text(log);
    let Some((_, reasons)) = text.split_once("\nfailures:\n") else { return program::tail(log) };
    reasons.lines().take(SHOWN).collect::<Vec<_>>().join("\n")
}

fn text(log: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
}

fn count(text: &str, success: bool) -> Tally {
    let (mut tally, mut told) = (Tally::default(), 0);
    for line in text.lines() {
        if let Some(result) = line.strip_prefix("test result: ") {
            tally.passed += number_before(result, " passed");
            tally.failed += number_before(result, " failed");
            tally.skipped += number_before(result, " ignored");
        } else if line.starts_with("SKIPPED: ") {
            told += 1;
        }
    }
    // libtest counted these as passed.
    tally.passed = tally.passed.saturating_sub(told);
    tally.skipped += told;
    if !success && tally.failed == 0 {
        tally.failed = 1;
    }
    tally
}

fn number_before(text: &str, word: &str) -> usize {
    let before = text.split(word).next().unwrap_or_default();
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Tally, count};

    #[test]
    fn adds_up_results_and_takes_skips_out_of_the_passed() {
        let text = "test a ... ok\nSKIPPED: b: needs root\n\
                    test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out\n\
                    test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured\n";
        assert_eq!(count(text, false), Tally { passed: 13, failed: 1, skipped: 2 });
    }

    #[test]
    fn a_run_that_died_counts_as_one_failure() {
        assert_eq!(count("running 3 tests\n", false), Tally { failed: 1, ..Tally::default() });
        assert_eq!(count("", true), Tally::default());
    }
}
