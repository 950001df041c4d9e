//! What is told to the cluster: the addresses of Ingresses, Events, reports.
//!
//! ```text
//!   control side ──► feed ──► plan::book ──► writing ──► status of Ingresses
//!                                  ▲            ▲
//!             snapshot acknowledged┘            │ holds the lease, knows what other nodes serve
//!                                            leases ──► Lease of the writer, Lease of this node
//! ```
//!
//! A thread with a runtime and connections of its own: writing never delays watching or serving. One
//! process of the cluster writes, the holder of a Lease; each says in a Lease of its own what its
//! node serves. [`plan`] says what is to be written; the rest of the module asks the API server.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::kubernetes::Access;
use crate::snapshot::Publisher;

mod api;
mod complaints;
mod feed;
mod identity;
mod lease;
mod leases;
mod plan;
mod tally;
mod telling;
mod writing;

pub use feed::Feed;
pub use identity::Identity;
pub use plan::batch::Batch;
pub use tally::Tally;

use api::Api;
use leases::{Leadership, Leases, Publication};
use writing::Writing;

/// The thread that writes. Dropping it ends it and gives up the lease.
#[derive(Debug)]
pub struct Writer {
    wanted: watch::Sender<BTreeSet<IpAddr>>,
    tally: Arc<Tally>,
    stop: Option<oneshot::Sender<Departure>>,
    stopped: oneshot::Receiver<()>,
}

/// Why a process writes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// Nobody serves on this node any more.
    Stopped,
    /// Another process of this node serves.
    Superseded,
}

/// Until the access to the cluster can be read.
const PAUSE: Duration = Duration::from_secs(5);
/// For the end: what the leases take, and a little.
const FAREWELL: Duration = Duration::from_secs(3);

// === impl Writer ===

impl Writer {
    /// Begins to write the `wanted` addresses for what `feed` tells and all workers serve.
    ///
    /// # Errors
    ///
    /// When no thread can be started. A cluster that is away, or that lets us write nothing, is none:
    /// that is said in the log.
    pub fn start(
        access: Access,
        identity: Identity,
        wanted: BTreeSet<IpAddr>,
        feed: Feed,
        publisher: Publisher,
    ) -> io::Result<Self> {
        let (wanted, wants) = watch::channel(wanted);
        let (stop, stops) = oneshot::channel();
        let (ended, stopped) = oneshot::channel();
        let tally = Arc::new(Tally::default());
        let fed = (feed, publisher, tally.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("status".to_owned()).spawn(move || {
            runtime.block_on(work(access, identity, fed, wants, stops));
            let _ = ended.send(());
        })?;
        Ok(Self { wanted, tally, stop: Some(stop), stopped })
    }

    /// Other addresses from now on; those before are removed.
    pub fn set_addresses(&self, wanted: BTreeSet<IpAddr>) {
        self.wanted.send_if_modified(|known| {
            let is_news = *known != wanted;
            *known = wanted;
            is_news
        });
    }

    /// What was written so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Writes no more, and gives the lease up if that is possible in a moment.
    pub async fn stop(mut self, departure: Departure) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(departure);
        }
        let _ = tokio::time::timeout(FAREWELL, self.stopped).await;
    }
}

async fn work(
    access: Access,
    identity: Identity,
    fed: (Feed, Publisher, Arc<Tally>),
    wanted: watch::Receiver<BTreeSet<IpAddr>>,
    mut stop: oneshot::Receiver<Departure>,
) {
    let link = loop {
        match access.clone().connect().await {
            Ok(link) => break link,
            Err(error) => tracing::warn!("addresses are not written: {error:#}"),
        }
        tokio::select! {
            _ = &mut stop => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    };
    let api = Arc::new(Api::new(link));
    let (publish, publication) = watch::channel(Publication::default());
    let (lead, leadership) = watch::channel(Leadership::default());
    let mut leases = Leases::new(api.clone(), identity.clone(), publication, lead);
    let mut writing = Writing::new((api, identity), fed, wanted, leadership, publish);
    let departure = tokio::select! {
        () = leases.run() => return,
        () = writing.run() => return,
        departure = stop => departure.unwrap_or(Departure::Superseded),
    };
    leases.leave(departure).await;
}
