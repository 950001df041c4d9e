//! A cluster: one Service port with the endpoints that may get requests now.

use std::net::SocketAddr;
use std::sync::Arc;

/// Stable slot of a cluster inside the snapshots of one agent; reused only after the cluster is
/// gone from every route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub u32);

#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// `namespace/service:port`, for logs, metrics and headers.
    pub name: Arc<str>,
    pub namespace: Arc<str>,
    pub service: Arc<str>,
    pub protocol: UpstreamProtocol,
    pub balance: Balance,
    /// Deduplicated, sorted: the same set gives the same order on every node.
    pub endpoints: Arc<[UpstreamEndpoint]>,
    pub state: ClusterState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamEndpoint {
    pub address: SocketAddr,
    pub pod: Option<Arc<str>>,
}

/// Why a cluster can or cannot serve. All but `Ready` answer 503 (C9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterState {
    Ready,
    NoEndpoints,
    ServiceNotFound,
    PortNotFound,
    /// ExternalName is off (E15).
    ExternalName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpstreamProtocol {
    Http1,
    /// HTTP/2, prior knowledge, clear text.
    H2c,
    /// TLS; ALPN decides between HTTP/1.1 and HTTP/2 only for `H2Tls`.
    Http1Tls {
        verify: bool,
    },
    H2Tls {
        verify: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    #[default]
    RoundRobin,
    /// The less loaded of two picked at random.
    LeastRequest,
}
