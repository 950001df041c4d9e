//! One Ingress as the compiler keeps it: what it says for each host, and its place in the order
//! that settles conflicts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{
    Backend, HostPattern, Ingress, IngressPath, ObjectRef, Origin, PathKind, Problem, Reason, Rule,
    RuleId,
};
use crate::routing::filters::Filters;
use crate::routing::route::Moved;

use super::filters::{self, Fault, Made};
use super::passwords;

/// C1: the oldest first, then by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order {
    created: i64,
    pub(super) object: ObjectRef,
}

#[derive(Debug)]
pub(super) struct Record {
    pub(super) order: Order,
    pub(super) ingress: Ingress,
    /// Positions in `ingress.rules`.
    rules: BTreeMap<HostPattern, Vec<usize>>,
    /// Position in `ingress.tls` of the first entry that lists the host literally.
    tls: BTreeMap<HostPattern, usize>,
    /// What its annotations do to requests; shared by all its routes.
    made: Made,
    /// The same, with those who may come in.
    pub(super) admitting: passwords::Admitting,
    /// Where every path leads instead of its backend.
    moved: Option<Moved>,
}

// === impl Order ===

impl Order {
    fn new(ingress: &Ingress) -> Self {
        Self { created: ingress.created.unwrap_or(i64::MAX), object: ingress.object.clone() }
    }
}

// === impl Record ===

impl Record {
    pub(super) fn new(ingress: Ingress, made: Made) -> Self {
        let mut rules: BTreeMap<HostPattern, Vec<usize>> = BTreeMap::new();
        for (at, rule) in ingress.rules.iter().enumerate() {
            rules.entry(rule.host.clone()).or_default().push(at);
        }
        let mut tls = BTreeMap::new();
        for (at, entry) in ingress.tls.iter().enumerate() {
            // T2: no host means the host of the listener, where this Ingress has a part in it.
            let everything = [HostPattern::Any];
            let hosts = match &entry.hosts[..] {
                [] if !ingress.has_rules || rules.contains_key(&HostPattern::Any) => &everything,
                hosts => hosts,
            };
            for host in hosts {
                tls.entry(host.clone()).or_insert(at);
            }
        }
        let moved = filters::moved(&ingress.options);
        let (order, admitting) = (Order::new(&ingress), passwords::Admitting::default());
        Self { order, ingress, rules, tls, made, admitting, moved }
    }

    pub(super) fn filters(&self) -> Option<Arc<Filters>> {
        self.made.filters.clone()
    }

    /// Hosts that have rules or a certificate from here.
    pub(super) fn hosts(&self) -> BTreeSet<&HostPattern> {
        self.rules.keys().chain(self.tls.keys()).collect()
    }

    pub(super) fn has_rules_for(&self, host: &HostPattern) -> bool {
        self.rules.contains_key(host)
    }

    pub(super) fn rules_for(&self, host: &HostPattern) -> impl Iterator<Item = &Rule> {
        self.rules.get(host).into_iter().flatten().map(|&at| &self.ingress.rules[at])
    }

    /// Position in `ingress.tls` of the entry that lists `host` literally.
    pub(super) fn tls_entry(&self, host: &HostPattern) -> Option<usize> {
        self.tls.get(host).copied()
    }

    /// C6: a default backend and no rules, not even refused ones.
    pub(super) fn is_catch_all(&self) -> bool {
        !self.ingress.has_rules && self.ingress.default_backend.is_some()
    }

    /// Whether everything but single rules is as in `other`.
    pub(super) fn is_same_but_for_rules(&self, other: &Self) -> bool {
        let (a, b) = (&self.ingress, &other.ingress);
        self.order == other.order
            && a.default_backend == b.default_backend
            && a.tls == b.tls
            && a.options == b.options
            && self.made == other.made
    }

    /// With [`Self::is_same_but_for_rules`]: whether `host` compiles to the same.
    pub(super) fn is_same_for(&self, other: &Self, host: &HostPattern) -> bool {
        self.rules_for(host).eq(other.rules_for(host))
            && self.tls.contains_key(host) == other.tls.contains_key(host)
    }

    /// Each backend with its field.
    pub(super) fn backends(&self) -> impl Iterator<Item = (String, &Backend)> {
        let default = self.ingress.default_backend.iter();
        let default = default.map(|backend| ("spec.defaultBackend".to_owned(), backend));
        let paths = self.ingress.rules.iter().flat_map(|rule| {
            rule.paths.iter().map(move |path| (path_field(rule, path, "backend"), &path.backend))
        });
        default.chain(paths)
    }

    /// ingress-nginx's condition for regex mode: `use-regex`, or a rewrite that does something.
    pub(super) fn wants_regex(&self, path: &IngressPath) -> bool {
        self.ingress.options.rewrite.use_regex || self.rewrite_of(path).is_some()
    }

    /// The rewrite target, unless it is the path itself and so has no effect.
    pub(super) fn rewrite_of(&self, path: &IngressPath) -> Option<&Arc<str>> {
        self.ingress.options.rewrite.target.as_ref().filter(|target| ***target != *path_text(path))
    }

    /// Its paths join those of other Ingresses.
    pub(super) fn is_canary(&self) -> bool {
        self.ingress.options.canary.enabled
    }

    pub(super) fn moved(&self) -> Option<Moved> {
        self.moved.clone()
    }

    /// C13: something that an access rule refers to is missing.
    pub(super) fn is_closed(&self) -> bool {
        self.made.fault.is_some()
    }

    /// C13: all of it answers 503, because an access rule cannot be read or lacks something.
    pub(super) fn is_refused(&self) -> bool {
        let mut paths = self.ingress.rules.iter().flat_map(|rule| &rule.paths);
        self.is_closed() || paths.any(|path| path.backend == Backend::Closed)
    }

    pub(super) fn fault(&self) -> Option<Problem> {
        let Fault { key, reason, message } = self.made.fault.as_ref()?;
        let message = format!("{message}; the paths answer 503");
        let field = format!("metadata.annotations[{key}]");
        Some(self.problem(field, *reason, message).by(RuleId::C13))
    }

    /// D19.
    pub(super) fn unread(&self) -> Option<Problem> {
        let message = self.ingress.unread.as_deref()?;
        let field = "metadata.annotations".to_owned();
        let problem = self.problem(field, Reason::UnsupportedAnnotation, message.to_owned());
        Some(problem.by(RuleId::D19))
    }

    /// The origin is filled in where problems are listed.
    pub(super) fn problem(&self, field: String, reason: Reason, message: String) -> Problem {
        let object = Some(self.order.object.clone());
        let rule = reason.rule();
        Problem { object, origin: Origin::Cluster, field, reason, rule, message }
    }
}

/// P6: the empty path is `/`.
pub(super) fn path_text(path: &IngressPath) -> &str {
    if path.path.is_empty() { "/" } else { &path.path }
}

/// `spec.rules[i].http.paths[j].<last>`.
pub(super) fn path_field(rule: &Rule, path: &IngressPath, last: &str) -> String {
    format!("spec.rules[{}].http.paths[{}].{last}", rule.index, path.index)
}

pub(super) fn kind_name(kind: PathKind) -> &'static str {
    match kind {
        PathKind::Exact => "Exact",
        PathKind::Prefix => "Prefix",
        PathKind::ImplementationSpecific => "ImplementationSpecific",
    }
}

pub(super) fn host_name(host: &HostPattern) -> String {
    match host {
        HostPattern::Any => "every host".to_owned(),
        HostPattern::Exact(name) => format!("host {name}"),
        HostPattern::Wildcard(parent) => format!("host *.{parent}"),
    }
}
