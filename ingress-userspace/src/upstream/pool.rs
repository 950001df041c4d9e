//! The connections that a worker keeps, by cluster and endpoint.
//!
//! The most recently used connection is taken first, so that the surplus of a burst grows old and
//! goes. A cluster's entry follows the snapshot: an endpoint that left is marked, its idle
//! connections close at once and the busy ones after their answer (E5).

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http_body::Body;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::members::Members;
use super::http1::Http1;
use super::http2::Http2;
use super::tls::ClientTls;
use super::{BoxError, Policy, UpstreamCounters};
use crate::routing::affinity::stable_hash;
use crate::routing::{ClusterId, Snapshot};

mod members;

/// When there are too many idle connections, this part of them is closed, oldest first.
const EVICTED_PART: usize = 8;

/// A request body that can be sent: HTTP/1 and HTTP/2 downstream have their own.
pub trait Outgoing: Body<Data = Bytes, Error: Into<BoxError>> + Default + Unpin + 'static {}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Default + Unpin + 'static> Outgoing for B {}

/// All upstream connections of one worker. A cheap handle; not shared between threads.
#[derive(Debug)]
pub struct Upstreams<B: Outgoing> {
    pub(super) pool: Rc<Pool<B>>,
}

#[derive(Debug)]
pub(super) struct Pool<B: Outgoing> {
    worker: usize,
    pub(super) tls: Arc<ClientTls>,
    pub(super) counters: Arc<UpstreamCounters>,
    policy: RefCell<Rc<Policy>>,
    clusters: RefCell<Vec<Option<Rc<Members<B>>>>>,
    /// Idle HTTP/1 connections of all endpoints.
    idle: Cell<usize>,
    /// Moves with each sweep: ages are known to a second without asking the clock per request.
    now: Cell<Instant>,
}

#[derive(Debug)]
#[expect(clippy::vec_box, reason = "connections are large and move between pool and requests")]
pub(super) struct Endpoint<B: Outgoing> {
    pub(super) address: SocketAddr,
    /// Its number in cookies: the same on every node and in every version.
    pub(super) id: u64,
    /// Requests that this worker has on the endpoint.
    pub(super) in_flight: Cell<u32>,
    /// Not in its cluster any more.
    gone: Cell<bool>,
    /// Oldest first.
    idle: RefCell<Vec<Box<Http1<B>>>>,
    pub(super) multiplexed: RefCell<Vec<Http2<B>>>,
    /// One HTTP/2 connection is opened at a time; the others wait to share it.
    pub(super) opening: Semaphore,
}

// === impl Upstreams ===

impl<B: Outgoing> Upstreams<B> {
    /// Time moves by [`Self::sweep`], which has to be called about once a second.
    pub fn new(
        worker: usize,
        tls: Arc<ClientTls>,
        policy: Policy,
        counters: Arc<UpstreamCounters>,
    ) -> Self {
        counters.begin();
        let pool = Pool {
            worker,
            tls,
            counters,
            policy: RefCell::new(Rc::new(policy)),
            clusters: RefCell::default(),
            idle: Cell::new(0),
            now: Cell::new(Instant::now()),
        };
        Self { pool: Rc::new(pool) }
    }

    /// For requests that begin from now on.
    pub fn set_policy(&self, policy: Policy) {
        *self.pool.policy.borrow_mut() = Rc::new(policy);
    }

    /// Closes what is too old or leads to endpoints that have left.
    pub fn sweep(&self, snapshot: &Snapshot) {
        self.pool.sweep(snapshot, Instant::now());
        self.pool.counters.kept(self.pool.idle.get());
    }

    /// Idle HTTP/1 connections that are kept now.
    pub fn idle(&self) -> usize {
        self.pool.idle.get()
    }
}

// === impl Pool ===

impl<B: Outgoing> Pool<B> {
    pub(super) fn policy(&self) -> Rc<Policy> {
        self.policy.borrow().clone()
    }

    pub(super) fn now(&self) -> Instant {
        self.now.get()
    }

    /// An idle connection that still works, if there is one.
    pub(super) fn take(&self, endpoint: &Endpoint<B>) -> Option<Box<Http1<B>>> {
        let mut idle = endpoint.idle.borrow_mut();
        loop {
            let mut connection = idle.pop()?;
            self.idle.set(self.idle.get() - 1);
            if connection.usable() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose exchange is complete, unless a limit says otherwise.
    pub(super) fn put(&self, endpoint: &Endpoint<B>, mut connection: Box<Http1<B>>, on: &Policy) {
        let age = self.now().duration_since(connection.opened);
        let keep = !endpoint.gone.get()
            && on.limits.upstream_idle > 0
            && connection.reusable()
            && connection.requests < on.limits.upstream_requests
            && age < on.timeouts.upstream_lifetime;
        if !keep {
            return;
        }
        if self.idle.get() >= on.limits.upstream_idle {
            self.evict();
        }
        connection.used = self.now();
        endpoint.idle.borrow_mut().push(connection);
        self.idle.set(self.idle.get() + 1);
    }

    fn retire(&self, endpoint: &Endpoint<B>) {
        endpoint.gone.set(true);
        let closed = std::mem::take(&mut *endpoint.idle.borrow_mut()).len();
        self.idle.set(self.idle.get() - closed);
        // Streams hold their connection until they end.
        endpoint.multiplexed.borrow_mut().clear();
    }

    fn sweep(&self, snapshot: &Snapshot, now: Instant) {
        self.now.set(now);
        let policy = self.policy();
        let mut clusters = self.clusters.borrow_mut();
        for (index, slot) in (0u32..).zip(clusters.iter_mut()) {
            let Some(members) = slot else { continue };
            match snapshot.cluster(ClusterId(index)) {
                None => {
                    members.endpoints.iter().for_each(|endpoint| self.retire(endpoint));
                    *slot = None;
                    continue;
                }
                Some(cluster) if !Arc::ptr_eq(&members.cluster, cluster) => {
                    let followed = self.follow(slot.take(), cluster, snapshot.version);
                    *slot = Some(Rc::new(followed));
                }
                Some(_) => {}
            }
            for endpoint in slot.iter().flat_map(|members| &members.endpoints) {
                self.expire(endpoint, &policy);
            }
        }
    }

    fn expire(&self, endpoint: &Endpoint<B>, policy: &Policy) {
        let now = self.now();
        let mut idle = endpoint.idle.borrow_mut();
        let before = idle.len();
        idle.retain_mut(|connection| {
            now.duration_since(connection.used) < policy.timeouts.upstream_idle
                && now.duration_since(connection.opened) < policy.timeouts.upstream_lifetime
                && connection.usable()
        });
        self.idle.set(self.idle.get() + idle.len() - before);
        endpoint.multiplexed.borrow_mut().retain(|connection| connection.keeps(policy, now));
    }

    /// Makes room by closing the oldest of all idle connections.
    fn evict(&self) {
        let clusters = self.clusters.borrow();
        let endpoints = || clusters.iter().flatten().flat_map(|members| &members.endpoints);
        let mut ages: Vec<_> = endpoints()
            .flat_map(|e| e.idle.borrow().iter().map(|c| c.used).collect::<Vec<_>>())
            .collect();
        let part = (ages.len() / EVICTED_PART).clamp(1, ages.len().max(1));
        let Some(limit) = ages.get(part - 1).is_some().then(|| {
            let (_, limit, _) = ages.select_nth_unstable(part - 1);
            *limit
        }) else {
            return;
        };
        let mut left = part;
        for endpoint in endpoints() {
            endpoint.idle.borrow_mut().retain(|connection| {
                let closed = left > 0 && connection.used <= limit;
                left -= usize::from(closed);
                !closed
            });
        }
        self.idle.set(self.idle.get() - (part - left));
    }
}

// === impl Endpoint ===

impl<B: Outgoing> Endpoint<B> {
    fn new(address: SocketAddr, cluster: &str) -> Self {
        let id = stable_hash(&[cluster.as_bytes(), address.to_string().as_bytes()]);
        Self {
            address,
            id,
            in_flight: Cell::new(0),
            gone: Cell::new(false),
            idle: RefCell::default(),
            multiplexed: RefCell::default(),
            opening: Semaphore::new(1),
        }
    }

    pub(super) fn gone(&self) -> bool {
        self.gone.get()
    }
}
