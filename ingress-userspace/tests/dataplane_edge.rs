//! The kernel side on an edge node of the lab: attaching, serving, restarting, going away.
#![cfg(test)]
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "dataplane_edge/attach.rs"]
mod attach;
#[path = "dataplane_edge/cookies.rs"]
mod cookies;
#[path = "dataplane_edge/edge.rs"]
mod edge;
#[path = "dataplane_edge/restart.rs"]
mod restart;
#[path = "dataplane_edge/serve.rs"]
mod serve;
