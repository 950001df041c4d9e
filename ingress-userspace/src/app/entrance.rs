//! How connections come to the workers: steered by the kernel programs, or by sockets bound to the
//! VIPs themselves (`--no-bpf`).

mod handed;
mod seats;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use anyhow::Context;

use super::inherited::Inherited;
use super::workers::Place;
use crate::cli::RunOptions;
use crate::config::{Config, VipConfig};
use crate::dataplane::{
    self, Dataplane, Event, Events, Hold, KernelLog, Options, Pins, Report, VipCounters,
};
use crate::net::address;
use crate::net::listen::{Family, ListenerGroup, listen_direct};
use crate::net::load::{LoadBoard, LoadSlot};

pub(super) use handed::Handed;
pub(super) use seats::Seating;

pub(super) enum Entrance {
    /// `dispatch` gives the connections of all VIPs to one listener per worker and family.
    Steered(Box<Steered>),
    /// Each worker listens on every VIP and port.
    Bound { vips: Vec<VipConfig>, loads: LoadBoard, inherited: Inherited },
    /// The agent of this proxy has the kernel side.
    Handed(Handed),
}

pub(super) struct Steered {
    dataplane: Dataplane,
    /// Absent: the pins are another process's to change.
    hold: Option<Hold>,
    groups: Vec<ListenerGroup>,
    inherited: Inherited,
    workers: usize,
    events: Option<Events>,
    log: Option<KernelLog>,
}

/// What the kernel side says about itself.
pub(super) enum Told {
    Bound,
    /// The agent knows.
    Handed,
    Steered {
        report: Report,
        counters: Vec<VipCounters>,
        /// Why the counters could not be read.
        error: Option<String>,
    },
}

/// What can fail is done, and nothing is changed.
pub(super) enum Prepared {
    Steered(Box<dataplane::Prepared>),
    Bound,
}

/// A listener of a worker.
pub(super) struct Opened {
    pub(super) listener: TcpListener,
    /// `dispatch` is to give it the connections of the worker.
    admit: bool,
    /// New connections come to it: a successor needs it.
    pub(super) lasts: bool,
}

/// What happened to a packet, with the name of its VIP.
pub(super) struct NamedEvent {
    event: Event,
    vip: String,
}

/// The right to change what is pinned, for a process that found nobody who could lend it. `None`: it
/// pins nothing.
///
/// # Errors
///
/// When a process has it that this one cannot meet.
pub(super) fn hold(options: &RunOptions) -> anyhow::Result<Option<Hold>> {
    if options.no_bpf {
        return Ok(None);
    }
    Ok(Some(Hold::take(&Pins::default())?))
}

// === impl Prepared ===

impl Prepared {
    pub(super) fn load(options: &RunOptions, places: &[Place]) -> anyhow::Result<Self> {
        if options.no_bpf {
            say_what_is_missing(options);
            return Ok(Self::Bound);
        }
        let cpus: Vec<u32> = places.iter().map(|place| place.cpu).collect();
        let debug = tracing::enabled!(target: "genkan::ebpf", tracing::Level::DEBUG);
        let dataplane_options = Options { debug, ..Options::default() };
        let prepared = dataplane::Prepared::load(&options.config, &cpus, dataplane_options)
            .context("kernel programs (--no-bpf serves without them)")?;
        Ok(Self::Steered(Box::new(prepared)))
    }

    /// Opens the entrance in the place of whoever had it. `inherited`: from a process that serves.
    /// `hold`: of a process that met nobody.
    pub(super) async fn open(
        self,
        options: &RunOptions,
        workers: usize,
        mut inherited: Inherited,
        hold: Option<Hold>,
    ) -> anyhow::Result<Entrance> {
        let config = &options.config;
        let Self::Steered(prepared) = self else {
            make_local(&config.vips).await;
            let loads = LoadBoard::heap(workers);
            return Ok(Entrance::Bound { vips: config.vips.clone(), loads, inherited });
        };
        // Before anything is changed. A process that ended while it was asked has lent nothing, and
        // the pins may have been removed from under the one that serves.
        let shared = || Hold::shared(inherited.take_lock()?, &Pins::default());
        let hold = match hold.or_else(shared) {
            Some(hold) => hold,
            None => Hold::take(&Pins::default())?,
        };
        let groups = reserve(config, &inherited)?;
        let namesakes = inherited.namesakes(workers);
        let mut dataplane = prepared.take_over(config, &namesakes).await.context("kernel side")?;
        report(&dataplane.report());
        let events = if options.events { dataplane.events()? } else { None };
        let log = dataplane.kernel_log();
        let hold = Some(hold);
        let steered = Steered { dataplane, hold, groups, inherited, workers, events, log };
        Ok(Entrance::Steered(Box::new(steered)))
    }
}

// === impl Entrance ===

impl Entrance {
    /// Listeners for one worker, of all families or all VIPs: inherited ones, and new ones for what
    /// is missing.
    pub(super) fn listeners(
        &mut self,
        index: usize,
        workers: usize,
    ) -> anyhow::Result<Vec<Opened>> {
        let mut opened = Vec::new();
        match self {
            Self::Steered(steered) => {
                for group in &steered.groups {
                    let ours = |address: SocketAddr| address == group.address();
                    let taken = steered.inherited.take((index, workers), ours);
                    // That of its namesake has the worker's place in the socket map; in the others
                    // connections can only wait, none comes.
                    if !taken.iter().any(|(namesake, _)| *namesake) {
                        let new = group.listen().with_context(|| group.address().to_string())?;
                        opened.push(Opened { listener: new, admit: true, lasts: true });
                    }
                    opened.extend(taken.into_iter().map(|(namesake, listener)| Opened {
                        listener,
                        admit: false,
                        lasts: namesake,
                    }));
                }
            }
            Self::Bound { vips, inherited, .. } => {
                for to in sockets(vips) {
                    let taken = inherited.take((index, workers), |address| address == to);
                    if !taken.iter().any(|(namesake, _)| *namesake) {
                        let new = listen_direct(to).with_context(|| format!("listen on {to}"))?;
                        opened.push(Opened::bound(new));
                    }
                    opened.extend(taken.into_iter().map(|(_, listener)| Opened::bound(listener)));
                }
            }
            Self::Handed(handed) => opened = handed.listeners()?,
        }
        Ok(opened)
    }

    /// Lets connections come to a worker that accepts from these listeners now.
    pub(super) fn admit(&mut self, worker: usize, listeners: &[Opened]) -> anyhow::Result<()> {
        let steered = match self {
            Self::Steered(steered) => steered,
            Self::Handed(handed) => {
                handed.admit(worker, listeners);
                return Ok(());
            }
            Self::Bound { .. } => return Ok(()),
        };
        for opened in listeners.iter().filter(|opened| opened.admit) {
            let family = Family::of(opened.listener.local_addr()?.ip());
            steered.dataplane.set_listener(worker, family, &opened.listener)?;
        }
        Ok(())
    }

    /// To be called when every worker accepts and no other process does.
    pub(super) fn settle(&mut self) {
        match self {
            Self::Steered(steered) => {
                steered.inherited = Inherited::default();
                steered.dataplane.settle();
            }
            Self::Bound { inherited, .. } => *inherited = Inherited::default(),
            Self::Handed(_) => {}
        }
    }

    /// Lets no new connection come: clients wait for `steering.listener_grace` for another process,
    /// then they are refused.
    pub(super) fn close(&mut self) {
        let Self::Steered(steered) = self else { return };
        // The array may soon be that of another process.
        steered.dataplane.loads().retire();
        for worker in 0..steered.workers {
            for family in Family::ALL {
                if let Err(error) = steered.dataplane.remove_listener(worker, family) {
                    tracing::warn!("new connections come until the workers end: {error}");
                    steered.hold = None;
                    return;
                }
            }
        }
        steered.hold = None;
    }

    /// From here on another process owns the kernel side.
    pub(super) fn retire(&mut self) {
        match self {
            Self::Steered(steered) => {
                steered.dataplane.loads().retire();
                steered.hold = None;
            }
            Self::Handed(handed) => handed.loads.retire(),
            Self::Bound { .. } => {}
        }
    }

    /// A copy of the right to change what is pinned, for a successor.
    pub(super) fn share_hold(&self) -> std::io::Result<Option<OwnedFd>> {
        let Self::Steered(steered) = self else { return Ok(None) };
        steered.hold.as_ref().map(Hold::share).transpose()
    }

    /// Puts right what a successor that gave up has changed.
    pub(super) async fn take_back(&mut self, config: &Config) -> anyhow::Result<()> {
        if let Self::Steered(steered) = self {
            steered.dataplane.take_back(config).await?;
        }
        Ok(())
    }

    /// Where a worker publishes its connections.
    pub(super) fn load(&self, worker: usize) -> LoadSlot {
        match self {
            Self::Steered(steered) => steered.dataplane.loads().slot(worker),
            Self::Bound { loads, .. } => loads.slot(worker),
            Self::Handed(handed) => handed.loads.slot(worker),
        }
    }

    /// Follows a changed configuration.
    ///
    /// # Errors
    ///
    /// What cannot be followed; the old configuration stays in force.
    pub(super) async fn apply(&mut self, config: &Config) -> anyhow::Result<()> {
        match self {
            Self::Steered(steered) => Ok(steered.dataplane.apply(config).await?),
            Self::Bound { vips, .. } => {
                let places = |vips: &[VipConfig]| -> BTreeMap<_, _> {
                    vips.iter().map(|vip| (vip.addresses.clone(), vip.ports.clone())).collect()
                };
                anyhow::ensure!(
                    places(vips) == places(&config.vips),
                    "vips: addresses and ports are bound at the start without kernel programs; \
                     start again"
                );
                Ok(())
            }
            Self::Handed(_) => Ok(()),
        }
    }

    pub(super) fn told(&self) -> Told {
        let steered = match self {
            Self::Steered(steered) => steered,
            Self::Bound { .. } => return Told::Bound,
            Self::Handed(_) => return Told::Handed,
        };
        let report = steered.dataplane.report();
        match steered.dataplane.counters() {
            Ok(counters) => Told::Steered { report, counters, error: None },
            Err(error) => {
                Told::Steered { report, counters: Vec::new(), error: Some(error.to_string()) }
            }
        }
    }

    /// The next sampled packet; never when nobody asked for events. Forwards the debug log of the
    /// kernel programs meanwhile. Cancel-safe.
    pub(super) async fn event(&mut self) -> NamedEvent {
        let Self::Steered(steered) = self else { std::future::pending().await };
        let Steered { dataplane, events, log, .. } = &mut **steered;
        let event = tokio::select! {
            event = next_event(events) => event,
            error = forward(log) => {
                tracing::error!(%error, "no more log of the kernel programs");
                *log = None;
                next_event(events).await
            }
        };
        let vip = dataplane.vip_names().get(&event.vip).cloned().unwrap_or_default();
        NamedEvent { event, vip }
    }

    /// Nobody wants events any more.
    pub(super) fn end_events(&mut self) {
        if let Self::Steered(steered) = self {
            steered.events = None;
        }
    }
}

impl std::fmt::Display for NamedEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.vip, self.event)
    }
}

// === impl Opened ===

impl Opened {
    /// The kernel gives connections of its address to any listener there.
    fn bound(listener: TcpListener) -> Self {
        Self { listener, admit: false, lasts: true }
    }
}

fn sockets(vips: &[VipConfig]) -> impl Iterator<Item = SocketAddr> {
    let addresses = vips.iter().flat_map(|vip| vip.addresses.iter().map(move |a| (vip, *a)));
    addresses.flat_map(|(vip, a)| vip.ports.iter().map(move |p| SocketAddr::new(a, p.port)))
}

/// A listener group of each family: that of the process before, so that one more worker joins it.
/// A host without one of the families can serve the other.
fn reserve(config: &Config, inherited: &Inherited) -> anyhow::Result<Vec<ListenerGroup>> {
    let mut groups = Vec::new();
    for family in Family::ALL {
        let mut addresses = config.vips.iter().flat_map(|vip| &vip.addresses);
        let group = match inherited.port(family) {
            Some(port) => ListenerGroup::join(family, port),
            None => ListenerGroup::reserve(family),
        };
        match group {
            Ok(group) => groups.push(group),
            Err(error) if addresses.any(|&address| Family::of(address) == family) => {
                return Err(error).with_context(|| format!("{family:?} listeners"));
            }
            Err(error) => tracing::warn!("no {family:?} VIP can be served: {error}"),
        }
    }
    Ok(groups)
}

/// Brings packets for the VIPs to this host. Without the right to do so the operator does it.
async fn make_local(vips: &[VipConfig]) {
    for &address in vips.iter().flat_map(|vip| &vip.addresses) {
        if let Err(error) = address::add_local(address).await {
            tracing::warn!(%address, "no local route, add it by other means: {error}");
        }
    }
}

async fn next_event(events: &mut Option<Events>) -> Event {
    if let Some(reader) = events {
        match reader.next().await {
            Ok(event) => return event,
            Err(error) => tracing::error!(%error, "no more events"),
        }
        *events = None;
    }
    std::future::pending().await
}

async fn forward(log: &mut Option<KernelLog>) -> std::io::Error {
    match log {
        Some(log) => match log.forward().await {
            Err(error) => error,
            Ok(()) => std::io::Error::other("the ring is gone"),
        },
        None => std::future::pending().await,
    }
}

fn report(report: &Report) {
    for interface in &report.interfaces {
        tracing::info!(
            interface = interface.name,
            mtu = interface.mtu,
            driver = interface.driver.as_deref().unwrap_or("unknown"),
            xdp = %interface.steer,
            "interface"
        );
    }
    for vip in &report.vips {
        tracing::info!(
            vip = vip.name,
            addresses = ?vip.addresses,
            ports = ?vip.ports,
            rules = vip.rules,
            "VIP"
        );
    }
    if report.maps_reused {
        tracing::info!("maps of the process before are in use again");
    }
}

fn say_what_is_missing(options: &RunOptions) {
    let vips = &options.config.vips;
    let budgets = vips.iter().any(|vip| vip.new_flow_budget.is_some());
    tracing::warn!(
        "without kernel programs: no early drop and no ICMP answer in XDP, no choice of the least \
         loaded worker, and the ports of other programs on the VIPs' addresses stay reachable; \
         allow and deny lists are enforced after accept"
    );
    if budgets {
        tracing::warn!("without kernel programs: new_flow_budget has no effect");
    }
    if options.events {
        tracing::warn!("without kernel programs: there are no events");
    }
}
