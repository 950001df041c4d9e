//! Support for tests and for the demo (feature `testing`): what a promise is tested against.
//!
//! The fake upstream ([`backend`]), a certificate authority ([`ca`]), and the guards that say which
//! test could not run here ([`require`]). Failures here are failures of the test: they panic.
#![allow(clippy::unwrap_used, reason = "a failure of test support is the failure of the test")]

pub mod api_server;
pub mod backend;
pub mod ca;
pub mod client;
pub mod deadline;
pub mod edge;
pub mod lab;
pub mod openmetrics;
pub mod require;
pub mod service_host;
pub mod story;
pub mod traffic;

pub use require::{require_root, require_tool};
