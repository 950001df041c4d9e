//! Writes what the plan says, while this process holds the lease.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::sync::watch;

use super::api::{Api, Collection};
use super::complaints::Complaints;
use super::feed::Feed;
use super::lease;
use super::leases::{Leadership, Publication};
use super::plan::address::Own;
use super::plan::book::{Book, Outcome, Write};
use super::plan::events::Recorder;
use super::plan::nodes::Nodes;
use super::plan::standing::Standing;
use super::{Identity, Tally, telling};
use crate::model::Address;
use crate::snapshot::Publisher;

mod address;
mod report;

use report::Reporting;

pub(super) struct Writing {
    api: Arc<Api>,
    identity: Identity,
    feed: Feed,
    publisher: Publisher,
    tally: Arc<Tally>,
    /// Addresses of the VIPs.
    wanted: watch::Receiver<BTreeSet<IpAddr>>,
    leadership: watch::Receiver<Leadership>,
    publication: watch::Sender<Publication>,
    book: Book,
    nodes: Nodes,
    standing: Standing,
    recorder: Recorder,
    reporting: Reporting,
    /// Events that were too many.
    dropped: u64,
    /// When the other nodes were listed last.
    looked: Option<Instant>,
    /// They were listed, and what they say is what they said a moment ago.
    is_known: bool,
    /// Since when some Ingress waits for its address.
    awaited: Option<Instant>,
    complaints: Complaints,
}

/// How many lists are written in one step, and at a time.
const STEP: usize = 64;
const AT_A_TIME: usize = 8;
/// Events of one step: addresses do not wait long for them.
const EVENTS_STEP: usize = 16;
/// Between two looks at what the workers serve.
const POLL: Duration = Duration::from_millis(25);
/// Between two looks at the other nodes while an Ingress waits for its address, and otherwise.
const LOOK: Duration = Duration::from_millis(250);
const SLOW_LOOK: Duration = Duration::from_secs(60);
/// An Ingress that waits longer is not what a node hurries for.
const PRESSING: Duration = Duration::from_secs(60);
/// An Ingress that waits longer is worth a word.
const NOTABLE: Duration = Duration::from_secs(5);
/// The Lease of a node that is dead for so long is removed.
const BURIAL: Duration = Duration::from_secs(600);

/// Between two steps that the pace of Events has ended.
const PAUSE: Duration = Duration::from_millis(250);

const EVENTS: &str = "some Events are not written";
const WRITES: &str = "addresses are not written";
const NODES: &str = "addresses are not written: what the other nodes serve is not known";
const LAGGARDS: &str =
    "Ingresses wait for their address, because these nodes do not serve them yet";

// === impl Writing ===

impl Writing {
    pub(super) fn new(
        (api, identity): (Arc<Api>, Identity),
        (feed, publisher, tally): (Feed, Publisher, Arc<Tally>),
        wanted: watch::Receiver<BTreeSet<IpAddr>>,
        leadership: watch::Receiver<Leadership>,
        publication: watch::Sender<Publication>,
    ) -> Self {
        Self {
            api,
            identity,
            feed,
            publisher,
            tally,
            wanted,
            leadership,
            publication,
            book: Book::default(),
            nodes: Nodes::default(),
            standing: Standing::default(),
            recorder: Recorder::default(),
            reporting: Reporting::default(),
            dropped: 0,
            looked: None,
            is_known: false,
            awaited: None,
            complaints: Complaints::default(),
        }
    }

    /// Never ends by itself.
    pub(super) async fn run(&mut self) {
        loop {
            while let Some(batch) = self.feed.take() {
                self.book.take(&batch);
                let news = self.standing.take(&batch);
                self.recorder.take(&news, &self.standing);
                self.reporting.plan.touch(&news.touched);
            }
            let served = self.publisher.served_by_all();
            self.book.pass(served);
            let leadership = self.leadership.borrow_and_update().clone();
            let wanted = self.wanted.borrow_and_update().clone();
            let own = Own { wanted, published: leadership.recorded.clone() };
            self.book.set_own(own.clone());
            self.publish(&own, leadership.until.is_some());
            let mut wakes = [None; 4];
            self.recorder.set_writing(leadership.until.is_some(), &self.standing);
            match leadership.until {
                // It is renewed, or lost in a moment.
                Some(until) if until <= Instant::now() => {}
                Some(until) => {
                    // Nothing stands anywhere before the lease names it.
                    if own.wanted.is_subset(&own.published) {
                        wakes[0] = self.write(served, until).await;
                    }
                    wakes[1] = self.tell().await;
                    let to = (&*self.api, &self.identity, &*self.tally);
                    let (standing, complaints) = (&self.standing, &mut self.complaints);
                    wakes[2] = self.reporting.step(to, standing, until, complaints).await;
                }
                None => self.reporting.end(),
            }
            if served < self.book.version() {
                wakes[3] = Some(Instant::now() + POLL);
            }
            let wake = wakes.into_iter().flatten().min();
            tokio::select! {
                () = self.feed.filled() => {}
                changed = self.leadership.changed() => if changed.is_err() { return },
                changed = self.wanted.changed() => if changed.is_err() { return },
                () = reached(wake) => {}
            }
        }
    }

    /// Posts the Events that are due. When there may be more to do.
    async fn tell(&mut self) -> Option<Instant> {
        let due = self.recorder.due(Instant::now(), EVENTS_STEP);
        let (api, identity) = (&self.api, &self.identity);
        let mut posts = futures_util::stream::iter(&due)
            .map(|note| telling::post(api, identity, note))
            .buffer_unordered(AT_A_TIME);
        let mut fault = None;
        while let Some(posted) = posts.next().await {
            match posted {
                Ok(()) => self.tally.events.add(1),
                Err(error) => {
                    self.tally.failures.add(1);
                    fault = Some(error);
                }
            }
        }
        match fault {
            // They are not told again: what stands is in the log and in the report.
            Some(fault) => self.complaints.raise(EVENTS, &fault),
            None if !due.is_empty() => self.complaints.resolve(EVENTS),
            None => {}
        }
        let dropped = self.recorder.dropped();
        if dropped > std::mem::replace(&mut self.dropped, dropped) {
            tracing::debug!(dropped, "more Events than are told");
        }
        self.recorder.has_more().then(|| Instant::now() + PAUSE)
    }

    /// What the leases are to say.
    fn publish(&mut self, own: &Own, holds: bool) {
        let now = Instant::now();
        let awaited = self.book.awaited();
        self.tally.awaited.set(awaited as u64);
        self.tally.set_holds(holds);
        self.awaited = if awaited > 0 { self.awaited.or(Some(now)) } else { None };
        let is_pressing = self.awaited.is_some_and(|since| now - since < PRESSING);
        // Before the first batch nothing is known of what stands where.
        let is_known = holds && self.book.version() > 0;
        let is_clean = is_known && (own.published == own.wanted || !self.book.has_outdated());
        let publication = Publication {
            serves: self.book.serves().clone(),
            is_pressing,
            wanted: own.wanted.clone(),
            is_clean,
        };
        self.publication.send_if_modified(|said| {
            let is_news = *said != publication;
            *said = publication;
            is_news
        });
    }

    /// Writes what is due. When there may be more to do.
    async fn write(&mut self, served: u64, until: Instant) -> Option<Instant> {
        let now = Instant::now();
        let pause = match (self.is_known, self.awaited) {
            (false, _) => NOTABLE,
            (true, Some(_)) => LOOK,
            (true, None) => SLOW_LOOK,
        };
        if self.looked.is_none_or(|looked| now - looked >= pause) {
            self.looked = Some(now);
            let selector = lease::selector(&self.identity.lease);
            let of = Collection::leases(&self.identity.namespace);
            let listed = self.api.list(&of, &selector).await;
            self.is_known = listed.is_ok();
            if let Some(all) = self.complaints.hear(NODES, listed) {
                let own = self.identity.node_lease();
                let others = all.iter().map(lease::said).filter(|said| said.name != own);
                self.nodes.observe(others.collect(), Instant::now());
                self.bury(&of).await;
            }
        }
        if !self.is_known {
            // Whom we do not know we cannot wait for.
            return self.looked.map(|looked| looked + NOTABLE);
        }
        let due = self.book.due(served, &self.nodes, Instant::now(), STEP);
        let is_more = due.len() == STEP;
        let api = &self.api;
        let mut writes = futures_util::stream::iter(due)
            .map(|write| async move {
                let outcome = address::write(api, &write, until).await;
                (write, outcome)
            })
            .buffer_unordered(AT_A_TIME);
        let (mut fault, mut is_done) = (None, false);
        while let Some((write, outcome)) = writes.next().await {
            let outcome = match outcome {
                Ok(outcome) => outcome,
                Err(error) => {
                    fault = Some(format!("{}: {error}", write.ingress));
                    Outcome::Failed
                }
            };
            match outcome {
                Outcome::Written(_) => {
                    is_done = true;
                    self.tally.addresses.add(1);
                }
                Outcome::Failed => self.tally.failures.add(1),
                Outcome::Left | Outcome::Conflict => {}
            }
            if matches!(outcome, Outcome::Written(_)) && write.adds {
                let text = synced(&write, self.nodes.living(now));
                self.recorder.tell_synced(&write.ingress, text, &self.standing);
            }
            self.book.settle(write, outcome, Instant::now());
        }
        drop(writes);
        match fault {
            Some(fault) => self.complaints.raise(WRITES, &fault),
            None if is_done => self.complaints.resolve(WRITES),
            None => {}
        }
        self.tell_laggards();
        let now = Instant::now();
        // Nobody is looked for while nothing waits, but for those to be buried.
        let look = now + if self.awaited.is_some() { LOOK } else { SLOW_LOOK };
        let next = if is_more { Some(now) } else { self.book.next_moment(now) };
        next.into_iter().chain(Some(look)).min()
    }

    fn tell_laggards(&mut self) {
        let now = Instant::now();
        let is_long = self.awaited.is_some_and(|since| now - since >= NOTABLE);
        let laggards = self.book.awaited_nodes(&self.nodes, now);
        if is_long && !laggards.is_empty() {
            self.complaints.raise(LAGGARDS, &laggards.join(", "));
        } else if laggards.is_empty() {
            self.complaints.resolve(LAGGARDS);
        }
    }

    /// Removes the Leases of nodes that do not come back.
    async fn bury(&mut self, of: &Collection) {
        for name in self.nodes.dead_for(BURIAL, Instant::now()) {
            if let Err(fault) = self.api.delete(of, name).await {
                tracing::debug!(name, "the Lease of a dead node stays: {fault}");
            }
        }
    }
}

/// Of the Event about an address that has come.
fn synced(write: &Write, others: usize) -> String {
    let addresses: Vec<String> =
        write.entries.iter().filter_map(Address::ip).map(|ip| ip.to_string()).collect();
    let nodes = others + 1;
    let s = if nodes == 1 { "" } else { "s" };
    format!("served by {nodes} node{s} at {}", addresses.join(", "))
}

async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
