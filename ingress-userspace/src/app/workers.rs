//! The workers of this process: where each runs, and a new one in the place of one that ended.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use anyhow::Context;
use arc_swap::ArcSwap;
use ingress_common::worker::MAX_WORKERS;

use super::entrance::Entrance;
use crate::config::Config;
use crate::net::cpu;
use crate::proxy::access_log::AccessLog;
use crate::proxy::counters::Counters;
use crate::proxy::worker::{Exit, WorkerHandle, WorkerParts};
use crate::proxy::{self, worker};
use crate::snapshot::Publisher;
use crate::tls;
use crate::upstream::ClientTls;

/// What every worker gets.
pub(super) struct Shared {
    pub(super) settings: Arc<ArcSwap<proxy::Settings>>,
    pub(super) publisher: Publisher,
    pub(super) tls: tls::Acceptor,
    pub(super) upstream_tls: Arc<ClientTls>,
    pub(super) access_log: Option<AccessLog>,
    pub(super) places: Vec<Place>,
    /// One for each place.
    pub(super) counters: Arc<[Arc<Counters>]>,
}

/// Where a worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) cpu: u32,
    /// The only worker of its CPU: it stays there, where `dispatch` sends that CPU's connections.
    pub(super) pinned: bool,
}

pub(super) struct Workers {
    shared: Shared,
    /// `None` while a place has no worker: it could not be started again.
    handles: Vec<Option<WorkerHandle>>,
}

/// One place for each worker on the CPUs of this process.
pub(super) fn places(config: &Config) -> anyhow::Result<Vec<Place>> {
    let cpus = cpu::allowed().context("CPUs of this process")?;
    anyhow::ensure!(!cpus.is_empty(), "no CPU is allowed for this process");
    let count = config.workers.count.unwrap_or_else(|| cpus.len().min(MAX_WORKERS as usize));
    let pinned = count <= cpus.len();
    Ok(cpus.iter().cycle().take(count).map(|&cpu| Place { cpu, pinned }).collect())
}

// === impl Workers ===

impl Workers {
    pub(super) fn start(shared: Shared, entrance: &mut Entrance) -> anyhow::Result<Self> {
        let handles = (0..shared.places.len())
            .map(|index| spawn(&shared, index, entrance).map(Some))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { shared, handles })
    }

    pub(super) fn len(&self) -> usize {
        self.handles.len()
    }

    /// The next worker that ends, and how. Cancel-safe.
    pub(super) async fn exited(&mut self) -> (usize, Exit) {
        poll_fn(|cx| {
            for (index, place) in self.handles.iter_mut().enumerate() {
                let Some(handle) = place else { continue };
                let exit = pin!(handle.exited()).poll(cx);
                if let Poll::Ready(exit) = exit {
                    *place = None;
                    return Poll::Ready((index, exit));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// A new worker in the place of one that ended; the others served meanwhile.
    pub(super) fn replace(&mut self, (index, exit): (usize, Exit), entrance: &mut Entrance) {
        tracing::error!(worker = index, ?exit, "worker ended; a new one takes its place");
        match spawn(&self.shared, index, entrance) {
            Ok(handle) => self.handles[index] = Some(handle),
            Err(error) => tracing::error!(worker = index, "no new worker: {error:#}"),
        }
    }

    /// Whether each place has a worker.
    pub(super) fn running(&self) -> Vec<bool> {
        self.handles.iter().map(Option::is_some).collect()
    }

    pub(super) fn drain(&self) {
        for handle in self.handles.iter().flatten() {
            handle.drain();
        }
    }

    /// Cancel-safe.
    pub(super) async fn all_exited(&mut self) {
        while self.handles.iter().any(Option::is_some) {
            self.exited().await;
        }
    }

    #[cfg(feature = "testing")]
    pub(super) fn inject_panic(&self) {
        if let Some(handle) = self.handles.iter().flatten().next() {
            handle.inject_panic();
        }
    }
}

fn spawn(shared: &Shared, index: usize, entrance: &mut Entrance) -> anyhow::Result<WorkerHandle> {
    let listeners = entrance.listeners()?;
    // Our copies go at the end of this function: one that outlived its worker would take
    // connections that nobody accepts.
    let copies =
        listeners.iter().map(|listener| listener.try_clone()).collect::<Result<Vec<_>, _>>()?;
    let Place { cpu, pinned } = shared.places[index];
    let parts = WorkerParts {
        index,
        cpu: pinned.then_some(cpu),
        listeners,
        settings: shared.settings.clone(),
        snapshots: shared.publisher.subscribe(index),
        load: entrance.load(index),
        counters: shared.counters[index].clone(),
        tls: shared.tls.clone(),
        upstream_tls: shared.upstream_tls.clone(),
        access_log: shared.access_log.clone(),
    };
    let handle = worker::spawn(parts).with_context(|| format!("worker {index}"))?;
    entrance.admit(index, &copies).with_context(|| format!("listeners of worker {index}"))?;
    shared.counters[index].starts.add(1);
    Ok(handle)
}
