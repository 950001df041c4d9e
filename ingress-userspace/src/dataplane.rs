//! The kernel side: programs, maps, links and routes, kept equal to the configuration.
//!
//! In: the configuration, the CPUs of the workers, their listening sockets. Out: a [`Report`],
//! counters, sampled events, and the board on which workers publish their load. Everything here
//! happens on the control runtime, never per packet or per connection. What is attached stays in
//! the kernel when the process ends; [`detach()`] takes it out.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};

use aya::Ebpf;
use ingress_common::worker::{Absence, MAX_WORKERS, listener_slot};

mod attach;
mod counters;
mod detach;
mod error;
mod events;
pub mod flow;
mod interfaces;
mod load;
mod log;
mod maps;
mod pins;
pub mod plan;
mod report;
mod take_over;

pub use attach::Steer;
pub use counters::VipCounters;
pub use detach::{Detached, detach};
pub use error::DataplaneError;
pub use events::{Event, Events};
pub use load::object;
pub use log::KernelLog;
pub use pins::{Hold, Pins};
pub use report::{InterfaceReport, Report, VipReport};
pub use take_over::Prepared;

use crate::config::Config;
use crate::net::address;
use crate::net::listen::Family;
use crate::net::load::LoadBoard;
use maps::Maps;
use plan::{Operation, Placement, Plan};

/// Flags of an update of a map: whatever is there, or only where nothing is.
const BPF_ANY: u64 = 0;
const BPF_NOEXIST: u64 = 1;

/// The loaded and attached kernel side of this process.
pub struct Dataplane {
    ebpf: Ebpf,
    maps: Maps,
    pins: Pins,
    plan: Plan,
    report: Report,
    workers: Vec<u32>,
    loads: LoadBoard,
    kernel_log: Option<KernelLog>,
}

#[derive(Debug, Clone, Default)]
pub struct Options {
    pub pins: Pins,
    /// Keep the debug logging of the kernel programs in; [`Dataplane::kernel_log`] reads it.
    pub debug: bool,
}

// === impl Dataplane ===

impl Dataplane {
    /// Loads, fills the maps, attaches, and lets go of what earlier versions left: the way of a
    /// process that takes nobody's place. `workers`: the CPU of each worker.
    ///
    /// Runs in the network namespace of the calling thread, on a tokio runtime. An interface that
    /// can't be attached is no error: it is in the report.
    pub async fn start(
        config: &Config,
        workers: &[u32],
        options: Options,
    ) -> Result<Self, DataplaneError> {
        let dataplane = Prepared::load(config, workers, options)?.take_over(config, &[]).await?;
        dataplane.settle();
        Ok(dataplane)
    }

    /// To be called when nobody else uses the kernel side any more: `dispatch` sees the load of
    /// these workers, and pins of other versions go.
    pub fn settle(&self) {
        self.loads.publish();
        self.remove_other_versions();
    }

    /// As [`Self::settle`], for workers of another process: they publish their load by
    /// [`Self::load_array`].
    pub fn settle_for_others(&self) {
        self.remove_other_versions();
    }

    /// The array in which the workers of another process publish their load. To map it needs no
    /// right.
    pub fn load_array(&self) -> Result<OwnedFd, DataplaneError> {
        let array = self.maps.loads()?.try_clone_to_owned();
        array.map_err(|error| DataplaneError::io("hand over the array of loads", error))
    }

    /// From now on the workers are these: the CPU of each.
    pub async fn place_workers(
        &mut self,
        config: &Config,
        workers: &[u32],
    ) -> Result<(), DataplaneError> {
        self.still_ours()?;
        let before = std::mem::replace(&mut self.workers, workers.to_vec());
        let placed = match self.plan_for(config) {
            Ok(next) => self.step_to(next, Steps::All).await,
            Err(error) => Err(error),
        };
        if placed.is_err() {
            self.workers = before;
        }
        placed
    }

    /// Makes the kernel side follow a changed configuration, and attaches to devices that have come
    /// since. A configuration that can't be followed changes nothing.
    ///
    /// Fails, as all that changes something, when another process has taken over.
    pub async fn apply(&mut self, config: &Config) -> Result<(), DataplaneError> {
        self.still_ours()?;
        let next = self.plan_for(config)?;
        let before = self.plan.clone();
        self.step_to(next, Steps::All).await?;
        let Err(error) = self.attach_interfaces(config).await else { return Ok(()) };
        if let Err(again) = self.step_to(before, Steps::All).await {
            tracing::error!(target: "genkan::dataplane", "the maps stay as configured: {again}");
        }
        Err(error)
    }

    /// Sends new connections of a family to this listener when they are for the worker; it takes
    /// the place of the worker's last one. The descriptor is not kept.
    pub fn set_listener(
        &mut self,
        worker: usize,
        family: Family,
        listener: impl AsFd,
    ) -> Result<(), DataplaneError> {
        self.hand_listener(worker, family, listener, BPF_ANY)
    }

    /// The same for a listener that may have its place already: maps that are kept hold it, unless
    /// they are those of a process that never served. Whatever has the place keeps it.
    pub fn keep_listener(
        &mut self,
        worker: usize,
        family: Family,
        listener: impl AsFd,
    ) -> Result<(), DataplaneError> {
        self.hand_listener(worker, family, listener, BPF_NOEXIST)
    }

    fn hand_listener(
        &mut self,
        worker: usize,
        family: Family,
        listener: impl AsFd,
        flags: u64,
    ) -> Result<(), DataplaneError> {
        self.still_ours()?;
        let slot = self.slot(worker, family)?;
        let listener = std::os::fd::AsRawFd::as_raw_fd(&listener.as_fd());
        let handed = self.maps.listeners.set(slot, &listener, flags);
        let handed = maps::tolerate(handed, libc::EEXIST);
        // The next absence is a new one, also when no SYN comes in between to say so.
        let ended =
            handed.and_then(|()| self.maps.absence.set(wire(family) as u32, Absence::default(), 0));
        ended.map_err(|error| {
            DataplaneError::kernel(
                format!("hand the {family:?} listener of worker {worker} to dispatch"),
                &error,
            )
        })
    }

    /// Takes a worker's listener out; nothing happens when it is gone already (a closed socket
    /// leaves the map by itself).
    pub fn remove_listener(&mut self, worker: usize, family: Family) -> Result<(), DataplaneError> {
        self.still_ours()?;
        let slot = self.slot(worker, family)?;
        let removed = self.maps.listeners.clear_index(&slot);
        // A socket map says EINVAL for an empty place.
        let removed = maps::tolerate(maps::tolerate(removed, libc::EINVAL), libc::ENOENT);
        removed.map_err(|error| {
            DataplaneError::kernel(
                format!("take the {family:?} listener of worker {worker} from dispatch"),
                &error,
            )
        })
    }

    /// The board on which each worker publishes its connections.
    pub fn loads(&self) -> LoadBoard {
        self.loads.clone()
    }

    /// Packets of every VIP by verdict.
    pub fn counters(&self) -> Result<Vec<VipCounters>, DataplaneError> {
        counters::read(&self.maps.counters, &self.plan.names)
    }

    /// The sampled events; `None` when they were taken before.
    pub fn events(&mut self) -> Result<Option<Events>, DataplaneError> {
        let Some(ring) = self.maps.events.take() else { return Ok(None) };
        let events = Events::new(ring)
            .map_err(|error| DataplaneError::io("wait for events of the kernel programs", error))?;
        Ok(Some(events))
    }

    /// The log of the kernel programs, when it was asked for.
    pub fn kernel_log(&mut self) -> Option<KernelLog> {
        self.kernel_log.take()
    }

    pub fn report(&self) -> Report {
        Report { vips: VipReport::all(&self.plan), ..self.report.clone() }
    }

    /// VIP names by counter index, as events carry it.
    pub fn vip_names(&self) -> &BTreeMap<u32, String> {
        &self.plan.names
    }

    /// A process that has been superseded must not touch what its successor uses.
    fn still_ours(&self) -> Result<(), DataplaneError> {
        let (ours, theirs) = (self.plan.settings.generation, self.maps.settings()?.generation);
        if ours == theirs { Ok(()) } else { Err(DataplaneError::Superseded { ours, theirs }) }
    }

    fn plan_for(&self, config: &Config) -> Result<Plan, DataplaneError> {
        let placement = Placement { workers: &self.workers, cpus: cpus()? };
        Ok(self.plan.next(&config.vips, &config.steering, placement)?)
    }

    /// Does the steps to `next`. When one fails, those before it are taken back: what was in force
    /// stays in force.
    async fn step_to(&mut self, next: Plan, which: Steps) -> Result<(), DataplaneError> {
        let before = self.plan.clone();
        let Err(error) = self.run(&next, which).await else { return Ok(()) };
        if let Err(again) = self.run(&before, which).await {
            tracing::error!(
                target: "genkan::dataplane",
                "the kernel side is neither as before nor as configured: {again}"
            );
        }
        Err(error)
    }

    /// Does the steps to `next`. When one fails, the plan is what was reached.
    async fn run(&mut self, next: &Plan, which: Steps) -> Result<(), DataplaneError> {
        for step in self.plan.steps(next) {
            // A successor that hung, and was given up meanwhile, stops here.
            self.still_ours()?;
            if let Err(error) = self.step(&step, which).await {
                let (routes, names) = (self.plan.routes.clone(), next.names.clone());
                let generation = self.plan.settings.generation;
                self.plan = Plan { routes, names, ..self.maps.read(cpus()?)? };
                // Of another owner's maps nothing becomes ours by reading them.
                self.plan.settings.generation = generation;
                return Err(error);
            }
        }
        let routes = std::mem::take(&mut self.plan.routes);
        self.plan = Plan { routes, ..next.clone() };
        Ok(())
    }

    async fn step(&mut self, step: &Operation, which: Steps) -> Result<(), DataplaneError> {
        tracing::debug!(target: "genkan::dataplane", ?step, "kernel step");
        match *step {
            Operation::AddRoute { .. } if which == Steps::BeforeAttaching => Ok(()),
            Operation::AddRoute { address } => {
                address::add_local(address).await.map_err(|error| {
                    DataplaneError::netlink(format!("make {address} a local address"), error)
                })?;
                self.plan.routes.insert(address);
                Ok(())
            }
            Operation::RemoveRoute { address } => {
                address::remove_local(address).await.map_err(|error| {
                    DataplaneError::netlink(format!("remove the local route of {address}"), error)
                })?;
                self.plan.routes.remove(&address);
                Ok(())
            }
            _ => self.maps.apply(step),
        }
    }

    fn remove_other_versions(&self) {
        match self.pins.remove_other_versions() {
            Ok(removed) => {
                for path in removed {
                    tracing::info!(target: "genkan::dataplane", "removed {}", path.display());
                }
            }
            // They cost memory, nothing else.
            Err(error) => {
                tracing::warn!(target: "genkan::dataplane", %error, "old pins are left behind");
            }
        }
    }

    fn slot(&self, worker: usize, family: Family) -> Result<u32, DataplaneError> {
        let worker = u32::try_from(worker).ok().filter(|&worker| worker < MAX_WORKERS);
        let worker = worker.ok_or_else(|| DataplaneError::Kernel {
            attempt: "give a worker a place in the socket map".to_owned(),
            reason: format!("there are {MAX_WORKERS} places"),
        })?;
        Ok(listener_slot(wire(family), worker))
    }
}

/// The family as the kernel programs count it.
fn wire(family: Family) -> ingress_common::Family {
    match family {
        Family::V4 => ingress_common::Family::V4,
        Family::V6 => ingress_common::Family::V6,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Steps {
    All,
    /// All but new routes.
    BeforeAttaching,
}

async fn local_routes() -> Result<BTreeSet<std::net::IpAddr>, DataplaneError> {
    address::local()
        .await
        .map_err(|error| DataplaneError::netlink("list the routes of the VIPs", error))
}

/// CPUs that the machine may ever have.
fn cpus() -> Result<u32, DataplaneError> {
    let count = aya::util::nr_cpus()
        .map_err(|(path, error)| DataplaneError::io(format!("read {path}"), error))?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}
