//! The chart on a real Kubernetes: what the API server takes, what the policies refuse, what the
//! token may do, and that Helm installs, changes and removes it.
//!
//! Needs what the cluster tests need, and Go for Helm:
//! `cargo test -p xtask --features cluster-tests --test deploy`.

#![allow(clippy::unwrap_used, reason = "test helpers fail by panics")]

#[path = "deploy/lab.rs"]
mod lab;
#[path = "deploy/policy.rs"]
mod policy;
#[path = "deploy/release.rs"]
mod release;
#[path = "deploy/rights.rs"]
mod rights;
