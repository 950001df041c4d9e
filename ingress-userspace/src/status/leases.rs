//! The Leases of this process: the one whose holder writes, and the one by which this node says what
//! it serves.
//!
//! A task of its own, so that slow writes do not cost the lease.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;

use super::api::{Api, Collection, Fault};
use super::complaints::Complaints;
use super::lease::{self, Holding};
use super::plan::election::{Candidate, Step};
use super::{Departure, Identity};
use crate::model::Versions;

/// What the writing task wants to be said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Publication {
    pub(super) serves: Versions,
    /// An Ingress waits for it; otherwise it is said with the next renewal.
    pub(super) is_pressing: bool,
    /// The addresses that are to be published.
    pub(super) wanted: BTreeSet<IpAddr>,
    /// No others of ours stand anywhere.
    pub(super) is_clean: bool,
}

/// Whether this process may write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Leadership {
    /// Not after this moment.
    pub(super) until: Option<Instant>,
    /// The addresses that the lease names: whoever holds it next removes what is outdated.
    pub(super) recorded: BTreeSet<IpAddr>,
}

pub(super) struct Leases {
    api: Arc<Api>,
    of: Collection,
    identity: Identity,
    candidate: Candidate,
    publication: watch::Receiver<Publication>,
    leadership: watch::Sender<Leadership>,
    /// What was said last, and when.
    said: Option<(Versions, Instant)>,
    complaints: Complaints,
}

/// As in client-go: a holder that does not renew for so long has lost it.
const DURATION: Duration = Duration::from_secs(15);
/// After the last renewal the holder does not count on it for longer; the difference covers a write
/// that is under way.
const VALID: Duration = Duration::from_secs(9);
const RENEWAL: Duration = Duration::from_secs(3);
/// Between two looks at the lease of another.
const LOOK: Duration = Duration::from_secs(5);
/// After a request that failed.
const RETRY: Duration = Duration::from_secs(2);
/// As long as that of a kubelet: a node that is silent for so long is not waited for.
const NODE_DURATION: Duration = Duration::from_secs(40);
const NODE_RENEWAL: Duration = Duration::from_secs(10);
/// Between two words of a node about what it serves.
const WORDS: Duration = Duration::from_millis(200);
/// For giving up what we have at the end.
const FAREWELL: Duration = Duration::from_secs(2);

const ELECTION: &str = "addresses and Events are not written by this process";
const NODE: &str = "other nodes do not hear what this one serves";

// === impl Leases ===

impl Leases {
    pub(super) fn new(
        api: Arc<Api>,
        identity: Identity,
        publication: watch::Receiver<Publication>,
        leadership: watch::Sender<Leadership>,
    ) -> Self {
        Self {
            of: Collection::leases(&identity.namespace),
            candidate: Candidate::new(identity.holder.clone()),
            api,
            identity,
            publication,
            leadership,
            said: None,
            complaints: Complaints::default(),
        }
    }

    /// Never ends by itself.
    pub(super) async fn run(&mut self) {
        let (mut election, mut word) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(election.into()) => {
                    election = Instant::now() + spread(self.elect().await);
                }
                () = tokio::time::sleep_until(word.into()) => {
                    word = Instant::now() + spread(self.say().await);
                }
                changed = self.publication.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let publication = self.publication.borrow_and_update();
                    let leadership = self.leadership.borrow();
                    if leadership.until.is_some()
                        && !publication.wanted.is_subset(&leadership.recorded)
                    {
                        election = Instant::now();
                    }
                    let said = self.said.as_ref();
                    let is_news = said.is_none_or(|(said, _)| *said != publication.serves);
                    if publication.is_pressing && is_news {
                        let soonest = said.map(|(_, at)| *at + WORDS);
                        word = word.min(soonest.unwrap_or(word).max(Instant::now()));
                    }
                }
            }
        }
    }

    /// Gives up what this process has; a node that stays keeps its word.
    pub(super) async fn leave(&mut self, departure: Departure) {
        let holds = self.leadership.borrow().until.is_some();
        let leaving = async {
            if holds && let Err(fault) = self.hold("").await {
                tracing::debug!("the lease is not given up: {fault}");
            }
            if departure == Departure::Stopped
                && let Err(fault) = self.api.delete(&self.of, &self.identity.node_lease()).await
            {
                tracing::debug!("the Lease of this node stays: {fault}");
            }
        };
        let _ = tokio::time::timeout(FAREWELL, leaving).await;
    }

    /// Until when nothing is to be done about the lease.
    async fn elect(&mut self) -> Duration {
        let holder = self.identity.holder.clone();
        let outcome = self.hold(&holder).await;
        let expired = self.leadership.borrow().until.is_some_and(|until| until <= Instant::now());
        match outcome {
            Ok(true) => {
                self.complaints.resolve(ELECTION);
                RENEWAL
            }
            Ok(false) => {
                self.complaints.resolve(ELECTION);
                self.lose();
                LOOK
            }
            Err(fault) => {
                // What was renewed a moment ago is still ours.
                if expired {
                    self.lose();
                }
                if !fault.is_conflict() {
                    self.complaints.raise(ELECTION, &fault);
                }
                RETRY
            }
        }
    }

    /// Writes the lease with this holder, if it may be written. Whether it was.
    async fn hold(&mut self, holder: &str) -> Result<bool, Fault> {
        let asked = Instant::now();
        let name = self.identity.lease.clone();
        let before = match self.api.get(&self.of, &name).await {
            Ok(object) => Some(object),
            Err(fault) if fault.is_absence() => None,
            Err(fault) => return Err(fault),
        };
        let record = before.as_ref().map(lease::record);
        let (transitions, is_new) = match self.candidate.step(record.as_ref(), asked) {
            Step::Wait(_) => return Ok(false),
            // Nobody else's lease is given up.
            Step::Take { .. } if holder.is_empty() => return Ok(false),
            Step::Take { transitions } => (transitions, true),
            Step::Renew { transitions } => (transitions, false),
        };
        let mut addresses = before.as_ref().map(lease::addresses).unwrap_or_default();
        {
            let publication = self.publication.borrow();
            if publication.is_clean && !is_new {
                addresses.clear();
            }
            addresses.extend(&publication.wanted);
        }
        let holding = Holding {
            name: &name,
            holder,
            duration: DURATION,
            transitions,
            is_new,
            addresses: &addresses,
        };
        let object = holding.object(before.as_ref(), Timestamp::now());
        match &before {
            Some(_) => self.api.replace(&self.of, &name, &object).await?,
            None => self.api.create(&self.of, &object).await?,
        };
        let until = (!holder.is_empty()).then(|| asked + VALID);
        let leadership = Leadership { until, recorded: addresses };
        if is_new {
            let candidate = self.candidate.identity();
            tracing::info!(lease = name, candidate, "this process writes addresses and Events");
        }
        self.leadership.send_replace(leadership);
        Ok(true)
    }

    fn lose(&mut self) {
        let had = self.leadership.send_replace(Leadership::default());
        if had.until.is_some() {
            tracing::warn!("this process writes addresses and Events no more");
        }
    }

    /// Says what this node serves. When it is to be said again.
    async fn say(&mut self) -> Duration {
        let serves = self.publication.borrow().serves.clone();
        let name = self.identity.node_lease();
        let who = (name.as_str(), self.identity.lease.as_str(), self.identity.holder.as_str());
        let object = lease::of_node(who, NODE_DURATION, &serves, Timestamp::now());
        let said = self.api.apply(&self.of, &name, &object).await;
        match self.complaints.hear(NODE, said) {
            Some(_) => {
                self.said = Some((serves, Instant::now()));
                NODE_RENEWAL
            }
            None => RETRY,
        }
    }
}

/// So that those who began together do not go on together.
fn spread(pause: Duration) -> Duration {
    pause.mul_f64(0.8 + 0.2 * fastrand::f64())
}
