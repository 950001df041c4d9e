//! One host: the rules of all its Ingresses become its routes and its certificate.
//!
//! Conflicts are settled here (C1, C2, C4, C5, C7); a path that cannot be served is lost alone
//! and becomes a problem (C13).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Backend, HostPattern, PathKind, Problem, Reason, RuleId};
use crate::routing::Settings;
use crate::routing::matcher::{PathMatch, PathRule};
use crate::routing::route::{Action, Redirect, Refusal, Route};
use crate::routing::snapshot::{HostCertificate, HostRoutes};
use crate::routing::tallies::Tallies;

use super::clusters::{ClusterKey, Clusters};
use super::passwords;
use super::record::{Record, host_name, path_text};
use super::secrets::{SecretKey, Secrets};
use super::tls::{self, HostTls};

pub(super) mod canary;
mod candidate;
mod wide;

use canary::Canaries;
pub(super) use candidate::{Candidate, Judged};

/// What the compiler knows besides the host.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) settings: &'a Settings,
    pub(super) clusters: &'a Clusters,
    pub(super) secrets: &'a Secrets,
    pub(super) now: i64,
    /// Every path of the host is closed.
    pub(super) shut: bool,
    /// Of the host's routes before.
    pub(super) tallies: &'a Tallies<'a>,
}

#[derive(Debug, Default)]
pub(super) struct CompiledHost {
    /// `None`: no rule names the host.
    pub(super) routes: Option<HostRoutes>,
    pub(super) certificate: Option<HostCertificate>,
    pub(super) secrets: Vec<SecretKey>,
    pub(super) problems: Vec<Problem>,
}

/// `members`: all Ingresses that name the host, in C1 order.
pub(super) fn compile(
    host: &HostPattern,
    members: &[&Record],
    context: Context<'_>,
) -> CompiledHost {
    let mut problems = Vec::new();
    let tls = tls::associate(host, members, context.secrets, context.now, &mut problems);
    let context = Context { shut: wide::shutting(host, members, &mut problems), ..context };
    let serves = |record: &&Record| record.has_rules_for(host) && !record.is_canary();
    let routes = members.iter().any(serves).then(|| {
        let mut rules = path_rules(host, members, &tls, context, &mut problems);
        wide::app_root(host, members, &mut rules, context, &mut problems);
        let default = default_route(host, members, &tls, context, &mut problems);
        HostRoutes::new(host.clone(), rules, default)
    });
    let HostTls { certificate, mut secrets, .. } = tls;
    for record in members.iter().filter(|record| record.has_rules_for(host)) {
        secrets.extend(passwords::secret_of(record));
        problems.extend(passwords::problem(record, &host_name(host), context.secrets));
    }
    CompiledHost { routes, certificate, secrets, problems }
}

/// C6: the route of an Ingress without rules. It belongs to no host, so only what is forced is
/// redirected.
pub(super) fn catch_all(record: &Record, context: Context<'_>) -> Option<Arc<Route>> {
    let backend = record.ingress.default_backend.as_ref()?;
    let redirect =
        redirect_of(record, &HostPattern::Any, "", &HostTls::default(), context.settings);
    Some(default_of(record, backend, redirect, context))
}

fn path_rules(
    host: &HostPattern,
    members: &[&Record],
    tls: &HostTls,
    context: Context<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<PathRule> {
    let mut rules = Vec::new();
    for judged in judge(host, members, tls, context) {
        match judged.outcome {
            Ok(rule) => rules.push(rule),
            Err(problem) => problems.push(problem),
        }
    }
    rules
}

/// Every path that names the host, in the order in which conflicts are settled.
pub(super) fn judge<'a>(
    host: &HostPattern,
    members: &[&'a Record],
    tls: &HostTls,
    context: Context<'_>,
) -> Vec<Judged<'a>> {
    let mut candidates: Vec<Candidate<'a>> = Vec::new();
    for &record in members {
        for rule in record.rules_for(host) {
            candidates.extend(rule.paths.iter().map(|path| Candidate { record, rule, path }));
        }
    }
    // Equal texts of several kinds meet on a regex host only; there the order of kinds holds too.
    candidates.sort_by_key(|candidate| candidate.path.kind);
    let all_regex = context.settings.is_nginx() && wants_regex_host(host, members, &candidates);
    let mut canaries = Canaries::take_from(&mut candidates, all_regex, context.settings);

    let mut winners: BTreeMap<(PathKind, Arc<str>), Candidate<'_>> = BTreeMap::new();
    let mut judge_one = |candidate: Candidate<'a>| {
        let way = candidate.way(all_regex, context.settings);
        let text = match candidate.text(way) {
            Ok(text) => text,
            Err(why) => {
                let rule = if way == PathMatch::Regex { RuleId::D5 } else { RuleId::D7 };
                let problem = candidate.problem("path", Reason::InvalidObject, &why).by(rule);
                return Judged { candidate, text: None, outcome: Err(problem) };
            }
        };
        // A regex and a literal path conflict as they are written, two literal paths as they are
        // requested.
        let written = (candidate.path.kind, Arc::from(path_text(candidate.path)));
        let key = (candidate.path.kind, text.clone());
        let outcome = match winners.get(&key).or_else(|| winners.get(&written)) {
            Some(winner) => Err(candidate.conflict(winner, host)),
            None => {
                let canary = canaries.join(&key, &candidate, context);
                winners.insert(key, candidate);
                winners.insert(written, candidate);
                let route = candidate.route(host, tls, canary, context).map(Arc::new);
                route
                    .map(|route| PathRule { text: text.clone(), way, route })
                    .map_err(|why| candidate.problem("path", Reason::InvalidAnnotation, &why))
            }
        };
        Judged { candidate, text: Some(text), outcome }
    };
    let mut judged: Vec<Judged<'a>> = candidates.into_iter().map(&mut judge_one).collect();
    judged.extend(canaries.left(&winners));
    judged
}

/// 2.3: one Ingress turns all paths of the host, of every Ingress and kind, into regexes.
fn wants_regex_host(host: &HostPattern, members: &[&Record], candidates: &[Candidate<'_>]) -> bool {
    let uses_regex =
        |record: &&Record| record.ingress.options.rewrite.use_regex && record.has_rules_for(host);
    let mains = || members.iter().filter(|record| !record.is_canary());
    let mut candidates = candidates.iter().filter(|candidate| !candidate.record.is_canary());
    mains().any(uses_regex)
        || candidates.any(|candidate| candidate.record.wants_regex(candidate.path))
}

/// C5, C7, H9: the default backend of the first Ingress with rules for the host that has one.
fn default_route(
    host: &HostPattern,
    members: &[&Record],
    tls: &HostTls,
    context: Context<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Arc<Route>> {
    let mut having = members
        .iter()
        .filter(|record| record.has_rules_for(host) && !record.is_canary())
        .filter_map(|&record| Some((record, record.ingress.default_backend.as_ref()?)));
    let (winner, backend) = having.next()?;
    let is_same = |record: &Record, other: &Backend| {
        other == backend && record.order.object.namespace == winner.order.object.namespace
    };
    for (record, _) in having.filter(|(record, other)| !is_same(record, other)) {
        let problem = record.problem(
            "spec.defaultBackend".to_owned(),
            Reason::ConflictingHost,
            format!(
                "the default of {} is that of {}, which comes first; this one is ignored there",
                host_name(host),
                winner.order.object
            ),
        );
        problems.push(problem.by(RuleId::C7));
    }
    let redirect = redirect_of(winner, host, "", tls, context.settings);
    Some(default_of(winner, backend, redirect, context))
}

fn default_of(
    record: &Record,
    backend: &Backend,
    https_redirect: Option<Redirect>,
    context: Context<'_>,
) -> Arc<Route> {
    let object = &record.order.object;
    let id: Arc<str> = format!("{}/{}/default", object.namespace, object.name).into();
    Arc::new(Route {
        tally: context.tallies.get(&id),
        id,
        namespace: object.namespace.clone(),
        ingress: object.name.clone(),
        path: "".into(),
        kind: None,
        action: action_of(record, backend, context),
        rewrite: None,
        https_redirect,
        hsts: context.settings.hsts.clone(),
        filters: passwords::filters(record, context.secrets),
    })
}

fn action_of(record: &Record, backend: &Backend, context: Context<'_>) -> Action {
    if context.shut {
        return Action::Refuse { status: 503, reason: Refusal::HostRule };
    }
    if record.is_closed() {
        return Action::Refuse { status: 503, reason: Refusal::MissingReference };
    }
    match (backend, record.moved()) {
        (Backend::Closed, _) | (_, None) => {}
        (_, Some(moved)) => return Action::Redirect(moved),
    }
    match backend {
        Backend::Service { .. } => {
            cluster_key(record, backend).and_then(|key| context.clusters.id(&key)).map_or(
                Action::Refuse { status: 503, reason: Refusal::UnknownCluster },
                Action::Forward,
            )
        }
        Backend::Resource { .. } => {
            Action::Refuse { status: 503, reason: Refusal::ResourceBackend }
        }
        Backend::Closed => Action::Refuse { status: 503, reason: Refusal::PathRule },
    }
}

/// C11: Services are those of the Ingress's namespace.
pub(super) fn cluster_key(record: &Record, backend: &Backend) -> Option<ClusterKey> {
    match backend {
        Backend::Service { name, port } => Some(ClusterKey {
            service: (record.order.object.namespace.clone(), name.clone()),
            port: port.clone(),
            protocol: record.ingress.options.upstream.protocol,
        }),
        Backend::Resource { .. } | Backend::Closed => None,
    }
}

/// T11, T12. Not for the rules without host: a certificate is known for no name there.
fn redirect_of(
    record: &Record,
    host: &HostPattern,
    path: &str,
    tls: &HostTls,
    settings: &Settings,
) -> Option<Redirect> {
    let options = &record.ingress.options.redirects;
    let wanted = options.ssl.unwrap_or(settings.https_redirect);
    let has_tls = tls.is_usable && *host != HostPattern::Any;
    let forced = options.force_ssl == Some(true);
    let is_acme = path.starts_with("/.well-known/acme-challenge");
    let keeps_slash = options.preserve_trailing_slash.unwrap_or_else(|| !settings.is_nginx());
    ((wanted && has_tls || forced) && !is_acme).then_some(Redirect {
        status: 308,
        drop_trailing_slash: !keeps_slash,
        forced: !(wanted && has_tls),
    })
}
