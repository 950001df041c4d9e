//! Routing: from the model to the immutable [`Snapshot`] that the workers read.
//!
//! Pure: values in, values out; no I/O, no clock, no async. [`compile`] turns model changes into
//! the next snapshot and costs what the change touches; [`snapshot`] is what a request is matched
//! against, after [`host`] and [`path`] brought it into the one form that rules know.

pub mod access;
pub mod affinity;
mod by_name;
pub mod canary;
pub mod cluster;
pub mod compile;
mod cookie;
pub mod cors;
mod endpoint_rules;
pub mod explain;
pub mod filters;
#[cfg(any(test, feature = "testing"))]
pub mod fixture;
pub mod host;
pub mod listing;
mod matcher;
pub mod path;
pub mod pattern;
#[cfg(any(test, feature = "testing"))]
pub mod reference;
pub mod replica;
pub mod rewrite;
pub mod route;
pub mod settings;
pub mod snapshot;
mod tallies;
mod trie;

pub use cluster::{Balance, Cluster, ClusterId, ClusterState, UpstreamEndpoint, UpstreamProtocol};
pub use compile::{Compiled, Compiler, is_ours};
pub use endpoint_rules::{EndpointRules, Node};
pub use filters::{Filters, UpstreamTimeouts};
pub use rewrite::Rewrite;
pub use route::{Action, Moved, MovedTo, Redirect, Refusal, Route};
pub use settings::Settings;
pub use snapshot::{CertificateChoice, HostRoutes, RequestHost, Snapshot};
