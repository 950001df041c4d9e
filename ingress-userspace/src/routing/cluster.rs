//! A cluster: one Service port with the endpoints that may get requests now.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Stable slot of a cluster inside the snapshots of one agent; reused only after the cluster is
/// gone from every route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClusterId(pub u32);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// `namespace/service:port`, for logs, metrics and headers.
    #[serde(with = "crate::arc")]
    pub name: Arc<str>,
    #[serde(with = "crate::arc")]
    pub namespace: Arc<str>,
    #[serde(with = "crate::arc")]
    pub service: Arc<str>,
    pub protocol: UpstreamProtocol,
    pub balance: Balance,
    /// Deduplicated, sorted: the same set gives the same order on every node.
    #[serde(with = "crate::arc")]
    pub endpoints: Arc<[UpstreamEndpoint]>,
    pub state: ClusterState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamEndpoint {
    pub address: SocketAddr,
    #[serde(with = "crate::arc::optional")]
    pub pod: Option<Arc<str>>,
}

/// Why a cluster can or cannot serve. All but `Ready` answer 503 (C9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterState {
    Ready,
    NoEndpoints,
    ServiceNotFound,
    PortNotFound,
    /// ExternalName is off (E15).
    ExternalName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Balance {
    #[default]
    RoundRobin,
    /// The less loaded of two picked at random.
    LeastRequest,
}
