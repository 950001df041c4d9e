//! The composition root: the only module that knows all others.
//!
//! `genkan run` is agent and proxy in one process. This module opens the [`entrance`] (kernel
//! programs or bound VIPs), starts the [`workers`], and then waits on the control runtime for
//! whatever comes next: a changed object, a changed configuration, a worker that ended, an event of
//! the kernel programs, a signal.

mod entrance;
mod inspect;
mod signals;
mod workers;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use arc_swap::ArcSwap;

use crate::admin::{Admin, Asks};
use crate::agent::Agent;
use crate::cli::RunOptions;
use crate::config::{Config, read};
use crate::proxy;
use crate::proxy::access_log::AccessLog;
use crate::snapshot::Publisher;
use crate::source::file::FileSource;
use crate::telemetry::budget;
use crate::tls;
use crate::upstream::ClientTls;

use entrance::Entrance;
use inspect::{Inside, Reloads};
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
        .block_on(async { App::start(options).await?.serve().await })
}

struct App {
    options: RunOptions,
    config_file: FileSource,
    settings: Arc<ArcSwap<proxy::Settings>>,
    agent: Agent,
    entrance: Entrance,
    workers: Workers,
    signals: Signals,
    /// The configuration in force, to be shown.
    effective: Arc<Config>,
    reloads: Reloads,
    asks: Asks,
    /// Ends with the process.
    _admin: Option<Admin>,
}

// === impl App ===

impl App {
    async fn start(options: RunOptions) -> anyhow::Result<Self> {
        let config = &options.config;
        // First of all: a signal that comes during the start is not lost.
        let signals = Signals::new().context("signal handlers")?;
        let (admin, asks) = administration(config);
        let config_file = FileSource::start(&options.config_path)
            .with_context(|| format!("watch {}", options.config_path.display()))?;
        let settings = Arc::new(ArcSwap::from_pointee(proxy::Settings::from(config)));

        let places = workers::places(config)?;
        let publisher = Publisher::new(places.len());
        let agent = Agent::start(&options.manifests, config, publisher.clone())?;
        let mut entrance = Entrance::open(&options, &places).await?;
        let access_log = match config.access_log.destination() {
            Some(file) => Some(AccessLog::start(file).context("access log")?.0),
            None => None,
        };
        let tls = tls::Acceptor::new(publisher.head()).context("TLS")?;
        let (upstream_tls, doubts) = ClientTls::with_system_roots();
        for doubt in doubts {
            tracing::warn!("system roots for HTTPS endpoints: {doubt}");
        }
        let counters: Arc<[_]> = places.iter().map(|_| Arc::default()).collect();
        let inside = Inside {
            publisher: publisher.clone(),
            counters: Arc::clone(&counters),
            places: places.clone(),
        };
        let shared = workers::Shared {
            settings: settings.clone(),
            publisher,
            counters,
            tls,
            upstream_tls: Arc::new(upstream_tls),
            access_log,
            places,
        };
        let workers = Workers::start(shared, &mut entrance)?;

        if let Some(admin) = &admin {
            admin.show(inside);
        }
        tracing::info!(
            workers = workers.len(),
            problems = agent.problems(),
            version = env!("CARGO_PKG_VERSION"),
            "ready"
        );
        Ok(Self {
            effective: Arc::new(options.config.clone()),
            options,
            config_file,
            settings,
            agent,
            entrance,
            workers,
            signals,
            reloads: Reloads::new(),
            asks,
            _admin: admin,
        })
    }

    async fn serve(mut self) -> anyhow::Result<ExitCode> {
        let mut cut_short = tokio::time::interval(budget::WINDOW);
        loop {
            tokio::select! {
                () = self.agent.step() => {}
                () = self.config_file.changed() => self.reread().await,
                exited = self.workers.exited() => self.workers.replace(exited, &mut self.entrance),
                event = self.entrance.event() => println!("{event}"),
                ask = self.asks.next() => if self.answer(ask, false) {
                    return self.drain().await;
                },
                _ = cut_short.tick() => budget::tell(),
                signal = self.signals.next() => match signal {
                    Signal::Stop => return self.drain().await,
                    Signal::Reread => {
                        self.reread().await;
                        let config = self.options.config.clone();
                        self.reconfigure_agent(&config);
                    }
                    #[cfg(feature = "testing")]
                    Signal::PanicWorker => self.workers.inject_panic(),
                },
            }
        }
    }

    /// Reads the configuration again and follows it; a bad one changes nothing.
    async fn reread(&mut self) {
        let read = read::read(&self.options.config_path, &self.options.overrides);
        let next = match read {
            Ok(next) if next == self.options.config => return self.reloads.unchanged(),
            Ok(next) => next,
            Err(errors) => return self.reloads.refused(&errors),
        };
        if let Err(error) = self.entrance.apply(&next).await {
            self.reloads.failed(vec![format!("{error:#}")]);
            return;
        }
        self.settings.store(Arc::new(proxy::Settings::from(&next)));
        let before = std::mem::replace(&mut self.options.config, next.clone());
        let at_start =
            |config: &Config| (config.workers, config.access_log.clone(), config.admin.clone());
        if at_start(&before) != at_start(&next) {
            tracing::warn!("workers, access_log and admin take effect with the next start");
        }
        if compiles_differently(&before, &next) {
            self.reconfigure_agent(&next);
        }
        self.effective = Arc::new(next);
        self.reloads.taken();
        tracing::info!("configuration taken");
    }

    fn reconfigure_agent(&mut self, config: &Config) {
        if let Err(error) = self.agent.reconfigure(config) {
            tracing::error!("manifests not read again: {error:#}");
        }
    }

    /// Stops accepting and waits for running requests; a second signal ends the wait.
    async fn drain(mut self) -> anyhow::Result<ExitCode> {
        tracing::info!(limit = ?self.options.config.timeouts.drain, "draining");
        self.workers.drain();
        loop {
            tokio::select! {
                () = self.workers.all_exited() => {
                    tracing::info!("drained");
                    return Ok(ExitCode::SUCCESS);
                }
                ask = self.asks.next() => {
                    self.answer(ask, true);
                }
                signal = self.signals.next() => if matches!(signal, Signal::Stop) {
                    tracing::warn!("ended before all requests were done");
                    return Ok(ExitCode::FAILURE);
                },
            }
        }
    }
}

/// Traffic does not depend on the administration: without it the node serves all the same.
fn administration(config: &Config) -> (Option<Admin>, Asks) {
    match Admin::start(&config.admin) {
        Ok((admin, asks)) => (Some(admin), asks),
        Err(error) => {
            tracing::error!("no administration: {error}");
            (None, Asks::default())
        }
    }
}

/// Whether the objects mean something else under the new configuration.
fn compiles_differently(before: &Config, next: &Config) -> bool {
    before.classes != next.classes
        || before.compat != next.compat
        || before.balance != next.balance
        || before.tls != next.tls
        || before.endpoints != next.endpoints
        || before.annotations != next.annotations
        || before.vips != next.vips
}
