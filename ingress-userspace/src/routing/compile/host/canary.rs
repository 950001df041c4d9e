//! The canary Ingresses of a host: each of their paths joins the rule of another Ingress with the
//! same path (A2).

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashSet;
use http::{HeaderName, HeaderValue};

use super::{Candidate, Context, Judged};
use crate::model::options::{AccessOptions, BackendProtocol, CanaryOptions};
use crate::model::pattern::Pattern;
use crate::model::{Backend, HostPattern, ObjectRef, PathKind, Reason, RuleId};
use crate::routing::canary::{Canary, HeaderRule};
use crate::routing::compile::clusters::ClusterKey;
use crate::routing::compile::record::Record;
use crate::routing::route::{Action, Refusal};
use crate::routing::settings::Settings;

/// The least total of weights; ingress-nginx ignores smaller ones.
const TOTAL: u32 = 100;

/// By the path that they join.
pub(super) struct Canaries<'a> {
    waiting: BTreeMap<(PathKind, Arc<str>), Vec<Candidate<'a>>>,
    /// Those that joined and are closed.
    closed: Vec<Judged<'a>>,
}

/// The clusters that canaries of `host` need beside those of their own Ingresses, and for whom: a
/// canary is spoken to as the Ingress that it joins says, whose keys it inherits.
pub(in crate::routing::compile) fn clusters(
    host: &HostPattern,
    members: &[&Record],
) -> Vec<(ClusterKey, ObjectRef)> {
    let mains = members.iter().filter(|record| !record.is_canary());
    let mut protocols = Vec::new();
    for protocol in mains.map(|main| main.ingress.options.upstream.protocol) {
        if !protocols.contains(&protocol) {
            protocols.push(protocol);
        }
    }
    let mut found = HashSet::new();
    for canary in members.iter().filter(|record| record.is_canary()) {
        for path in canary.rules_for(host).flat_map(|rule| &rule.paths) {
            let keys = protocols.iter().filter_map(|&by| key(canary, &path.backend, by));
            found.extend(keys.map(|key| (key, canary.order.object.clone())));
        }
    }
    found.into_iter().collect()
}

fn key(
    record: &Record,
    backend: &Backend,
    protocol: Option<BackendProtocol>,
) -> Option<ClusterKey> {
    let key = super::cluster_key(record, backend)?;
    Some(ClusterKey { protocol, ..key })
}

fn is_beside(canary: &Candidate<'_>, main: &Candidate<'_>) -> bool {
    canary.record.order.object.namespace == main.record.order.object.namespace
}

// === impl Canaries ===

impl<'a> Canaries<'a> {
    /// Takes the paths of canary Ingresses out of `candidates`.
    pub(super) fn take_from(
        candidates: &mut Vec<Candidate<'a>>,
        all_regex: bool,
        settings: &Settings,
    ) -> Self {
        let mut waiting: BTreeMap<_, Vec<_>> = BTreeMap::new();
        candidates.retain(|candidate| {
            if !candidate.record.is_canary() {
                return true;
            }
            let way = candidate.way(all_regex, settings);
            // A path that cannot be matched joins none.
            let text = candidate.text(way).unwrap_or_else(|_| candidate.path.path.clone());
            waiting.entry((candidate.path.kind, text)).or_default().push(*candidate);
            false
        });
        Self { waiting, closed: Vec::new() }
    }

    /// The canary of the rule that won `key`.
    pub(super) fn join(
        &mut self,
        key: &(PathKind, Arc<str>),
        main: &Candidate<'a>,
        context: Context<'_>,
    ) -> Option<Canary> {
        let rivals = self.waiting.get_mut(key)?;
        // All that the requests of `main` carry would reach the canary.
        let at = rivals.iter().position(|rival| is_beside(rival, main))?;
        let first = rivals.remove(at);
        if rivals.is_empty() {
            self.waiting.remove(key);
        }
        let mut canary = first.canary_of(main, context);
        if first.asks_for_more_than(main) {
            canary.action = Action::Refuse { status: 503, reason: Refusal::CanaryRule };
            let why = format!(
                "access rules of a canary are those of {}, which are others; its share of the \
                 requests is answered with 503",
                main.record.order.object
            );
            let field = "metadata.annotations".to_owned();
            let problem = first.record.problem(field, Reason::UnsupportedAnnotation, why);
            let outcome = Err(problem.by(RuleId::C13));
            self.closed.push(Judged { candidate: first, text: Some(key.1.clone()), outcome });
        }
        Some(canary)
    }

    /// Canaries that joined nothing, or are closed.
    pub(super) fn left(
        self,
        mains: &BTreeMap<(PathKind, Arc<str>), Candidate<'a>>,
    ) -> Vec<Judged<'a>> {
        let mut left = self.closed;
        for (key, rivals) in self.waiting {
            let why = match mains.get(&key) {
                Some(main) if !rivals.iter().any(|rival| is_beside(rival, main)) => {
                    format!("a canary of {} has to be in its namespace", main.record.order.object)
                }
                Some(main) => format!(
                    "this path of {} has a canary already, one that comes first",
                    main.record.order.object
                ),
                None => {
                    "a canary joins the same path of another Ingress, and there is none".to_owned()
                }
            };
            for candidate in rivals {
                let problem = candidate.problem("path", Reason::ConflictingPath, &why);
                let outcome = Err(problem.by(RuleId::C1));
                left.push(Judged { candidate, text: Some(key.1.clone()), outcome });
            }
        }
        left
    }
}

// === impl Candidate ===

impl Candidate<'_> {
    /// C13: a canary inherits the access rules of `main`. Others of its own would be enforced by
    /// nobody.
    fn asks_for_more_than(&self, main: &Candidate<'_>) -> bool {
        let own = &self.record.ingress.options.access;
        *own != AccessOptions::default() && *own != main.record.ingress.options.access
    }

    fn canary_of(&self, main: &Candidate<'_>, context: Context<'_>) -> Canary {
        let options = &self.record.ingress.options;
        let CanaryOptions { weight, weight_total, by_cookie, .. } = &options.canary;
        let protocol = main.record.ingress.options.upstream.protocol;
        let id =
            key(self.record, &self.path.backend, protocol).and_then(|k| context.clusters.id(&k));
        let legacy =
            options.affinity.canary_legacy.or(main.record.ingress.options.affinity.canary_legacy);
        Canary {
            action: id.map_or(
                Action::Refuse { status: 503, reason: Refusal::ClosedCanary },
                Action::Forward,
            ),
            header: header_rule(&options.canary),
            cookie: by_cookie.clone(),
            weight: weight.unwrap_or(0),
            total: weight_total.unwrap_or(TOTAL),
            sticky: legacy != Some(true),
        }
    }
}

fn header_rule(options: &CanaryOptions) -> Option<(HeaderName, HeaderRule)> {
    // The parsers have let nothing else through.
    let name = HeaderName::from_bytes(options.by_header.as_ref()?.as_bytes()).ok()?;
    let rule = match (&options.by_header_value, &options.by_header_pattern) {
        (Some(value), _) => HeaderRule::Equals(HeaderValue::from_str(value).ok()?),
        (None, Some(pattern)) => HeaderRule::Matches(Pattern::new(pattern).ok()?),
        (None, None) => HeaderRule::Words,
    };
    Some((name, rule))
}
