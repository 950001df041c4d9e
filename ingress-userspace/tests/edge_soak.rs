//! The short form of `cargo xtask soak`. `GENKAN_STORY_SECONDS` says how long it lasts.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::time::Duration;

use genkan::testing::require_root;
use genkan::testing::story::soak::{Plan, soak};

#[test]
fn nothing_is_lost_and_nothing_grows_through_edits_and_take_overs() {
    if !require_root() {
        return;
    }
    let seconds = std::env::var("GENKAN_STORY_SECONDS").ok().and_then(|text| text.parse().ok());
    let plan = Plan { duration: Duration::from_secs(seconds.unwrap_or(60)), take_overs: 3 };
    let summary = soak(env!("CARGO_BIN_EXE_genkan"), plan, |_| {});
    println!("{summary}");
    assert!(summary.complaints.is_empty(), "{:?}", summary.complaints);
}
