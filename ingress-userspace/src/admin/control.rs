//! Questions to the control side, and its answers.
//!
//! The control side answers between two of its own steps, by handing out values that it has anyway.
//! A question that is not answered in time is dropped: the control side is then busy or stuck, and
//! both are told.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::source::Source;
use super::{explain, status};
use crate::config::Config;
use crate::model::Problem;

/// What only the control side knows or can do.
#[derive(Debug)]
pub enum Ask {
    View(oneshot::Sender<View>),
    /// What would become of a request.
    Explain(Box<explain::Request>, oneshot::Sender<Box<explain::Answer>>),
    /// As SIGTERM: stop accepting, finish what runs, end.
    Drain(oneshot::Sender<()>),
}

/// The control side at one moment.
#[derive(Debug, Clone)]
pub struct View {
    pub config: Arc<Config>,
    pub configured: Configured,
    pub problems: Arc<[Problem]>,
    pub draining: bool,
    /// Whether each worker's place has a running thread.
    pub running: Vec<bool>,
    /// The workers are those of another process, which has a liveness of its own.
    pub workers_apart: bool,
    pub interfaces: Vec<status::Interface>,
    pub vips: Vec<status::Vip>,
    /// Sampled packets reported so far.
    pub events: u64,
    /// Why the counters of the kernel programs could not be read.
    pub kernel_error: Option<String>,
    /// Where the objects come from, when it is a cluster.
    pub source: Option<Source>,
}

/// What became of the configuration file.
#[derive(Debug, Clone)]
pub struct Configured {
    pub file: String,
    pub taken: SystemTime,
    pub reloads: u64,
    pub reloads_failed: u64,
    /// Of the last change, when it was refused.
    pub errors: Vec<String>,
    pub published: SystemTime,
}

/// The control side's end. The default is that of no administration.
#[derive(Debug, Default)]
pub struct Asks {
    pub(super) receiver: Option<mpsc::Receiver<Ask>>,
}

/// The administration's end.
#[derive(Debug)]
pub(super) struct Control {
    sender: mpsc::Sender<Ask>,
    patience: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Silent {
    #[error("the control side has not answered in time: it is busy or stuck")]
    Late,
    #[error("the control side has ended")]
    Gone,
}

// === impl Asks ===

impl Asks {
    pub(super) fn new(receiver: mpsc::Receiver<Ask>) -> Self {
        Self { receiver: Some(receiver) }
    }

    /// The next question; never when there is no administration. Cancel-safe.
    pub async fn next(&mut self) -> Ask {
        if let Some(receiver) = &mut self.receiver
            && let Some(ask) = receiver.recv().await
        {
            return ask;
        }
        std::future::pending().await
    }
}

// === impl Control ===

impl Control {
    pub(super) fn new(sender: mpsc::Sender<Ask>, patience: Duration) -> Self {
        Self { sender, patience }
    }

    pub(super) async fn view(&self) -> Result<View, Silent> {
        self.ask(Ask::View).await
    }

    pub(super) async fn explain(
        &self,
        request: explain::Request,
    ) -> Result<Box<explain::Answer>, Silent> {
        self.ask(|answer| Ask::Explain(Box::new(request), answer)).await
    }

    pub(super) async fn drain(&self) -> Result<(), Silent> {
        self.ask(Ask::Drain).await
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Silent> {
        let (answer, answered) = oneshot::channel();
        let asking = async {
            self.sender.send(ask(answer)).await.map_err(|_| Silent::Gone)?;
            answered.await.map_err(|_| Silent::Gone)
        };
        timeout(self.patience, asking).await.unwrap_or(Err(Silent::Late))
    }
}
