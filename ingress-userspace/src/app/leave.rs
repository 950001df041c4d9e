//! The end of this process: it accepts no more, finishes what runs, writes its last lines.

use std::pin::pin;
use std::process::ExitCode;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::place::reached;
use super::signals::Signal;
use super::{App, beat, pulse};
use crate::handover::Holder;
use crate::status::Departure;
use crate::telemetry::{self, budget};

/// How long an end waits for the access log's writer.
pub(super) const LAST_LINES: Duration = Duration::from_secs(5);
/// How long a second signal waits for the same, with the workers that have lines for it.
const FORCED_LINES: Duration = Duration::from_secs(1);
/// For what runs when nobody serves: a new process is to be started soon.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// Why a process drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// It was told to.
    Stopped,
    /// Another process has taken its place.
    Superseded,
}

// === impl App ===

impl App {
    /// Accepts no more and waits for running requests; a second signal ends the wait. Fails when
    /// the process that has taken over does not come to serve: a service manager must not believe
    /// that all is well.
    pub(super) async fn leave(mut self, why: Leave) -> anyhow::Result<ExitCode> {
        let limit = self.configuration.in_force().timeouts.drain;
        tracing::info!(?limit, "draining");
        let mut signals = 1;
        // Whoever asks from here on hears that this process is about to end.
        self.holder = Holder::unreachable();
        match why {
            // A successor that is about to come has these listeners; their places are its own.
            Leave::Stopped if !self.place.is_ours() => {
                self.manager.stopping();
                self.entrance.retire();
                self.workers.hand_over();
            }
            Leave::Stopped => {
                self.manager.stopping();
                self.entrance.close();
                self.workers.drain();
            }
            // The service goes on: the signal that stops it has still to come.
            Leave::Superseded => signals = 0,
        }
        let departure = match why {
            Leave::Stopped if self.place.is_ours() => Departure::Stopped,
            Leave::Stopped | Leave::Superseded => Departure::Superseded,
        };
        let writer = self.writer.take();
        let mut farewell = pin!(async {
            if let Some(writer) = writer {
                writer.stop(departure).await;
            }
        });
        let mut cut_short = tokio::time::interval(budget::WINDOW);
        let mut pulse = pulse(&self.manager);
        let mut drained = false;
        let mut untold = true;
        let mut nobody_serves: Option<Instant> = None;
        loop {
            if drained && !untold && !self.place.is_unsure() {
                let cut = self.workers.cut();
                if cut > 0 {
                    tracing::warn!(connections = cut, "cut at the end of timeouts.drain");
                }
                self.written(LAST_LINES).await;
                tracing::info!("drained");
                let well = nobody_serves.is_none();
                return Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            tokio::select! {
                () = self.workers.all_exited(), if !drained => drained = true,
                () = &mut farewell, if untold => untold = false,
                serves = self.place.successor_serves() => if !serves {
                    tracing::error!(
                        limit = ?LAST_REQUESTS,
                        "the process that has taken over does not serve: nobody does"
                    );
                    nobody_serves = Some(Instant::now() + LAST_REQUESTS);
                },
                () = reached(nobody_serves) => {
                    tracing::warn!("ended before all requests were done");
                    return self.end_at_once().await;
                }
                // What still runs is routed by what is true now.
                () = self.agent.step() => {}
                ask = self.asks.next() => {
                    self.answer(ask, true);
                }
                () = beat(&mut pulse), if why == Leave::Stopped => self.say_alive(),
                _ = cut_short.tick() => telemetry::tell(),
                signal = self.signals.next() => match signal {
                    Signal::Stop => {
                        signals += 1;
                        if signals > 1 {
                            tracing::warn!("ended before all requests were done");
                            return self.end_at_once().await;
                        }
                    }
                    // A log file that was renamed is left; nothing else is followed any more.
                    Signal::Reread => {
                        self.access_log.reopen(&self.configuration.in_force().access_log);
                    }
                    #[cfg(feature = "testing")]
                    Signal::PanicWorker => {}
                },
            }
        }
    }

    /// What runs is cut; the lines of what has been answered are written.
    async fn end_at_once(mut self) -> anyhow::Result<ExitCode> {
        self.workers.end();
        let begun = Instant::now();
        // One that is stuck keeps its last lines.
        let _ = timeout(FORCED_LINES, self.workers.all_exited()).await;
        self.written(FORCED_LINES.saturating_sub(begun.elapsed())).await;
        Ok(ExitCode::FAILURE)
    }

    /// Waits for the last lines of the access log.
    async fn written(self, limit: Duration) {
        let Self { workers, access_log, log_writer, .. } = self;
        // These have the last ways to it.
        drop((workers, access_log));
        if timeout(limit, finished(&log_writer)).await.is_err() {
            tracing::warn!(?limit, "the last lines of the access log were not written");
        }
    }
}

pub(super) async fn finished(writer: &JoinHandle<()>) {
    while !writer.is_finished() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
