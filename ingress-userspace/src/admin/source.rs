//! Where the objects come from when it is a cluster: in the status, in readiness, in the metrics.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::status::ConditionState;
use crate::metrics::Exposition;

/// How the watches of a cluster stand. Ages are in seconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Source {
    pub served: Served,
    /// Since the objects of the cache were written; absent when the API server has listed all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_age: Option<f64>,
    /// For how long the API server has not kept the node informed; absent when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<f64>,
    /// Why watches fail now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
    pub kinds: Vec<Kind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_bytes: Option<u64>,
    /// What the cluster is told; absent when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
}

/// What was written to the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Told {
    /// This process holds the lease: it writes.
    pub holds: bool,
    /// Ingresses that wait for their address.
    pub awaited: u64,
    pub addresses: u64,
    pub events: u64,
    pub reports: u64,
    pub failures: u64,
}

/// Where the objects that are served come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Served {
    #[default]
    Nothing,
    Cache,
    Server,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Kind {
    pub kind: Cow<'static, str>,
    pub objects: u64,
    pub watches: u64,
    /// Since the watch that was silent longest was heard from; absent before the first word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<f64>,
    pub lists: u64,
    pub errors: u64,
}

// === impl Source ===

impl Source {
    /// What readiness says of it: what was known last is served, so nothing here sends traffic away.
    pub(super) fn condition(&self) -> (ConditionState, String) {
        let first = self.failures.first().map(|why| format!(": {why}")).unwrap_or_default();
        match (self.served, self.failing) {
            (Served::Nothing, _) => (ConditionState::Bad, self.waiting()),
            (Served::Cache, _) => {
                let age = self.cache_age.unwrap_or_default();
                let message = format!("served from a cache of {age:.0} s ago{first}");
                (ConditionState::Degraded, message)
            }
            (Served::Server, Some(failing)) => {
                let message = format!("the API server has not answered for {failing:.0} s{first}");
                (ConditionState::Degraded, message)
            }
            (Served::Server, None) => (ConditionState::Good, "the API server answers".to_owned()),
        }
    }

    /// What a process that has not begun to serve waits for.
    pub fn waiting(&self) -> String {
        let listing = "objects are listed by the API server";
        match self.failures.first() {
            Some(why) => format!("{listing}: {why}"),
            None => listing.to_owned(),
        }
    }

    pub(super) fn export(&self, out: &mut Exposition) {
        let mut family = out.gauge(
            "genkan_objects_source",
            "Where the objects that are served come from: 1 is so.",
        );
        for (served, label) in [(Served::Server, "server"), (Served::Cache, "cache")] {
            family.number(&[("source", label)], (served == self.served).into());
        }
        out.gauge(
            "genkan_api_server_silent_seconds",
            "For how long the API server has not kept this node informed; 0 when it does.",
        )
        .real(&[], self.failing.unwrap_or_default());
        let kinds = || self.kinds.iter().map(|kind| (kind, [("kind", &*kind.kind)]));
        let mut family = out.gauge("genkan_objects", "Objects that are known, by kind.");
        for (kind, labels) in kinds() {
            family.number(&labels, kind.objects);
        }
        let mut family = out.gauge("genkan_watches", "Watches that run, by kind.");
        for (kind, labels) in kinds() {
            family.number(&labels, kind.watches);
        }
        let mut family = out.gauge(
            "genkan_watch_age_seconds",
            "Since the watch of a kind that was silent longest was heard from.",
        );
        for (kind, labels) in kinds() {
            if let Some(heard) = kind.heard {
                family.real(&labels, heard);
            }
        }
        let mut family = out.counter("genkan_watch_lists", "Full lists that were read, by kind.");
        for (kind, labels) in kinds() {
            family.number(&labels, kind.lists);
        }
        let mut family =
            out.counter("genkan_watch_errors", "Lists and watches that failed, by kind.");
        for (kind, labels) in kinds() {
            family.number(&labels, kind.errors);
        }
        if let Some(bytes) = self.cache_bytes {
            out.gauge("genkan_objects_cache_bytes", "Size of the cache of objects.")
                .number(&[], bytes);
        }
        if let Some(told) = &self.told {
            told.export(out);
        }
    }
}

// === impl Told ===

impl Told {
    fn export(&self, out: &mut Exposition) {
        out.gauge("genkan_status_writer", "1 when this process writes to the cluster.")
            .number(&[], self.holds.into());
        out.gauge("genkan_status_waiting", "Ingresses that wait for their address.")
            .number(&[], self.awaited);
        out.counter("genkan_status_writes", "Objects written to the cluster, by what was written.")
            .number(&[("object", "address")], self.addresses)
            .number(&[("object", "event")], self.events)
            .number(&[("object", "report")], self.reports);
        out.counter("genkan_status_write_failures", "Writes that the API server did not take.")
            .number(&[], self.failures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(source: &Source) -> (ConditionState, String) {
        source.condition()
    }

    #[test]
    fn an_absent_api_server_degrades_and_sends_no_traffic_away() {
        let mut source = Source { served: Served::Server, ..Source::default() };
        assert_eq!(judged(&source).0, ConditionState::Good);
        source.failing = Some(61.4);
        source.failures = vec!["connection refused".to_owned()];
        let degraded = "the API server has not answered for 61 s: connection refused";
        assert_eq!(judged(&source), (ConditionState::Degraded, degraded.to_owned()));
        (source.served, source.cache_age) = (Served::Cache, Some(3600.0));
        let cached = "served from a cache of 3600 s ago: connection refused";
        assert_eq!(judged(&source), (ConditionState::Degraded, cached.to_owned()));
    }

    #[test]
    fn without_any_object_the_process_is_not_ready() {
        let source = Source { failures: vec!["refused".to_owned()], ..Source::default() };
        let waiting = "objects are listed by the API server: refused";
        assert_eq!(judged(&source), (ConditionState::Bad, waiting.to_owned()));
    }
}
