//! The entrance of an agent: the workers, and their listeners, are those of another process.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use anyhow::Context;

use super::{Entrance, Inherited, Prepared, Steered};
use crate::cli::RunOptions;
use crate::config::Config;
use crate::dataplane::Hold;
use crate::net::listen::Family;

/// What the places in the socket map may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) enum Seating {
    /// Nothing, or other sockets.
    New,
    /// Nothing, or these sockets.
    Kept,
    /// Anything. There is a moment without a socket.
    Anew,
}

// === impl Prepared ===

impl Prepared {
    /// Opens the entrance for workers that come and go. What the maps hold of them stays: sockets of
    /// a proxy that serves while its agent is replaced.
    pub(in crate::app) async fn open_for_others(
        self,
        options: &RunOptions,
        workers: usize,
        hold: Option<Hold>,
    ) -> anyhow::Result<Entrance> {
        let Self::Steered(prepared) = self else {
            anyhow::bail!("--no-bpf: without kernel programs nothing leads to the proxy");
        };
        let mut dataplane =
            prepared.take_over(&options.config, &[]).await.context("kernel side")?;
        super::report(&dataplane.report());
        dataplane.settle_for_others();
        let events = if options.events { dataplane.events()? } else { None };
        let log = dataplane.kernel_log();
        let (groups, inherited) = (Vec::new(), Inherited::default());
        let steered = Steered { dataplane, hold, groups, inherited, workers, events, log };
        Ok(Entrance::Steered(Box::new(steered)))
    }
}

// === impl Entrance ===

impl Entrance {
    pub(in crate::app) fn load_array(&self) -> anyhow::Result<Option<OwnedFd>> {
        match self {
            Self::Steered(steered) => Ok(Some(steered.dataplane.load_array()?)),
            Self::Bound { .. } | Self::Handed(_) => Ok(None),
        }
    }

    /// Lets no new connection come to the proxy: they wait for `steering.listener_grace` for another
    /// one, then they are refused.
    pub(in crate::app) fn unseat(&mut self) -> anyhow::Result<()> {
        let Self::Steered(steered) = self else { return Ok(()) };
        for worker in 0..steered.workers {
            for family in Family::ALL {
                steered.dataplane.remove_listener(worker, family)?;
            }
        }
        Ok(())
    }

    /// Lets connections come to a proxy: its workers run on these CPUs and accept from these
    /// sockets, of which no copy is left here. A copy that outlived the proxy would be a black hole:
    /// connections would come to it and nobody would answer them.
    pub(in crate::app) async fn seat(
        &mut self,
        config: &Config,
        cpus: &[u32],
        sockets: Vec<(usize, TcpListener)>,
        seating: Seating,
    ) -> anyhow::Result<Vec<SocketAddr>> {
        let Self::Steered(steered) = self else { return Ok(Vec::new()) };
        steered.dataplane.place_workers(config, cpus).await?;
        let before = std::mem::replace(&mut steered.workers, cpus.len());
        let mut addresses = Vec::new();
        for (worker, socket) in sockets {
            anyhow::ensure!(worker < cpus.len(), "a listener of worker {worker} of {}", cpus.len());
            let address = socket.local_addr()?;
            let (family, dataplane) = (Family::of(address.ip()), &mut steered.dataplane);
            match seating {
                Seating::New => dataplane.set_listener(worker, family, &socket)?,
                Seating::Kept => dataplane.keep_listener(worker, family, &socket)?,
                Seating::Anew => {
                    dataplane.remove_listener(worker, family)?;
                    dataplane.set_listener(worker, family, &socket)?;
                }
            }
            addresses.push(address);
        }
        for worker in cpus.len()..before {
            for family in Family::ALL {
                steered.dataplane.remove_listener(worker, family)?;
            }
        }
        Ok(addresses)
    }
}
