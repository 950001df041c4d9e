//! How connections come to the workers: steered by the kernel programs, or by sockets bound to the
//! VIPs themselves (`--no-bpf`).

use std::collections::BTreeMap;
use std::net::TcpListener;

use anyhow::Context;

use super::workers::Place;
use crate::cli::RunOptions;
use crate::config::{Config, VipConfig};
use crate::dataplane::{Dataplane, Event, Events, KernelLog, Options, Report, VipCounters};
use crate::net::address;
use crate::net::listen::{Family, ListenerGroup, listen_direct};
use crate::net::load::{LoadBoard, LoadSlot};

pub(super) enum Entrance {
    /// `dispatch` gives the connections of all VIPs to one listener per worker and family.
    Steered(Box<Steered>),
    /// Each worker listens on every VIP and port.
    Bound { vips: Vec<VipConfig>, loads: LoadBoard },
}

pub(super) struct Steered {
    dataplane: Dataplane,
    groups: Vec<ListenerGroup>,
    events: Option<Events>,
    log: Option<KernelLog>,
}

/// What the kernel side says about itself.
pub(super) enum Told {
    Bound,
    Steered {
        report: Report,
        counters: Vec<VipCounters>,
        /// Why the counters could not be read.
        error: Option<String>,
    },
}

/// What happened to a packet, with the name of its VIP.
pub(super) struct NamedEvent {
    event: Event,
    vip: String,
}

// === impl Entrance ===

impl Entrance {
    pub(super) async fn open(options: &RunOptions, places: &[Place]) -> anyhow::Result<Self> {
        let config = &options.config;
        if options.no_bpf {
            say_what_is_missing(options);
            make_local(&config.vips).await;
            let loads = LoadBoard::heap(places.len());
            return Ok(Self::Bound { vips: config.vips.clone(), loads });
        }
        let cpus: Vec<u32> = places.iter().map(|place| place.cpu).collect();
        let debug = tracing::enabled!(target: "genkan::ebpf", tracing::Level::DEBUG);
        let dataplane_options = Options { debug, ..Options::default() };
        let mut dataplane = Dataplane::start(config, &cpus, dataplane_options)
            .await
            .context("kernel programs (--no-bpf serves without them)")?;
        report(&dataplane.report());
        let events = if options.events { dataplane.events()? } else { None };
        let groups = reserve(config)?;
        let log = dataplane.kernel_log();
        Ok(Self::Steered(Box::new(Steered { dataplane, groups, events, log })))
    }

    /// New listeners for one worker, of all families or all VIPs.
    pub(super) fn listeners(&self) -> anyhow::Result<Vec<TcpListener>> {
        match self {
            Self::Steered(steered) => steered
                .groups
                .iter()
                .map(|group| group.listen().with_context(|| group.address().to_string()))
                .collect(),
            Self::Bound { vips, .. } => vips
                .iter()
                .flat_map(|vip| vip.addresses.iter().map(move |address| (vip, *address)))
                .flat_map(|(vip, address)| vip.ports.iter().map(move |p| (address, p.port)))
                .map(|to| listen_direct(to.into()).with_context(|| format!("listen on {to:?}")))
                .collect(),
        }
    }

    /// Lets connections come to a worker that accepts from these listeners now.
    pub(super) fn admit(&mut self, worker: usize, listeners: &[TcpListener]) -> anyhow::Result<()> {
        let Self::Steered(steered) = self else { return Ok(()) };
        for listener in listeners {
            let family = Family::of(listener.local_addr()?.ip());
            steered.dataplane.set_listener(worker, family, listener)?;
        }
        Ok(())
    }

    /// Where a worker publishes its connections.
    pub(super) fn load(&self, worker: usize) -> LoadSlot {
        match self {
            Self::Steered(steered) => steered.dataplane.loads().slot(worker),
            Self::Bound { loads, .. } => loads.slot(worker),
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
        }
    }

    pub(super) fn told(&self) -> Told {
        let Self::Steered(steered) = self else { return Told::Bound };
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
}

impl std::fmt::Display for NamedEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.vip, self.event)
    }
}

/// A listener group of each family; a host without one of them can serve the other.
fn reserve(config: &Config) -> anyhow::Result<Vec<ListenerGroup>> {
    let mut groups = Vec::new();
    for family in Family::ALL {
        let mut addresses = config.vips.iter().flat_map(|vip| &vip.addresses);
        match ListenerGroup::reserve(family) {
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
