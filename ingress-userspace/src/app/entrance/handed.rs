//! The entrance of a proxy: an agent steers, to listeners that are made here and handed to it.

use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::Context;
use ingress_common::worker::Load;

use super::Opened;
use crate::net::listen::{Family, ListenerGroup};
use crate::net::load::LoadBoard;
use crate::snapshot::link::Sender;
use crate::snapshot::wire::Lending;

pub(in crate::app) struct Handed {
    groups: Vec<ListenerGroup>,
    pub(super) loads: LoadBoard,
    agent: Sender,
    /// Of each worker.
    cpus: Vec<u32>,
    /// The agent has all that there were; from now on each new one is handed over for itself.
    all: bool,
}

// === impl Handed ===

impl Handed {
    /// `ports`: those of the groups to join, by family, 0 where there is none. `load`: the array in
    /// which the workers publish their load.
    pub(in crate::app) fn open(
        agent: Sender,
        cpus: Vec<u32>,
        ports: &[u16],
        load: Option<OwnedFd>,
    ) -> anyhow::Result<Self> {
        let mut groups = Vec::new();
        for (index, family) in Family::ALL.into_iter().enumerate() {
            let port = ports.get(index).copied().filter(|&port| port != 0);
            // Cookies of one under another user are lost: it is no group of ours.
            let joined = port.and_then(|port| ListenerGroup::join(family, port).ok());
            match joined.map_or_else(|| ListenerGroup::reserve(family), Ok) {
                Ok(group) => groups.push(group),
                Err(error) => tracing::warn!("no {family:?} VIP can be served: {error}"),
            }
        }
        anyhow::ensure!(!groups.is_empty(), "no listener can be made on a loopback address");
        let mapped = load.and_then(|array| {
            match LoadBoard::kernel(array.as_fd(), cpus.len(), size_of::<Load>()) {
                Ok(board) => Some(board),
                Err(error) => {
                    tracing::warn!("the kernel programs see no load of the workers: {error}");
                    None
                }
            }
        });
        let loads = mapped.unwrap_or_else(|| LoadBoard::heap(cpus.len()));
        Ok(Self { groups, loads, agent, cpus, all: false })
    }

    pub(super) fn listeners(&self) -> anyhow::Result<Vec<Opened>> {
        let listen = |group: &ListenerGroup| {
            let listener = group.listen().with_context(|| group.address().to_string())?;
            Ok(Opened { listener, admit: true, lasts: true })
        };
        self.groups.iter().map(listen).collect()
    }

    /// Of a worker that took the place of another.
    pub(super) fn admit(&self, worker: usize, listeners: &[Opened]) {
        if self.all {
            let lent: Vec<_> = listeners.iter().map(|opened| (worker, &opened.listener)).collect();
            self.agent.lend(&self.cpus, &lent, Lending::More);
        }
    }

    /// Those of all workers, for an agent that knows none yet.
    pub(in crate::app) fn lend(&mut self, listeners: &[(usize, &TcpListener)]) {
        let before = std::mem::replace(&mut self.all, true);
        self.loads.publish();
        let lending = if before { Lending::Again } else { Lending::First };
        self.agent.lend(&self.cpus, listeners, lending);
    }
}
