//! One request, phase by phase, the same for every downstream protocol.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use super::body::{ReplyBody, RequestBody};
use super::error::Failure;
use crate::config::PortProtocol;

/// What is known of the client's connection. One for each connection, shared by its requests.
#[derive(Debug, Clone)]
pub struct Connection {
    pub peer: SocketAddr,
    /// The VIP and port that the client connected to.
    pub local: SocketAddr,
    pub protocol: PortProtocol,
    /// Server name of the handshake, lower case.
    pub sni: Option<Arc<str>>,
}

/// The answer to one request.
#[derive(Debug)]
pub enum Reply {
    Response(Response<ReplyBody>),
    /// 101 (or 200 of a CONNECT-like upgrade): the head is relayed, then bytes flow both ways.
    Switch {
        head: Response<()>,
        upstream: TokioIo<Upgraded>,
    },
}

/// Serves one request. Never fails: a [`Failure`] becomes its answer.
pub async fn serve(_connection: &Connection, request: Request<RequestBody>) -> Reply {
    let mut response = Response::new(ReplyBody::Empty);
    *response.status_mut() = Failure::NoRoute.status();
    drop(request);
    Reply::Response(response)
}
