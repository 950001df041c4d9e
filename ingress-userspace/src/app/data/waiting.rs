//! What a proxy knows of its agent, and the wait for its first word and the first snapshot.

use std::os::fd::OwnedFd;
use std::time::SystemTime;

use crate::app::signals::{Signal, Signals};
use crate::config::Config;
use crate::snapshot::link::{Link, Told};
use crate::snapshot::wire;

/// What is known of the agent.
#[derive(Debug, Default)]
pub(super) struct Agent {
    /// When it sent settings last, and how many there were.
    pub(super) taken: Option<SystemTime>,
    pub(super) settings: u64,
    pub(super) published: Option<SystemTime>,
    /// Why it is away.
    pub(super) lost: Option<String>,
}

/// Before the workers are made.
pub(super) struct Waiting {
    pub(super) signals: Signals,
    pub(super) link: Link,
    pub(super) agent: Agent,
    pub(super) ports: Vec<u16>,
    pub(super) load: Option<OwnedFd>,
}

// === impl Waiting ===

impl Waiting {
    /// The configuration; `None` when the process is told to stop.
    pub(super) async fn config(&mut self) -> Option<Config> {
        loop {
            if let Told::Settings(settings) = self.next().await?
                && let Some(config) = self.agent.takes(&settings)
            {
                self.link.sender().following(settings.number);
                return Some(config);
            }
        }
    }

    /// Waits until there is something to serve, with the newest settings.
    pub(super) async fn snapshot(&mut self, config: &mut Config) -> Option<()> {
        loop {
            match self.next().await? {
                Told::Settings(settings) => {
                    if let Some(next) = self.agent.takes(&settings) {
                        *config = next;
                        self.link.sender().following(settings.number);
                    }
                }
                Told::Served { .. } => return Some(()),
                _ => {}
            }
        }
    }

    async fn next(&mut self) -> Option<Told> {
        loop {
            tokio::select! {
                signal = self.signals.next() => if signal == Signal::Stop {
                    return None;
                },
                told = self.link.told() => {
                    match told {
                        Told::Welcome { program, ports, load } => {
                            self.agent.is_back(&program);
                            (self.ports, self.load) = (ports, load);
                        }
                        Told::Lost { why } => self.agent.is_lost(why),
                        other => return Some(other),
                    }
                }
            }
        }
    }
}

// === impl Agent ===

impl Agent {
    pub(super) fn is_back(&mut self, program: &str) {
        self.lost = None;
        tracing::info!(program, "the agent is there");
    }

    /// Told once for each reason.
    pub(super) fn is_lost(&mut self, why: String) {
        if self.lost.as_ref() != Some(&why) {
            tracing::warn!("no agent; what is known is served: {why}");
            self.lost = Some(why);
        }
    }

    pub(super) fn takes(&mut self, settings: &wire::Settings) -> Option<Config> {
        match settings.config() {
            Ok(config) => {
                self.taken = Some(SystemTime::now());
                self.settings += u64::from(!settings.widen);
                Some(config)
            }
            Err(error) => {
                tracing::error!("settings of the agent are not followed: {error}");
                None
            }
        }
    }
}
