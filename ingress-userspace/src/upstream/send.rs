//! One request to one cluster: choose, connect or reuse, send, try again where that is safe.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::{Request, Response};
use smallvec::SmallVec;
use tokio::time::{Instant, timeout};

use super::body::{Lease, ResponseBody, Source, Visit};
use super::connect::{Connected, connect};
use super::http1::{self, Http1, Lost};
use super::http2::{Http2, Stream};
use super::pool::{Endpoint, Outgoing, Pool, Upstreams};
use super::retry::TRIES;
use super::sticky::{Field, Sticky};
use super::{Error, Policy, Tunnel};
use crate::routing::{Cluster, ClusterId, ClusterState, UpstreamProtocol, UpstreamTimeouts};

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub id: ClusterId,
    pub cluster: &'a Arc<Cluster>,
    /// Of the snapshot that the cluster is from.
    pub version: u64,
    /// The request asks for another protocol, so that 101 is an answer.
    pub upgrade: bool,
    /// Timeouts of the route.
    pub timeouts: UpstreamTimeouts,
    /// The session that decides about the endpoint; without one the cluster's balance does.
    pub sticky: Option<Sticky>,
}

/// What an endpoint said.
#[derive(Debug)]
pub enum Answer<B: Outgoing> {
    Response(Response<ResponseBody<B>>),
    Switch { head: Response<()>, tunnel: Tunnel<B> },
}

/// What was tried, for the access log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attempts {
    /// The last endpoint.
    pub endpoint: Option<SocketAddr>,
    pub count: u8,
    /// What the session has become.
    pub session: Option<u64>,
}

/// A connection for one request.
enum Link<B: Outgoing> {
    Http1(Box<Http1<B>>),
    Http2(Stream<B>),
}

// === impl Upstreams ===

impl<B: Outgoing> Upstreams<B> {
    /// Sends a request in HTTP/1 form (path as target, `Host`) and waits for the head of the
    /// answer. `attempts` is up to date also when this is dropped or fails.
    pub async fn send(
        &self,
        target: Target<'_>,
        mut request: Request<B>,
        attempts: &mut Attempts,
    ) -> Result<Answer<B>, Error> {
        let Target { id, cluster, version, upgrade, timeouts, sticky } = target;
        usable(cluster)?;
        let mut policy = self.pool.policy();
        if !timeouts.is_empty() {
            policy = Rc::new(policy.with(timeouts));
        }
        let members = self.pool.members(id, cluster, version);
        let mut refused = SmallVec::<[usize; TRIES as usize]>::new();
        let mut fresh = false;
        let mut last = Error::NoEndpoint("no endpoint is ready");
        while refused.len() < TRIES.into() {
            let field = Field {
                turn: &members.turn,
                balance: cluster.balance,
                count: members.endpoints.len(),
                id: |i: usize| members.endpoints[i].id,
                in_flight: |i: usize| members.endpoints[i].in_flight.get(),
                refused: &refused,
            };
            let picked = match &sticky {
                None => field.balanced(),
                Some(sticky) => sticky.pick(&field).map(|(index, number)| {
                    attempts.session = Some(number);
                    index
                }),
            };
            let Some(index) = picked else { break };
            let endpoint = &members.endpoints[index];
            attempts.endpoint = Some(endpoint.address);
            attempts.count += 1;
            if attempts.count > 1 {
                self.pool.counters.tried_again();
            }
            let visit = Visit::new(endpoint.clone());
            let link = match self.pool.link(endpoint, cluster, fresh, &policy).await {
                Ok(link) => link,
                Err(error) => {
                    refused.push(index);
                    last = error;
                    continue;
                }
            };
            let lost = match self.exchange(link, visit, request, target, &policy).await {
                Ok(answer) => return check(answer, upgrade),
                Err(lost) => lost,
            };
            match lost.again {
                Some(again) if !fresh => request = *again,
                _ => return Err(lost.error),
            }
            fresh = true;
        }
        Err(last)
    }

    async fn exchange(
        &self,
        link: Link<B>,
        visit: Visit<B>,
        request: Request<B>,
        target: Target<'_>,
        policy: &Rc<Policy>,
    ) -> Result<Answer<B>, Lost<B>> {
        match link {
            Link::Http1(mut connection) => {
                let response = connection.send(request, policy).await?;
                if http1::switches(&response) {
                    let tunnel = connection.into_tunnel(visit).await;
                    let tunnel = tunnel.map_err(Lost::finally)?;
                    return Ok(Answer::Switch { head: response.map(drop), tunnel });
                }
                let lease = Lease { connection, visit, pool: self.pool.clone() };
                Ok(Answer::Response(response.map(|incoming| {
                    ResponseBody::new(incoming, Source::Http1(lease), policy.clone())
                })))
            }
            Link::Http2(mut stream) => {
                let tls = matches!(target.cluster.protocol, UpstreamProtocol::H2Tls { .. });
                let response = stream.send(request, tls, policy).await?;
                let source = Source::Http2 { stream, _visit: visit };
                Ok(Answer::Response(
                    response.map(|incoming| ResponseBody::new(incoming, source, policy.clone())),
                ))
            }
        }
    }
}

// === impl Pool ===

impl<B: Outgoing> Pool<B> {
    async fn link(
        &self,
        endpoint: &Endpoint<B>,
        cluster: &Arc<Cluster>,
        fresh: bool,
        policy: &Policy,
    ) -> Result<Link<B>, Error> {
        let multiplexed =
            matches!(cluster.protocol, UpstreamProtocol::H2c | UpstreamProtocol::H2Tls { .. });
        if multiplexed && let Some(stream) = endpoint.stream(self.now()) {
            self.counters.requested(true);
            return Ok(Link::Http2(stream));
        }
        if !fresh && let Some(connection) = self.take(endpoint) {
            self.counters.requested(true);
            return Ok(Link::Http1(connection));
        }
        // Rare, and large: not part of every request's future.
        Box::pin(self.open(endpoint, cluster, multiplexed, policy)).await
    }

    /// Within `timeouts.upstream_connect`, the wait for somebody else's attempt included.
    async fn open(
        &self,
        endpoint: &Endpoint<B>,
        cluster: &Arc<Cluster>,
        multiplexed: bool,
        policy: &Policy,
    ) -> Result<Link<B>, Error> {
        let begun = Instant::now();
        let opening = self.open_now(endpoint, cluster, multiplexed, policy);
        let opened = timeout(policy.timeouts.upstream_connect, opening).await;
        let opened = opened.unwrap_or(Err(Error::ConnectTimeout));
        self.counters.connected(&opened, begun.elapsed());
        if opened.is_ok() {
            self.counters.requested(false);
        }
        opened
    }

    async fn open_now(
        &self,
        endpoint: &Endpoint<B>,
        cluster: &Arc<Cluster>,
        multiplexed: bool,
        policy: &Policy,
    ) -> Result<Link<B>, Error> {
        let mut _turn = None;
        if multiplexed {
            _turn = endpoint.opening.acquire().await.ok();
            if let Some(stream) = endpoint.stream(self.now()) {
                return Ok(Link::Http2(stream));
            }
        }
        match connect(cluster, endpoint.address, &self.tls).await? {
            Connected::Http1(io) => {
                Http1::open(io, policy, self.now(), self.counters.open()).await.map(Link::Http1)
            }
            Connected::Http2(io) => {
                let connection = Http2::open(io, policy, self.now(), self.counters.open()).await?;
                let stream = connection.stream(self.now());
                if !endpoint.gone() {
                    endpoint.multiplexed.borrow_mut().push(connection);
                }
                Ok(Link::Http2(stream))
            }
        }
    }
}

// === impl Endpoint ===

impl<B: Outgoing> Endpoint<B> {
    /// A place on a connection that has room.
    fn stream(&self, now: tokio::time::Instant) -> Option<Stream<B>> {
        let connections = self.multiplexed.borrow();
        Some(connections.iter().find(|connection| connection.has_room())?.stream(now))
    }
}

/// C9.
fn usable(cluster: &Cluster) -> Result<(), Error> {
    Err(Error::NoEndpoint(match cluster.state {
        ClusterState::Ready => return Ok(()),
        ClusterState::NoEndpoints => "no endpoint is ready",
        ClusterState::ServiceNotFound => "Service not found",
        ClusterState::PortNotFound => "port not found in the Service",
        ClusterState::ExternalName => "ExternalName Services are not served",
    }))
}

fn check<B: Outgoing>(answer: Answer<B>, upgrade: bool) -> Result<Answer<B>, Error> {
    match answer {
        Answer::Switch { .. } if !upgrade => {
            Err(Error::BadResponse("101 without a request for an upgrade"))
        }
        answer => Ok(answer),
    }
}
