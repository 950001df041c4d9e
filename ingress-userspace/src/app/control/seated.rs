//! What an agent can tell of its proxy, for the administration.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::admin::Node;
use crate::admin::status::{Traffic, VipTraffic, Worker};
use crate::metrics::{Exposition, Sum};
use crate::routing::Snapshot;
use crate::snapshot::Publisher;

#[derive(Debug)]
pub(super) struct Seated {
    publisher: Publisher,
    proxy: Mutex<Proxy>,
}

#[derive(Debug, Default)]
struct Proxy {
    /// The CPU of each worker of the last one.
    cpus: Vec<u32>,
    /// The version that it serves; 0 before its first.
    served: u64,
    /// Since when there is none.
    gone: Option<Instant>,
    /// Proxies to which connections came so far.
    seated: u64,
}

// === impl Seated ===

impl Seated {
    pub(super) fn new(publisher: Publisher) -> Self {
        let proxy = Proxy { gone: Some(Instant::now()), ..Proxy::default() };
        Self { publisher, proxy: Mutex::new(proxy) }
    }

    pub(super) fn is_here(&self, cpus: &[u32]) {
        let mut proxy = self.proxy();
        cpus.clone_into(&mut proxy.cpus);
        proxy.seated += u64::from(proxy.gone.take().is_some());
    }

    pub(super) fn serves(&self, version: u64) {
        self.proxy().served = version;
        self.publisher.acknowledge(version);
    }

    pub(super) fn is_gone(&self) {
        self.proxy().gone.get_or_insert_with(Instant::now);
        self.publisher.acknowledge(0);
    }

    /// Whether each worker takes connections, as far as the agent knows.
    pub(super) fn running(&self) -> Vec<bool> {
        let proxy = self.proxy();
        vec![proxy.gone.is_none(); proxy.cpus.len()]
    }

    fn proxy(&self) -> MutexGuard<'_, Proxy> {
        self.proxy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node for Arc<Seated> {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.publisher.current()
    }

    /// What they do is told by the proxy itself.
    fn workers(&self) -> Vec<Worker> {
        let proxy = self.proxy();
        let silent = proxy.gone.map_or(0.0, |gone| gone.elapsed().as_secs_f64());
        let worker = |(index, &cpu): (usize, &u32)| Worker {
            index,
            cpu,
            pinned: false,
            connections: 0,
            accepted: 0,
            requests: 0,
            served: proxy.served,
            silent,
            panics: 0,
            replaced: 0,
        };
        proxy.cpus.iter().enumerate().map(worker).collect()
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }

    fn vips(&self) -> BTreeMap<Arc<str>, VipTraffic> {
        BTreeMap::new()
    }

    fn unrouted(&self) -> Sum {
        Sum::default()
    }

    fn metrics(&self, out: &mut Exposition) {
        let proxy = self.proxy();
        out.gauge("genkan_proxy_connected", "Whether connections come to a proxy.")
            .number(&[], u64::from(proxy.gone.is_none()));
        out.gauge("genkan_proxy_snapshot_version", "Version that the proxy serves.")
            .number(&[], proxy.served);
        out.counter("genkan_proxies", "Proxies to which connections came.")
            .number(&[], proxy.seated);
    }
}
