//! `genkan proxy`: the data side alone. It goes to its agent, makes its workers by what it is told,
//! hands over their listeners, and serves with what it knows while the agent is away.

mod waiting;

use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use arc_swap::ArcSwap;
use tokio::time::timeout;

use super::entrance::{Entrance, Handed};
use super::handover::Departures;
use super::inspect::Inside;
use super::leave::{LAST_LINES, finished};
use super::notify::ServiceManager;
use super::signals::{Signal, Signals};
use super::workers::{self, Workers};
use super::{administration_of, beat, pulse};
use crate::admin::{Admin, Ask, Asks, Configured, View};
use crate::cli::ProxyOptions;
use crate::config::Config;
use crate::filter;
use crate::net::{confine, descriptors};
use crate::proxy;
use crate::proxy::access_log::AccessLog;
use crate::snapshot::Publisher;
use crate::snapshot::link::{Link, Target, Told};
use crate::snapshot::wire;
use crate::telemetry::{self, budget};
use crate::tls;
use crate::upstream::ClientTls;

use waiting::{Agent, Waiting};

/// For the agent's word that no connection comes any more.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves until it is told to stop, or another proxy has its place.
///
/// # Errors
///
/// What kept it from serving.
pub fn run(options: ProxyOptions) -> anyhow::Result<ExitCode> {
    let root = nix::unistd::geteuid().is_root();
    anyhow::ensure!(
        !root || options.allow_root,
        "this is root, and what reads the bytes of strangers should not be: run it as another user \
         (--allow-root serves all the same)"
    );
    if let Err(error) = descriptors::raise_limit() {
        tracing::warn!("the limit of file descriptors stays as it is: {error}");
    }
    // Before there is another thread.
    confine::confine()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("control runtime")?
        .block_on(async {
            match Data::start(options).await? {
                Some(data) => data.serve().await,
                None => Ok(ExitCode::SUCCESS),
            }
        })
}

struct Data {
    link: Link,
    config: Arc<Config>,
    settings: Arc<ArcSwap<proxy::Settings>>,
    access_log: AccessLog,
    log_writer: JoinHandle<()>,
    entrance: Entrance,
    workers: Workers,
    signals: Signals,
    asks: Asks,
    /// Ends with the process.
    _admin: Option<Admin>,
    manager: ServiceManager,
    agent: Agent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    Stopped,
    Superseded,
}

// === impl Data ===

impl Data {
    /// `None`: told to stop before it served.
    async fn start(options: ProxyOptions) -> anyhow::Result<Option<Self>> {
        // First of all: a signal that comes during the start is not lost.
        let signals = Signals::new().context("signal handlers")?;
        let (admin, asks) = administration_of(&options.admin);
        let target = Target { path: options.agent_socket.clone(), user: options.agent_user };
        let link = Link::start(target).context("thread that talks to the agent")?;
        let mut waiting =
            Waiting { signals, link, agent: Agent::default(), ports: Vec::new(), load: None };
        let Some(mut config) = waiting.config().await else { return Ok(None) };

        let places = workers::places_of(options.workers.or(config.workers.count))?;
        let publisher = Publisher::new(places.len());
        waiting.link.publish_to(publisher.clone());
        if waiting.snapshot(&mut config).await.is_none() {
            return Ok(None);
        }
        let Waiting { signals, link, mut agent, ports, load } = waiting;
        agent.published = Some(SystemTime::now());
        let settings = Arc::new(ArcSwap::from_pointee(proxy::Settings::from(&config)));
        let (access_log, log_writer) =
            AccessLog::start(&config.access_log).context("access log")?;
        let tls = tls::Acceptor::new(publisher.head()).context("TLS")?;
        let (upstream_tls, doubts) = ClientTls::with_system_roots();
        for doubt in doubts {
            tracing::warn!("system roots for HTTPS endpoints: {doubt}");
        }
        let counters: Arc<[_]> = places.iter().map(|_| Arc::default()).collect();
        let cpus = places.iter().map(|place| place.cpu).collect();
        let handed = Handed::open(link.sender().clone(), cpus, &ports, load)?;
        let mut entrance = Entrance::Handed(handed);
        let inside = Inside {
            departures: Arc::new(Departures::default()),
            publisher: publisher.clone(),
            counters: Arc::clone(&counters),
            places: places.clone(),
            settings: settings.clone(),
        };
        let shared = workers::Shared {
            settings: settings.clone(),
            publisher,
            counters,
            tls,
            upstream_tls: Arc::new(upstream_tls),
            access_log: Some(access_log.clone()),
            filters: filter::Shared::default(),
            places,
        };
        let mut workers = Workers::start(shared, &mut entrance)?;
        workers.open(&mut entrance)?;
        if let Some(admin) = &admin {
            admin.show(inside);
        }
        let manager = ServiceManager::of_environment();
        let mut data = Self {
            link,
            config: Arc::new(config),
            settings,
            access_log,
            log_writer,
            entrance,
            workers,
            signals,
            asks,
            _admin: admin,
            manager,
            agent,
        };
        data.lend();
        data.manager.ready();
        let workers = data.workers.len();
        tracing::info!(workers, version = env!("CARGO_PKG_VERSION"), "ready");
        Ok(Some(data))
    }

    async fn serve(mut self) -> anyhow::Result<ExitCode> {
        let mut cut_short = tokio::time::interval(budget::WINDOW);
        let mut pulse = pulse(&self.manager);
        loop {
            tokio::select! {
                told = self.link.told() => if self.hear(told) {
                    return self.leave(Leave::Superseded).await;
                },
                lack = self.workers.lack() => self.workers.replace(lack, &mut self.entrance),
                () = beat(&mut pulse) => if self.workers.are_well() {
                    self.manager.alive();
                },
                ask = self.asks.next() => if self.answer(ask, false) {
                    return self.leave(Leave::Stopped).await;
                },
                _ = cut_short.tick() => telemetry::tell(),
                signal = self.signals.next() => match signal {
                    Signal::Stop => return self.leave(Leave::Stopped).await,
                    // The agent rereads; a log file that was renamed is left.
                    Signal::Reread => self.access_log.reopen(&self.config.access_log),
                    #[cfg(feature = "testing")]
                    Signal::PanicWorker => self.workers.inject_panic(),
                },
            }
        }
    }

    /// True: another proxy has the place.
    fn hear(&mut self, told: Told) -> bool {
        match told {
            Told::Superseded => return true,
            Told::Settings(settings) => self.follow(&settings),
            Told::Served { first, .. } => {
                self.agent.published = Some(SystemTime::now());
                // An agent that knows nothing of this proxy: it is told which sockets it has.
                if first {
                    self.lend();
                }
            }
            Told::Welcome { program, .. } => self.agent.is_back(&program),
            Told::Lost { why } => self.agent.is_lost(why),
            Told::Left => {}
        }
        false
    }

    /// As the agent's configuration says, or as before.
    fn follow(&mut self, settings: &wire::Settings) {
        let Some(next) = self.agent.takes(settings) else { return };
        if next.access_log.to != self.config.access_log.to {
            match AccessLog::open(&next.access_log) {
                Ok(output) => self.access_log.switch(output),
                Err(error) => tracing::error!("the access log stays where it is: {error}"),
            }
        }
        let made = proxy::Settings::from(&next);
        let before = self.settings.load_full();
        let made = if settings.widen { before.widened(&made) } else { made };
        self.settings.store(Arc::new(made));
        if !settings.widen {
            self.config = Arc::new(next);
        }
        self.link.sender().following(settings.number);
    }

    fn lend(&mut self) {
        let Entrance::Handed(handed) = &mut self.entrance else { return };
        match self.workers.lend() {
            Ok(lent) => {
                let lent: Vec<_> = lent.iter().map(|lent| (lent.worker, &lent.listener)).collect();
                handed.lend(&lent);
            }
            Err(error) => tracing::error!("the listeners cannot be handed over: {error}"),
        }
    }

    /// True: the process is to drain.
    fn answer(&self, ask: Ask, draining: bool) -> bool {
        // Whoever does not wait for the answer any more has given up.
        match ask {
            Ask::View(answer) => drop(answer.send(self.view(draining))),
            // The agent has the objects; without an answer the question is refused.
            Ask::Explain(_, answer) => drop(answer),
            Ask::Drain(answer) => {
                let _ = answer.send(());
                return true;
            }
        }
        false
    }

    fn view(&self, draining: bool) -> View {
        let now = SystemTime::now();
        View {
            config: self.config.clone(),
            configured: Configured {
                file: "told by the agent".to_owned(),
                taken: self.agent.taken.unwrap_or(now),
                reloads: self.agent.settings.saturating_sub(1),
                reloads_failed: 0,
                errors: Vec::new(),
                published: self.agent.published.unwrap_or(now),
            },
            problems: Arc::default(),
            draining,
            running: self.workers.running(),
            workers_apart: false,
            interfaces: Vec::new(),
            vips: Vec::new(),
            events: 0,
            kernel_error: None,
            source: None,
        }
    }

    /// Accepts no more and waits for running requests; a second signal ends the wait.
    async fn leave(mut self, why: Leave) -> anyhow::Result<ExitCode> {
        let limit = self.config.timeouts.drain;
        tracing::info!(?limit, ?why, "draining");
        self.manager.stopping();
        self.entrance.retire();
        if why == Leave::Stopped && self.link.sender().leave() {
            self.wait_for_the_agent().await;
        }
        match why {
            Leave::Stopped => self.workers.drain(),
            Leave::Superseded => self.workers.give_way(),
        }
        let mut signals = u32::from(why == Leave::Stopped);
        loop {
            tokio::select! {
                () = self.workers.all_exited() => {
                    let cut = self.workers.cut();
                    if cut > 0 {
                        tracing::warn!(connections = cut, "cut at the end of timeouts.drain");
                    }
                    let Self { workers, access_log, log_writer, .. } = self;
                    // These have the last ways to it.
                    drop((workers, access_log));
                    if timeout(LAST_LINES, finished(&log_writer)).await.is_err() {
                        tracing::warn!("the last lines of the access log were not written");
                    }
                    tracing::info!("drained");
                    return Ok(ExitCode::SUCCESS);
                }
                // What still runs is routed by what is true now.
                told = self.link.told() => if let Told::Settings(settings) = told {
                    self.follow(&settings);
                },
                ask = self.asks.next() => {
                    self.answer(ask, true);
                }
                signal = self.signals.next() => match signal {
                    Signal::Stop => {
                        signals += 1;
                        if signals > 1 {
                            tracing::warn!("ended before all requests were done");
                            return Ok(ExitCode::FAILURE);
                        }
                    }
                    Signal::Reread => self.access_log.reopen(&self.config.access_log),
                    #[cfg(feature = "testing")]
                    Signal::PanicWorker => {}
                },
            }
        }
    }

    /// New connections wait for another proxy from here on, or the agent is away: then they come
    /// until the listeners are closed.
    async fn wait_for_the_agent(&mut self) {
        let left =
            async { while !matches!(self.link.told().await, Told::Left | Told::Lost { .. }) {} };
        if timeout(FAREWELL, left).await.is_err() {
            tracing::warn!("the agent does not say that no connection comes any more");
        }
    }
}
