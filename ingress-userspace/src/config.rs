//! The configuration: file, environment and flags, checked before any socket opens.
//!
//! [`Config`] is the whole of it as plain values. Reading (`config/read.rs`) refuses unknown keys
//! with a suggestion and names file, field and reason.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub mod access_log;
pub mod admin;
pub mod cluster;
pub mod duration;
pub mod effective;
pub mod read;
pub mod size;
mod validate;

pub use access_log::AccessLogConfig;
pub use admin::AdminConfig;
pub use cluster::ClusterConfig;
pub use read::{ConfigError, Overrides};

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The virtual addresses that are served; names and addresses are unique.
    pub vips: Vec<VipConfig>,
    /// Which Ingresses are ours.
    pub classes: Classes,
    /// Whose behaviour is kept where Ingress leaves it open.
    pub compat: Compat,
    pub workers: Workers,
    pub timeouts: Timeouts,
    pub limits: Limits,
    /// How the endpoint of a request is picked.
    pub balance: BalanceConfig,
    pub tls: TlsConfig,
    pub steering: Steering,
    pub endpoints: EndpointsConfig,
    pub annotations: AnnotationsConfig,
    pub headers: HeadersConfig,
    /// `off`, `stdout` (the default) or the path of a file.
    pub access_log: AccessLogConfig,
    /// Where the process tells about itself.
    pub admin: AdminConfig,
    /// What is read of a cluster.
    pub cluster: ClusterConfig,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VipConfig {
    /// Label of counters and messages: 1 to 63 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// IPv4 and IPv6 addresses of this VIP.
    pub addresses: Vec<IpAddr>,
    /// At most 8; 80 `http` and 443 `https` when absent.
    #[serde(default = "default_ports")]
    pub ports: Vec<PortConfig>,
    /// Devices on which packets for the VIP arrive: `steer` is attached to them.
    #[serde(default)]
    pub interfaces: Vec<String>,
    /// Sources that may connect; empty = all that are not denied.
    #[serde(default)]
    pub allow: Vec<IpNet>,
    /// Sources that may not connect; wins over `allow`.
    #[serde(default)]
    pub deny: Vec<IpNet>,
    /// Absent = no bound.
    #[serde(default)]
    pub new_flow_budget: Option<NewFlowBudget>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortConfig {
    pub port: u16,
    pub protocol: PortProtocol,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortProtocol {
    Http,
    Https,
}

/// New connections of one source (/32, /64), beyond which its SYNs are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewFlowBudget {
    /// Sustained new connections per second.
    pub per_second: u32,
    /// Connections that may come at once.
    pub burst: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Classes {
    /// Class names that are ours by the legacy annotation, without an IngressClass object (K2).
    pub names: Vec<String>,
    /// `spec.controller` of the IngressClasses that are ours (K1).
    pub controller: String,
    /// Serve Ingresses that name no class (K5).
    pub serve_classless: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compat {
    #[default]
    None,
    /// Reads `nginx.ingress.kubernetes.io/` annotations and keeps nginx's path rules.
    Nginx,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workers {
    /// Proxy workers; absent = CPUs of the process's cpuset.
    pub count: Option<usize>,
}

/// Values in the file are seconds, or text with a unit (`500ms`, `2m`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// From the first byte of a request head to its last; also the TLS handshake. 408.
    #[serde(with = "crate::config::duration")]
    pub client_header: Duration,
    /// Between two reads of a request body. 408.
    #[serde(with = "crate::config::duration")]
    pub client_body: Duration,
    /// Between two writes of a response to a client that does not read.
    #[serde(with = "crate::config::duration")]
    pub client_send: Duration,
    /// Idle client connection.
    #[serde(with = "crate::config::duration")]
    pub keep_alive: Duration,
    /// Connecting to an endpoint, with its TLS handshake. 504.
    #[serde(with = "crate::config::duration")]
    pub upstream_connect: Duration,
    /// Between two writes to the upstream. 504.
    #[serde(with = "crate::config::duration")]
    pub upstream_send: Duration,
    /// Between two reads from the upstream; also idle upgraded connections. 504.
    #[serde(with = "crate::config::duration")]
    pub upstream_read: Duration,
    /// Idle pooled upstream connection.
    #[serde(with = "crate::config::duration")]
    pub upstream_idle: Duration,
    /// Age after which a pooled upstream connection is not used again.
    #[serde(with = "crate::config::duration")]
    pub upstream_lifetime: Duration,
    /// How long running requests may take after SIGTERM.
    #[serde(with = "crate::config::duration")]
    pub drain: Duration,
}

/// Sizes in the file are bytes, or text with a unit (`8k`, `1m`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Request line. 414.
    #[serde(with = "crate::config::size")]
    pub request_line: u64,
    /// All request header fields together. 431.
    #[serde(with = "crate::config::size")]
    pub request_headers: u64,
    /// Number of request header fields. 431.
    pub request_header_count: usize,
    /// Request body. 413; 0 = no limit.
    #[serde(with = "crate::config::size")]
    pub request_body: u64,
    /// All response header fields of an upstream. 502.
    #[serde(with = "crate::config::size")]
    pub upstream_headers: u64,
    /// Requests on one client connection.
    pub keep_alive_requests: u64,
    /// Client connections of one worker; beyond it the newest is refused.
    pub connections: usize,
    /// HTTP/2 streams of one client connection.
    pub http2_streams: u32,
    /// Idle connections that one worker keeps to all upstreams.
    pub upstream_idle: usize,
    /// Requests on one upstream connection.
    pub upstream_requests: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BalanceConfig {
    #[default]
    RoundRobin,
    LeastRequest,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// `namespace/name` of the Secret shown when no host has its own; absent = self-signed.
    pub default_certificate: Option<String>,
    /// End handshakes for unknown names with alert 112 instead of the default certificate (T5).
    pub strict_sni: bool,
    /// T11; absent = on.
    pub https_redirect: Option<bool>,
    /// T13; absent = on in compat mode, off otherwise (D24).
    pub hsts: Option<bool>,
    /// Verify HTTPS upstreams; absent = on, off in compat mode (D23).
    pub verify_upstream: Option<bool>,
}

/// How packets come to the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Steering {
    /// Spread packets over this many CPUs by CPUMAP; 0 = off. For single-queue NICs.
    pub cpumap: u32,
    /// One of this many packets of a VIP is reported as an event; 0 = none.
    pub event_sample: u32,
    /// How long SYNs wait for a listener to come back before they are refused.
    #[serde(with = "crate::config::duration")]
    pub listener_grace: Duration,
}

/// Which endpoint addresses are taken from slices.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EndpointsConfig {
    /// Networks that are served although endpoints may not lie there by default: loopback,
    /// link-local, multicast, VIPs, this node's addresses, the API server (E9). Wins over `deny`.
    pub allow: Vec<IpNet>,
    /// More networks that are not served, such as those of the other nodes.
    pub deny: Vec<IpNet>,
}

/// How annotations of Ingresses are read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnnotationsConfig {
    /// Keys, without prefix, that are taken as absent. An access rule in one of them is NOT
    /// enforced; without this it closes its paths when it is not supported (C13).
    pub ignore: Vec<String>,
}

/// Header fields that annotations may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeadersConfig {
    /// Names that the ConfigMaps of `custom-headers` may use. Empty = none.
    pub allowed_custom: Vec<String>,
}

fn default_ports() -> Vec<PortConfig> {
    vec![
        PortConfig { port: 80, protocol: PortProtocol::Http },
        PortConfig { port: 443, protocol: PortProtocol::Https },
    ]
}

// === impl VipConfig ===

impl VipConfig {
    /// The port that stands for HTTPS: 443 if that speaks it, else the lowest that does.
    pub fn https_port(&self) -> Option<u16> {
        let https = self.ports.iter().filter(|port| port.protocol == PortProtocol::Https);
        https.map(|port| port.port).min_by_key(|&port| (port != 443, port))
    }
}

// === impl Classes ===

impl Default for Classes {
    fn default() -> Self {
        Self {
            names: vec!["genkan".to_owned()],
            controller: "genkan.io/ingress-controller".to_owned(),
            serve_classless: false,
        }
    }
}

// === impl Timeouts ===

impl Default for Timeouts {
    /// ingress-nginx's defaults.
    fn default() -> Self {
        Self {
            client_header: Duration::from_secs(60),
            client_body: Duration::from_secs(60),
            client_send: Duration::from_secs(60),
            keep_alive: Duration::from_secs(75),
            upstream_connect: Duration::from_secs(5),
            upstream_send: Duration::from_secs(60),
            upstream_read: Duration::from_secs(60),
            upstream_idle: Duration::from_secs(60),
            upstream_lifetime: Duration::from_secs(3600),
            drain: Duration::from_secs(240),
        }
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_line: 8 << 10,
            request_headers: 32 << 10,
            request_header_count: 100,
            request_body: 1 << 20,
            upstream_headers: 64 << 10,
            keep_alive_requests: 1000,
            connections: 65_536,
            http2_streams: 128,
            upstream_idle: 320,
            upstream_requests: 10_000,
        }
    }
}

// === impl Steering ===

impl Default for Steering {
    fn default() -> Self {
        Self { cpumap: 0, event_sample: 0, listener_grace: Duration::from_secs(5) }
    }
}
