//! The document behind `genkan status` and GET /status. A stable contract, described
//! in `deploy/docs/admin.md`: fields are added, never renamed or removed.
//!
//! Plain values; what has no value is absent. Times are seconds since the epoch,
//! durations seconds. Lists that grow with the cluster come as a [`Page`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::source::Source;

/// A label and its number.
pub type Counts = BTreeMap<Cow<'static, str>, u64>;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Status {
    pub process: Process,
    pub readiness: Readiness,
    pub configuration: Configuration,
    pub interfaces: Vec<Interface>,
    pub vips: Vec<Vip>,
    pub workers: Vec<Worker>,
    pub traffic: Traffic,
    /// Where the objects come from, when it is a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Upper bounds of the buckets in [`Route::duration_buckets`], without the last, infinite one.
    pub duration_bounds: Vec<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Page<Route>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clusters: Option<Page<Cluster>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Page<Certificate>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problems: Option<Page<Problem>>,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// Entries that match the query, on all pages.
    pub total: usize,
    pub offset: usize,
    pub items: Vec<T>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Process {
    pub version: String,
    pub pid: u32,
    pub started: f64,
    pub uptime: f64,
    pub resident_bytes: u64,
    pub cpu: f64,
    pub threads: u64,
    pub open_files: u64,
    pub file_limit: u64,
}

/// Whether traffic should be sent here, and what speaks for and against it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Readiness {
    pub ready: bool,
    pub conditions: Vec<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    pub name: Cow<'static, str>,
    pub state: ConditionState,
    /// One sentence.
    pub message: Cow<'static, str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionState {
    Good,
    /// Serves, with less than what was asked for.
    Degraded,
    /// Keeps the process from being ready.
    Bad,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Configuration {
    /// Path of the configuration file.
    pub file: String,
    /// When the configuration in force was taken.
    pub taken: f64,
    pub reloads: u64,
    pub reloads_failed: u64,
    /// Why the last change of the file was refused; absent when it was taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// Of the published routes.
    pub snapshot: u64,
    /// The lowest version that a worker serves.
    pub served: u64,
    /// When the last snapshot was published.
    pub published: f64,
    /// Hosts, precise and wildcard, that have routes.
    pub hosts: usize,
    pub clusters: usize,
    pub problems: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    pub name: String,
    pub index: u32,
    pub mtu: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    pub steer: Steer,
    /// Why not native.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How packets come to the XDP program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Steer {
    Native,
    Generic,
    /// The kernel path serves.
    NotAttached,
    /// No kernel programs at all: the VIPs are bound by the process.
    Bound,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vip {
    pub name: String,
    pub addresses: Vec<IpAddr>,
    pub ports: Vec<Port>,
    pub interfaces: Vec<String>,
    /// The worst of its interfaces.
    pub steer: Steer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Source rules in the kernel.
    pub rules: usize,
    /// Packets by verdict, all verdicts. Empty without kernel programs.
    pub verdicts: Counts,
    #[serde(default)]
    pub traffic: VipTraffic,
}

/// What the workers have served by the addresses of a VIP.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VipTraffic {
    /// Connections accepted.
    pub accepted: u64,
    pub requests: u64,
    /// Requests by `1xx` to `5xx`.
    pub answers: Counts,
    pub received_bytes: u64,
    pub sent_bytes: u64,
    /// Requests by worker, in the order of [`Status::workers`].
    pub by_worker: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    pub port: u16,
    /// `http` or `https`.
    pub protocol: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    pub index: usize,
    /// The CPU whose connections it is meant for.
    pub cpu: u32,
    pub pinned: bool,
    pub connections: u64,
    pub accepted: u64,
    pub requests: u64,
    /// Snapshot that it serves.
    pub served: u64,
    /// Seconds since it last moved; a healthy worker moves about once a second.
    pub silent: f64,
    /// Connections that ended in a panic.
    pub panics: u64,
    /// Times that another thread took its place.
    pub replaced: u64,
}

/// Of all workers together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Traffic {
    pub connections: u64,
    pub accepted: u64,
    pub requests: u64,
    /// Requests by `1xx` to `5xx`.
    pub answers: Counts,
    /// By reason, without those that never happened.
    pub failures: Counts,
    pub received_bytes: u64,
    pub sent_bytes: u64,
    pub handshakes_failed: u64,
    pub log_lines_dropped: u64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Route {
    /// `namespace/ingress/rules[i].paths[j]`, or `.../default`.
    pub id: String,
    pub namespace: String,
    pub ingress: String,
    /// `*` for rules without host; absent for the default of the listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// As written; empty for a default backend.
    pub path: String,
    /// `Exact`, `Prefix`, `ImplementationSpecific` or `Default`.
    pub kind: Cow<'static, str>,
    /// Name of the cluster, `namespace/service:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Why every request is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refuses: Option<String>,
    /// Status and target of the redirect that answers every request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<String>,
    pub requests: u64,
    /// By status code.
    pub statuses: Counts,
    pub received_bytes: u64,
    pub sent_bytes: u64,
    /// Seconds of all its requests.
    pub duration_sum: f64,
    /// Requests in each bucket of [`Status::duration_bounds`] and beyond, not cumulative.
    pub duration_buckets: Vec<u64>,
}

// === impl Route ===

impl Route {
    /// The cluster, or what every request is answered with instead.
    pub fn leads_to(&self) -> String {
        let to = [&self.moved, &self.refuses, &self.cluster];
        to.into_iter().flatten().next().cloned().unwrap_or_default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// `namespace/service:port`.
    pub name: String,
    pub namespace: String,
    pub service: String,
    /// `http1`, `h2c`, `https` or `h2`.
    pub protocol: Cow<'static, str>,
    pub balance: Cow<'static, str>,
    /// `ready`, or why it answers 503.
    pub state: Cow<'static, str>,
    pub endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub address: SocketAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// `ready`: gets requests.
    pub state: Cow<'static, str>,
}

/// Never the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    pub namespace: String,
    pub secret: String,
    pub names: Vec<String>,
    pub not_before: i64,
    pub not_after: i64,
    /// SHA-256 of the leaf, lower-case hex.
    pub fingerprint: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Object>,
    /// The document; absent when it came from the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    pub field: String,
    pub reason: Cow<'static, str>,
    /// Of the rule that was broken, or that settled a conflict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Cow<'static, str>>,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    pub kind: Cow<'static, str>,
    /// Empty for kinds without one.
    pub namespace: String,
    pub name: String,
}
