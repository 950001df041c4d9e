//! How a cluster stands as a source of objects, for the administration; and the wait for it.

use std::time::{Instant, SystemTime};

use super::signals::{Signal, Signals};
use crate::admin::source::{Kind, Served, Source, Told};
use crate::source::cluster::{self, Facts};
use crate::status::Tally;

/// The facts of this moment.
pub(super) fn told(facts: &Facts, tally: Option<&Tally>) -> Source {
    let age = |moment: Instant| moment.elapsed().as_secs_f64();
    let (served, cache_age) = match facts.served {
        cluster::Served::Nothing => (Served::Nothing, None),
        cluster::Served::Cache { written } => {
            let age = SystemTime::now().duration_since(written).unwrap_or_default();
            (Served::Cache, Some(age.as_secs_f64()))
        }
        cluster::Served::Server => (Served::Server, None),
    };
    let kind = |(kind, facts): (&crate::model::Kind, &cluster::KindFacts)| Kind {
        kind: kind.as_str().into(),
        objects: facts.objects as u64,
        watches: facts.watches as u64,
        heard: facts.heard.map(age),
        lists: facts.lists,
        errors: facts.errors,
    };
    Source {
        served,
        cache_age,
        failing: facts.failing_since.map(age),
        failures: facts.failures.clone(),
        kinds: facts.kinds.iter().map(kind).collect(),
        cache_bytes: facts.cache_bytes,
        told: tally.map(|tally| Told {
            holds: tally.holds(),
            awaited: tally.awaited.value(),
            addresses: tally.addresses.value(),
            events: tally.events.value(),
            reports: tally.reports.value(),
            failures: tally.failures.value(),
        }),
    }
}

/// The outcome of `starting`; `None` when the process is told to stop first.
pub(super) async fn unless_stopped<T>(
    starting: impl Future<Output = anyhow::Result<T>>,
    signals: &mut Signals,
) -> anyhow::Result<Option<T>> {
    let mut starting = std::pin::pin!(starting);
    loop {
        tokio::select! {
            started = &mut starting => return started.map(Some),
            // What comes after a start is read at a start.
            signal = signals.next() => if signal == Signal::Stop {
                tracing::info!("stopped before it served");
                return Ok(None);
            },
        }
    }
}
