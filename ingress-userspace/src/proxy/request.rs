//! One request, phase by phase, the same for every downstream protocol.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderValue, Request, Response};

use super::body::{ReplyBody, RequestBody};
use super::context::ProxyContext;
use super::error::Failure;
use crate::config::PortProtocol;
use crate::routing::Route;
use crate::upstream::Tunnel;

/// What is known of the client's connection. One for each connection, shared by its requests.
#[derive(Debug, Clone)]
pub struct Connection {
    pub peer: SocketAddr,
    /// The VIP and port that the client connected to.
    pub local: SocketAddr,
    pub protocol: PortProtocol,
    /// Server name of the handshake, lower case.
    pub sni: Option<Arc<str>>,
    /// Peer address and local port as header values, made once for all requests.
    peer_text: HeaderValue,
    port_text: HeaderValue,
}

/// A served request: what to send, and what to log.
#[derive(Debug)]
pub struct Served {
    pub reply: Reply,
    pub outcome: Outcome,
}

/// The answer to one request.
#[derive(Debug)]
pub enum Reply {
    Response(Response<ReplyBody>),
    /// Answered by the table in `error`; the downstream side writes it.
    Failed(Failure),
    /// 101: the head is relayed, then bytes flow both ways.
    Switch {
        head: Response<()>,
        upstream: Tunnel,
    },
}

/// What the access log and the counters want to know of a served request.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub route: Option<Arc<Route>>,
    /// The endpoint that answered, or was tried last.
    pub endpoint: Option<SocketAddr>,
    /// Endpoints tried; more than 1 after a retry.
    pub attempts: u8,
}

// === impl Connection ===

impl Connection {
    pub fn new(
        peer: SocketAddr,
        local: SocketAddr,
        protocol: PortProtocol,
        sni: Option<Arc<str>>,
    ) -> Self {
        let peer_text = HeaderValue::from_str(&peer.ip().to_canonical().to_string())
            .expect("an address is a valid header value");
        let port_text = HeaderValue::from(local.port());
        Self { peer, local, protocol, sni, peer_text, port_text }
    }
}

/// Serves one request. Never fails: a [`Failure`] becomes its answer.
pub async fn serve(
    _context: &ProxyContext,
    _connection: &Connection,
    request: Request<RequestBody>,
) -> Served {
    drop(request);
    Served { reply: Reply::Failed(Failure::NoRoute), outcome: Outcome::default() }
}
