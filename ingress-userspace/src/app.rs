//! The composition root: the only module that knows all others.
//!
//! `genkan run` is agent and proxy in one process; [`control`] and [`data`] are each of them alone.
//! This module opens the [`entrance`] (kernel programs or bound VIPs), starts the [`workers`], and
//! then waits on the control runtime for whatever comes next: a changed object, a changed
//! configuration, a worker that ended, an event of the kernel programs, a signal.

mod configuration;
mod control;
mod data;
mod entrance;
mod events;
mod handover;
mod inherited;
mod inspect;
mod leave;
mod node;
mod notify;
mod place;
mod signals;
mod standing;
mod telling;
mod workers;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use arc_swap::ArcSwap;
use tokio::time::{Interval, MissedTickBehavior};

use crate::admin::{Admin, Asks};
use crate::agent::Agent;
use crate::cli::RunOptions;
use crate::config::{AdminConfig, Config};
use crate::filter;
use crate::handover::Holder;
use crate::net::descriptors;
use crate::proxy;
use crate::proxy::access_log::{self, AccessLog};
use crate::snapshot::Publisher;
use crate::source::cluster::Standing;
use crate::status::Writer;
use crate::telemetry::{self, budget};
use crate::tls;
use crate::upstream::ClientTls;

pub use control::run as agent;
pub use data::run as proxy;

use configuration::Configuration;
use entrance::{Entrance, NamedEvent, Prepared};
use events::Printer;
use handover::{Arrival, Departures};
use inspect::Inside;
use leave::Leave;
use node::Host;
use notify::ServiceManager;
use place::Place;
use signals::{Signal, Signals};
use workers::Workers;

/// Serves until it is told to stop.
///
/// # Errors
///
/// What kept it from serving.
pub fn run(options: RunOptions) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("control runtime")?
        .block_on(async {
            match App::start(options).await? {
                Some(app) => app.serve().await,
                None => Ok(ExitCode::SUCCESS),
            }
        })
}

struct App {
    /// What was asked for at the start; the configuration may be another one by now.
    options: RunOptions,
    configuration: Configuration,
    settings: Arc<ArcSwap<proxy::Settings>>,
    host: Host,
    agent: Agent,
    access_log: AccessLog,
    log_writer: JoinHandle<()>,
    entrance: Entrance,
    workers: Workers,
    signals: Signals,
    /// Sampled packets printed so far.
    events: u64,
    asks: Asks,
    /// Ends with the process.
    admin: Option<Admin>,
    manager: ServiceManager,
    holder: Holder,
    place: Place,
    printer: Option<Printer>,
    /// Tells the cluster.
    writer: Option<Writer>,
}

// === impl App ===

impl App {
    /// `None`: it was told to stop before it served.
    async fn start(options: RunOptions) -> anyhow::Result<Option<Self>> {
        let config = &options.config;
        // First of all: a signal that comes during the start is not lost.
        let mut signals = Signals::new().context("signal handlers")?;
        let mut arrival = Arrival::begin(&options)?;
        if let Err(error) = descriptors::raise_limit() {
            tracing::warn!("the limit of file descriptors stays as it is: {error}");
        }
        // Until we serve, one that does answers for itself.
        let first = arrival.is_first();
        // Before anything is touched that belongs to a process which this one cannot meet.
        let hold = if first { entrance::hold(&options)? } else { None };
        let (mut admin, mut asks) =
            if first { administration(config) } else { (None, Asks::default()) };
        let RunOptions { config_path, overrides, .. } = options.clone();
        let configuration = Configuration::start(config.clone(), config_path, overrides)?;
        let settings = Arc::new(ArcSwap::from_pointee(proxy::Settings::from(config)));

        let places = workers::places(config)?;
        let publisher = Publisher::new(places.len());
        let mut host = Host::start().await;
        let node = host.look().await.clone();
        let told = |standing: Option<Standing>| {
            if let (Some(admin), Some(standing)) = (&admin, standing) {
                admin.waits(move || standing::told(&standing.facts(), None).waiting());
            }
        };
        let feed = telling::feed(&options);
        let (objects, at) = (&options.objects, publisher.clone());
        let starting = Agent::start(objects, config, node, at, feed.clone(), told);
        let Some(agent) = standing::unless_stopped(starting, &mut signals).await? else {
            return Ok(None);
        };
        let prepared = Prepared::load(&options, &places)?;
        let (access_log, log_writer) =
            AccessLog::start(&config.access_log).context("access log")?;
        let tls = tls::Acceptor::new(publisher.head()).context("TLS")?;
        let (upstream_tls, doubts) = ClientTls::with_system_roots();
        for doubt in doubts {
            tracing::warn!("system roots for HTTPS endpoints: {doubt}");
        }
        let counters: Arc<[_]> = places.iter().map(|_| Arc::default()).collect();
        let departures = Arc::new(Departures::default());
        let inside = Inside {
            departures: Arc::clone(&departures),
            publisher: publisher.clone(),
            counters: Arc::clone(&counters),
            places: places.clone(),
            settings: settings.clone(),
        };
        let printer = if options.events { Some(Printer::start(io::stdout())?) } else { None };
        // What could fail for reasons of ours is done: a process that serves goes on until now.
        let inherited = arrival.meet(&options)?;
        let mut entrance = prepared.open(&options, places.len(), inherited, hold).await?;
        let shared = workers::Shared {
            settings: settings.clone(),
            publisher: publisher.clone(),
            counters,
            tls,
            upstream_tls: Arc::new(upstream_tls),
            access_log: Some(access_log.clone()),
            filters: filter::Shared::default(),
            places,
        };
        let mut workers = Workers::start(shared, &mut entrance)?;
        let takes_over = arrival.takes_over();
        let mut taken = arrival.take_place()?;
        match workers.open(&mut entrance) {
            // The process before serves no more: some workers are better than none.
            Err(error) if takes_over => tracing::error!("a worker gets no connections: {error:#}"),
            other => other?,
        }
        entrance.settle();
        let holder = taken.show();
        let manager = ServiceManager::of_environment();
        manager.ready();
        taken.serves(departures);

        if !first {
            (admin, asks) = administration(config);
        }
        if let Some(admin) = &admin {
            admin.show(inside);
        }
        tracing::info!(
            workers = workers.len(),
            problems = agent.problems(),
            version = env!("CARGO_PKG_VERSION"),
            "ready"
        );
        let place = Place::default();
        let writer = telling::start(&options, feed, publisher);
        Ok(Some(Self {
            options,
            configuration,
            settings,
            host,
            agent,
            access_log,
            log_writer,
            entrance,
            workers,
            signals,
            events: 0,
            asks,
            admin,
            manager,
            holder,
            place,
            printer,
            writer,
        }))
    }

    async fn serve(mut self) -> anyhow::Result<ExitCode> {
        let mut cut_short = tokio::time::interval(budget::WINDOW);
        let mut pulse = pulse(&self.manager);
        loop {
            // While a successor has the listeners, nothing in the kernel is changed here.
            let (ours, whole) = (self.place.is_ours(), self.place.is_whole());
            tokio::select! {
                () = self.agent.step() => {}
                () = self.configuration.changed(), if whole => self.reread().await,
                () = self.host.changed() => self.look_at_host().await,
                lack = self.workers.lack(), if ours => {
                    self.workers.replace(lack, &mut self.entrance);
                }
                request = self.holder.request() => if self.give_way(request).await {
                    return self.leave(Leave::Superseded).await;
                },
                turn = self.place.turn() => self.follow_successor(turn).await,
                () = beat(&mut pulse) => self.say_alive(),
                event = self.entrance.event() => self.print(&event),
                ask = self.asks.next() => if self.answer(ask, false) {
                    return self.leave(Leave::Stopped).await;
                },
                _ = cut_short.tick() => telemetry::tell(),
                signal = self.signals.next() => match signal {
                    Signal::Stop => return self.leave(Leave::Stopped).await,
                    Signal::Reread => {
                        self.manager.reloading();
                        // A log file that was renamed is left.
                        self.access_log.reopen(&self.configuration.in_force().access_log);
                        // Otherwise done when the successor should not come, or all is whole again.
                        if whole {
                            self.reread().await;
                        }
                        if let Err(error) = self.agent.reread().await {
                            tracing::error!("{error:#}");
                        }
                        self.manager.reloaded();
                    }
                    #[cfg(feature = "testing")]
                    Signal::PanicWorker => self.workers.inject_panic(),
                },
            }
        }
    }

    /// Reads the configuration again and follows it; a bad one changes nothing.
    async fn reread(&mut self) {
        self.look_at_host().await;
        let Some(next) = self.configuration.read() else { return };
        let log = match self.follow(&next).await {
            Ok(log) => log,
            Err(error) => return self.configuration.postpone(&error),
        };
        let at_start =
            |config: &Config| (config.workers, config.admin.clone(), config.cluster.clone());
        if at_start(self.configuration.in_force()) != at_start(&next) {
            tracing::warn!("workers, admin and cluster take effect with the next start");
        }
        if let Some(log) = log {
            self.access_log.switch(log);
        }
        if let Some(writer) = &self.writer {
            writer.set_addresses(telling::addresses(&next));
        }
        self.configuration.take(next);
    }

    /// Entrance, agent and workers together, or none of them. The entrance alone may be unable to
    /// follow, so it is asked first: nothing is seen of a configuration that is not taken. The
    /// workers know a new VIP before its first connection can come. What is returned is the access
    /// log's new destination, if it has one.
    async fn follow(&mut self, next: &Config) -> anyhow::Result<Option<access_log::Output>> {
        let same = self.configuration.in_force().access_log.to == next.access_log.to;
        let log = (!same).then(|| AccessLog::open(&next.access_log)).transpose();
        let log = log.context("access log")?;
        let settings = proxy::Settings::from(next);
        let before = self.settings.load_full();
        self.settings.store(Arc::new(before.widened(&settings)));
        let followed = match self.entrance.apply(next).await {
            Ok(()) => self.agent.reconfigure(next).await,
            Err(error) => {
                self.settings.store(before);
                return Err(error);
            }
        };
        let Err(error) = followed else {
            self.settings.store(Arc::new(settings));
            return Ok(log);
        };
        self.settings.store(before);
        if let Err(again) = self.entrance.apply(self.configuration.in_force()).await {
            tracing::error!(
                "the VIPs are those of the configuration that was not taken: {again:#}"
            );
        }
        Err(error)
    }

    async fn look_at_host(&mut self) {
        let node = self.host.look().await.clone();
        self.agent.set_node(node);
    }

    fn print(&mut self, event: &NamedEvent) {
        let Some(printer) = &mut self.printer else { return };
        printer.print(event);
        self.events += 1;
        if !printer.is_read() {
            self.printer = None;
            self.entrance.end_events();
        }
    }

    /// Tells the service manager so, unless a worker is stuck or none is left.
    fn say_alive(&mut self) {
        if self.workers.are_well() {
            self.manager.alive();
        } else {
            tracing::error!(
                "a worker is stuck, or none runs: the service manager is not told that all is well"
            );
        }
    }
}

fn pulse(manager: &ServiceManager) -> Option<Interval> {
    let mut pulse = tokio::time::interval(manager.pulse()?);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Some(pulse)
}

/// Never without a pulse. Cancel-safe.
async fn beat(pulse: &mut Option<Interval>) {
    match pulse {
        Some(pulse) => drop(pulse.tick().await),
        None => std::future::pending().await,
    }
}

/// Traffic does not depend on the administration: without it the node serves all the same.
fn administration(config: &Config) -> (Option<Admin>, Asks) {
    administration_of(&config.admin)
}

fn administration_of(config: &AdminConfig) -> (Option<Admin>, Asks) {
    match Admin::start(config) {
        Ok((admin, asks)) => (Some(admin), asks),
        Err(error) => {
            tracing::error!("no administration: {error}");
            (None, Asks::default())
        }
    }
}
