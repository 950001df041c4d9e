//! File lengths, and no `mod.rs`: a file is one idea that fits a reader's head.

use std::fs;

use anyhow::Result;

use super::Findings;
use crate::workspace;

/// Longer files are named as candidates for a split.
const TARGET: usize = 300;
/// Longer files fail.
const LIMIT: usize = 500;
/// How many of the largest are printed.
const SHOWN: usize = 10;

pub(super) fn check() -> Result<Findings> {
    let root = workspace::root();
    let mut sizes = Vec::new();
    let mut wrong = Vec::new();
    for file in workspace::files()?.into_iter().filter(|file| file.ends_with(".rs")) {
        let lines = fs::read_to_string(root.join(&file))?.lines().count();
        if file.ends_with("/mod.rs") {
            wrong.push(format!("{file}: name it after its directory, beside it, not mod.rs"));
        }
        if lines > LIMIT && !is_test(&file) {
            wrong.push(format!("{file}: {lines} lines, the limit is {LIMIT}; split it"));
        }
        sizes.push((lines, file));
    }
    sizes.sort_by(|a, b| b.cmp(a));
    let judged: Vec<_> = sizes.iter().filter(|(_, file)| !is_test(file)).collect();
    let long = judged.iter().filter(|(lines, _)| *lines > TARGET).count();
    let largest = judged.iter().take(SHOWN).map(|(lines, file)| format!("\n   {lines:>5} {file}"));
    let summary = format!(
        "{} files, {long} longer than {TARGET} lines; the largest:{}",
        sizes.len(),
        largest.collect::<String>()
    );
    Ok(Findings { wrong, summary })
}

/// Tables of cases may be long.
fn is_test(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/")
}
