//! Routing: from the model to the immutable [`Snapshot`] that the workers read.
//!
//! Pure: values in, values out; no I/O, no clock, no async. [`compile`] turns model changes into
//! the next snapshot and costs what the change touches; [`snapshot`] is what a request is matched
//! against.

pub mod cluster;
pub mod host;
pub mod path;
pub mod route;
pub mod snapshot;

pub use cluster::{Balance, Cluster, ClusterId, ClusterState, UpstreamEndpoint, UpstreamProtocol};
pub use route::{Action, Redirect, Rewrite, Route};
pub use snapshot::{CertificateChoice, HostRoutes, RequestHost, Snapshot};
