//! Genkan's userspace, in the order in which things travel.
//!
//! Control (one single-thread runtime): objects come in from a [`source`], become a typed
//! [`model`], are compiled by [`routing`] into an immutable snapshot, and the kernel side is kept
//! equal to the plan by [`dataplane`]. [`admin`] tells about it, on a thread of its own; [`status`]
//! tells the cluster.
//!
//! Between: [`snapshot`] hands each new version to the workers and collects what they serve.
//!
//! Data (one current-thread runtime per core): [`proxy`] workers accept, terminate [`tls`], route,
//! [`filter`] and forward by [`upstream`] pools.
#![deny(unsafe_code)]

// Process
pub mod agent;
pub mod app;
pub mod cli;

// Control
pub mod admin;
pub mod dataplane;
pub mod handover;
pub mod model;
pub mod routing;
pub mod source;
pub mod status;

// Between
pub mod snapshot;

// Data
pub mod filter;
pub mod proxy;
pub mod tls;
pub mod upstream;

// Shared
mod arc;
pub mod config;
pub mod htpasswd;
pub mod kubernetes;
pub mod metrics;
pub mod net;
pub mod telemetry;
pub mod yaml;

#[cfg(feature = "testing")]
pub mod testing;
