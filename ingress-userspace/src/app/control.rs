//! `genkan agent`: the control side alone. It watches, compiles, owns the kernel side, and tells a
//! proxy what to serve; the proxy's listeners are in the socket map, and nowhere here.
//!
//! Its end changes nothing: programs, maps, routes and the proxy's sockets stay in the kernel, and
//! the next agent takes them over while the proxy serves.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, timeout_at};

use super::configuration::Configuration;
use super::entrance::{self, Entrance, Prepared, Seating};
use super::events::Printer;
use super::inspect;
use super::node::Host;
use super::notify::ServiceManager;
use super::signals::{Signal, Signals};
use super::{administration, beat, pulse, standing, telling, workers};
use crate::admin::{Admin, Ask, Asks, View};
use crate::agent::Agent;
use crate::cli::AgentOptions;
use crate::config::Config;
use crate::net::listen::Family;
use crate::snapshot::Publisher;
use crate::snapshot::door::{Door, Event, Place, Session};
use crate::snapshot::wire::Lending;
use crate::source::cluster::Standing;
use crate::status::{Departure, Writer};
use crate::telemetry::{self, budget};

mod seated;

use seated::Seated;

/// For a proxy that is to know a new VIP before its first connection comes.
const PATIENCE: Duration = Duration::from_secs(3);

/// Controls until it is told to stop.
///
/// # Errors
///
/// What kept it from doing so.
pub fn run(options: AgentOptions) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("control runtime")?
        .block_on(async {
            match Control::start(options).await? {
                Some(control) => control.serve().await,
                None => Ok(ExitCode::SUCCESS),
            }
        })
}

struct Control {
    configuration: Configuration,
    host: Host,
    agent: Agent,
    entrance: Entrance,
    door: Door,
    /// The proxy to which connections come.
    current: Option<Session>,
    /// The proxy that came last, and the version that it serves.
    coming: Option<(Session, u64)>,
    seated: Arc<Seated>,
    /// The newest settings that the current proxy follows.
    following: u64,
    signals: Signals,
    asks: Asks,
    /// Ends with the process.
    _admin: Option<Admin>,
    manager: ServiceManager,
    printer: Option<Printer>,
    /// Sampled packets printed so far.
    events: u64,
    /// Tells the cluster.
    writer: Option<Writer>,
}

// === impl Control ===

impl Control {
    /// `None`: told to stop before there was anything to control.
    async fn start(options: AgentOptions) -> anyhow::Result<Option<Self>> {
        let AgentOptions { run: options, proxy_socket, proxy_user, proxy_group } = options;
        let config = &options.config;
        // First of all: a signal that comes during the start is not lost.
        let mut signals = Signals::new().context("signal handlers")?;
        // Before anything is touched that belongs to another process.
        let hold = entrance::hold(&options)?;
        let (admin, asks) = administration(config);
        let configuration = Configuration::start(
            config.clone(),
            options.config_path.clone(),
            options.overrides.clone(),
        )?;
        // What a proxy on the same CPUs will have; it says so when it comes.
        let places = workers::places(config)?;
        // The proxy's acknowledgement.
        let publisher = Publisher::new(1);
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
        let printer = if options.events { Some(Printer::start(io::stdout())?) } else { None };
        // What could fail for reasons of ours is done.
        let entrance = prepared.open_for_others(&options, places.len(), hold).await?;
        let place = Place { path: proxy_socket, user: proxy_user, group: proxy_group };
        let door = Door::open(&place, publisher.clone(), config, entrance.load_array()?)
            .with_context(|| format!("socket for the proxy at {}", place.path.display()))?;
        let writer = telling::start(&options, feed, publisher.clone());
        let seated = Arc::new(Seated::new(publisher));
        if let Some(admin) = &admin {
            admin.show(seated.clone());
        }
        let manager = ServiceManager::of_environment();
        manager.ready();
        tracing::info!(
            problems = agent.problems(),
            version = env!("CARGO_PKG_VERSION"),
            socket = %place.path.display(),
            "ready for a proxy"
        );
        Ok(Some(Self {
            configuration,
            host,
            agent,
            entrance,
            door,
            current: None,
            coming: None,
            seated,
            following: 0,
            signals,
            asks,
            _admin: admin,
            manager,
            printer,
            events: 0,
            writer,
        }))
    }

    async fn serve(mut self) -> anyhow::Result<ExitCode> {
        let mut cut_short = tokio::time::interval(budget::WINDOW);
        let mut pulse = pulse(&self.manager);
        loop {
            tokio::select! {
                () = self.agent.step() => {}
                () = self.configuration.changed() => self.reread().await,
                () = self.host.changed() => self.look_at_host().await,
                event = self.door.event() => self.hear(event).await,
                () = beat(&mut pulse) => self.manager.alive(),
                event = self.entrance.event() => {
                    let Some(printer) = &mut self.printer else { continue };
                    printer.print(&event);
                    self.events += 1;
                    if !printer.is_read() {
                        self.printer = None;
                        self.entrance.end_events();
                    }
                }
                ask = self.asks.next() => if self.answer(ask) {
                    return Ok(self.leave().await);
                },
                _ = cut_short.tick() => telemetry::tell(),
                signal = self.signals.next() => match signal {
                    Signal::Stop => return Ok(self.leave().await),
                    Signal::Reread => {
                        self.manager.reloading();
                        self.reread().await;
                        if let Err(error) = self.agent.reread().await {
                            tracing::error!("{error:#}");
                        }
                        self.manager.reloaded();
                    }
                    #[cfg(feature = "testing")]
                    Signal::PanicWorker => {}
                },
            }
        }
    }

    async fn hear(&mut self, event: Event) {
        match event {
            Event::Listeners { session, told, sockets } => {
                let config = self.configuration.in_force().clone();
                let is_alone = self.current.is_none() || self.is_current(&session);
                let seating = match told.lending {
                    Lending::First | Lending::More => Seating::New,
                    Lending::Again if is_alone => Seating::Kept,
                    // Two proxies, of which the agent before had seen both.
                    Lending::Again => Seating::Anew,
                };
                let seated = self.entrance.seat(&config, &told.cpus, sockets, seating).await;
                match seated {
                    Ok(addresses) => self.current_is(session, &told.cpus, &addresses),
                    Err(error) => tracing::error!("no connection comes to the proxy: {error:#}"),
                }
            }
            Event::Served { session, version } => {
                if self.is_current(&session) {
                    self.seated.serves(version);
                } else {
                    // Its listeners are about to come.
                    self.coming = Some((session, version));
                }
            }
            Event::Following { session, number } => {
                if self.is_current(&session) {
                    self.following = number;
                }
            }
            Event::Leaving { session } => {
                if self.is_current(&session) {
                    tracing::info!("the proxy leaves; new connections wait for the next one");
                    if let Err(error) = self.entrance.unseat() {
                        tracing::error!("connections come until the proxy closes: {error:#}");
                    }
                    self.current = None;
                    self.seated.is_gone();
                }
                session.let_go();
            }
            Event::Gone { session } => {
                if self.is_current(&session) {
                    tracing::warn!("the proxy is out of sight; its sockets go when it ends");
                    self.current = None;
                    self.seated.is_gone();
                }
            }
        }
    }

    fn is_current(&self, session: &Session) -> bool {
        self.current.as_ref() == Some(session)
    }

    fn current_is(&mut self, session: Session, cpus: &[u32], addresses: &[SocketAddr]) {
        self.seated.is_here(cpus);
        if let Some((_, version)) = self.coming.take_if(|(coming, _)| *coming == session) {
            self.seated.serves(version);
        }
        if !self.is_current(&session) {
            tracing::info!(workers = cpus.len(), "connections come to the proxy");
            self.following = 0;
            if let Some(before) = self.current.replace(session) {
                before.supersede();
            }
        }
        let port = |family| {
            let of = |address: &&SocketAddr| Family::of(address.ip()) == family;
            addresses.iter().find(of).map_or(0, SocketAddr::port)
        };
        self.door.set_ports(Family::ALL.map(port).to_vec());
    }

    /// Reads the configuration again and follows it; a bad one changes nothing.
    async fn reread(&mut self) {
        self.look_at_host().await;
        let Some(next) = self.configuration.read() else { return };
        if let Err(error) = self.follow(&next).await {
            return self.configuration.postpone(&error);
        }
        let at_start =
            |config: &Config| (config.workers, config.admin.clone(), config.cluster.clone());
        if at_start(self.configuration.in_force()) != at_start(&next) {
            tracing::warn!("workers, admin and cluster take effect with the next start");
        }
        if let Some(writer) = &self.writer {
            writer.set_addresses(telling::addresses(&next));
        }
        self.configuration.take(next);
    }

    /// The proxy knows a new VIP before its first connection can come; then the entrance, which
    /// alone may be unable to follow, and the objects; at last what goes is gone for the proxy too.
    async fn follow(&mut self, next: &Config) -> anyhow::Result<()> {
        let before = self.configuration.in_force().clone();
        let number = self.door.set_config(next, true);
        self.wait_for_the_proxy(number).await;
        let followed = match self.entrance.apply(next).await {
            Ok(()) => self.agent.reconfigure(next).await,
            Err(error) => {
                self.door.set_config(&before, false);
                return Err(error);
            }
        };
        let Err(error) = followed else {
            self.door.set_config(next, false);
            return Ok(());
        };
        self.door.set_config(&before, false);
        if let Err(again) = self.entrance.apply(&before).await {
            tracing::error!(
                "the VIPs are those of the configuration that was not taken: {again:#}"
            );
        }
        Err(error)
    }

    /// Not longer than it may take: a proxy that is away learns everything when it comes.
    async fn wait_for_the_proxy(&mut self, number: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.current.is_some() && self.following < number {
            match timeout_at(deadline, self.door.event()).await {
                Ok(event) => self.hear(event).await,
                Err(_) => return tracing::warn!("the proxy follows settings late"),
            }
        }
    }

    async fn look_at_host(&mut self) {
        let node = self.host.look().await.clone();
        self.agent.set_node(node);
    }

    /// True: the process is to end.
    fn answer(&self, ask: Ask) -> bool {
        // Whoever does not wait for the answer any more has given up.
        match ask {
            Ask::View(answer) => drop(answer.send(self.view())),
            Ask::Explain(request, answer) => {
                let explained = self.agent.explain(self.configuration.in_force(), &request);
                drop(answer.send(Box::new(explained)));
            }
            Ask::Drain(answer) => {
                let _ = answer.send(());
                return true;
            }
        }
        false
    }

    fn view(&self) -> View {
        let config = self.configuration.in_force().clone();
        let (interfaces, vips, kernel_error) = inspect::kernel(&config, &self.entrance);
        View {
            configured: self.configuration.history(self.agent.published()),
            problems: self.agent.current_problems(),
            draining: false,
            running: self.seated.running(),
            workers_apart: true,
            interfaces,
            vips,
            events: self.events,
            kernel_error,
            source: self.agent.standing().map(|standing| {
                standing::told(&standing.facts(), self.writer.as_ref().map(Writer::tally))
            }),
            config,
        }
    }

    /// Everything in the kernel stays as it is: the proxy serves on.
    async fn leave(self) -> ExitCode {
        self.manager.stopping();
        // The node goes on serving: its addresses are no less true than before.
        if let Some(writer) = self.writer {
            writer.stop(Departure::Superseded).await;
        }
        tracing::info!("ended; what is in the kernel stays, and the proxy serves what it knows");
        ExitCode::SUCCESS
    }
}
