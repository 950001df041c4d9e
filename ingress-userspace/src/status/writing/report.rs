//! Keeps the IngressReports as the plan says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::super::api::{Api, Collection, Fault};
use super::super::complaints::Complaints;
use super::super::plan::report::{Change, Reports};
use super::super::plan::standing::Standing;
use super::super::{Identity, Tally};
use crate::model::{Kind, ObjectRef};

/// The reports, and whether the cluster has a place for them.
#[derive(Debug, Default)]
pub(super) struct Reporting {
    pub(super) plan: Reports,
    /// When the reports that are there may be listed again.
    again: Option<Instant>,
    /// It has been said that there is no such kind.
    is_told: bool,
}

const STEP: usize = 32;
const AT_A_TIME: usize = 4;
/// After a failure.
const AGAIN: Duration = Duration::from_secs(30);
/// Until a kind may have been installed.
const INSTALLED: Duration = Duration::from_secs(60);
/// Between two steps that the pace has ended.
const PAUSE: Duration = Duration::from_millis(500);

const REPORTS: &str = "reports are not written";

// === impl Reporting ===

impl Reporting {
    /// Writes what is due. When there may be more to do.
    pub(super) async fn step(
        &mut self,
        (api, identity, tally): (&Api, &Identity, &Tally),
        standing: &Standing,
        until: Instant,
        complaints: &mut Complaints,
    ) -> Option<Instant> {
        let now = Instant::now();
        if self.again.is_some_and(|again| again > now) {
            return self.again;
        }
        self.again = None;
        if self.plan.is_unknown() {
            match listed(api, identity).await {
                Ok(there) => self.plan.begin(there, standing),
                Err(fault) if fault.is_absence() => {
                    if !std::mem::replace(&mut self.is_told, true) {
                        tracing::info!("no IngressReports: the kind is not installed");
                    }
                    self.again = Some(now + INSTALLED);
                    return self.again;
                }
                Err(fault) => {
                    complaints.raise(REPORTS, &fault);
                    self.again = Some(now + AGAIN);
                    return self.again;
                }
            }
        }
        let time = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let due = self.plan.due(standing, (now, &time), STEP);
        let mut writes = futures_util::stream::iter(due)
            .map(|change| async move {
                let outcome = write(api, identity, &change, until).await;
                (change, outcome)
            })
            .buffer_unordered(AT_A_TIME);
        let mut fault = None;
        while let Some((change, outcome)) = writes.next().await {
            match outcome {
                Ok(()) => {
                    tally.reports.add(1);
                    self.plan.settle(change);
                }
                Err(error) => {
                    tally.failures.add(1);
                    fault = Some(format!("{}: {error}", change.ingress));
                    self.plan.fail(change);
                }
            }
        }
        match fault {
            Some(fault) => {
                complaints.raise(REPORTS, &fault);
                self.again = Some(now + AGAIN);
            }
            None => complaints.resolve(REPORTS),
        }
        let more = self.plan.has_more().then(|| Instant::now() + PAUSE);
        self.again.or(more)
    }

    /// Another process writes.
    pub(super) fn end(&mut self) {
        self.plan.end();
        self.again = None;
    }
}

/// The reports of this installation, by their Ingresses.
async fn listed(api: &Api, identity: &Identity) -> Result<BTreeMap<ObjectRef, Value>, Fault> {
    let (label, writer) = identity.writer();
    let selector = format!("{label}={writer}");
    let collections: Vec<Collection> = match &identity.namespaces[..] {
        [] => vec![Collection::all_reports()],
        named => named.iter().map(|namespace| Collection::reports(namespace)).collect(),
    };
    let mut there = BTreeMap::new();
    for of in collections {
        for report in api.list(&of, &selector).await? {
            let text = |key| report["metadata"][key].as_str().unwrap_or_default();
            let ingress = ObjectRef::new(Kind::Ingress, text("namespace"), text("name"));
            there.insert(ingress, report);
        }
    }
    Ok(there)
}

async fn write(
    api: &Api,
    identity: &Identity,
    change: &Change,
    until: Instant,
) -> Result<(), Fault> {
    if Instant::now() >= until {
        return Ok(());
    }
    let Change { ingress, report } = change;
    let of = Collection::reports(&ingress.namespace);
    match report {
        Some(report) => {
            let mut report = report.clone();
            let (label, writer) = identity.writer();
            report["metadata"]["labels"][label] = writer.into();
            api.apply(&of, &ingress.name, &report).await.map(drop)
        }
        None => match api.delete(&of, &ingress.name).await {
            Err(fault) if fault.is_absence() => Ok(()),
            other => other,
        },
    }
}
