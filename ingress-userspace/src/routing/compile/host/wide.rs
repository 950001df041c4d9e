//! What one Ingress says about a whole host (A1, C4).
//!
//! Only the namespace of the first Ingress with rules for the host has a say (D8): what others add
//! to the host holds for their own paths.

use std::sync::Arc;

use super::Context;
use crate::model::{HostPattern, PathKind, Problem, Reason, RuleId};
use crate::routing::compile::record::{Record, host_name};
use crate::routing::matcher::{PathMatch, PathRule};
use crate::routing::route::{Action, Moved, MovedTo, Route};

/// C13: whether an access rule of one Ingress closes the whole host, to the others' surprise.
pub(super) fn shutting(
    host: &HostPattern,
    members: &[&Record],
    problems: &mut Vec<Problem>,
) -> bool {
    let closes = |record: &Record| record.ingress.options.closes_hosts;
    let owner = owner(host, members);
    let mut serving = members.iter().filter(|record| record.has_rules_for(host));
    let first = serving.clone().find(|r| closes(r) && owner == Some(&r.order.object.namespace));
    let Some(first) = first else { return false };
    for record in serving.by_ref().filter(|record| !closes(record)) {
        let problem = record.problem(
            "spec.rules".to_owned(),
            Reason::ConflictingHost,
            format!(
                "{} restricts access to all of {} in a way that cannot be enforced; the paths \
                 answer 503 there",
                first.order.object,
                host_name(host)
            ),
        );
        problems.push(problem.by(RuleId::C13));
    }
    true
}

/// `app-root` takes `/` of the host, whoever has a rule for it.
pub(super) fn app_root(
    host: &HostPattern,
    members: &[&Record],
    rules: &mut Vec<PathRule>,
    context: Context<'_>,
    problems: &mut Vec<Problem>,
) {
    let serves = |r: &&&Record| r.has_rules_for(host) && !r.is_canary() && !r.is_refused();
    let having = members
        .iter()
        .filter(serves)
        .filter_map(|&record| Some((record, record.ingress.options.redirects.app_root.as_ref()?)));
    let Some(owner) = owner(host, members) else { return };
    let is_owned = |record: &Record| record.order.object.namespace == *owner;
    let Some((winner, root)) = having.clone().find(|(record, _)| is_owned(record)) else {
        problems.extend(having.map(|(record, _)| {
            let whose = format!("{} belongs to namespace {owner}", host_name(host));
            ignored(record, &whose)
        }));
        return;
    };
    for (record, _) in having.filter(|(_, other)| *other != root) {
        let whose =
            format!("the app-root of {} is that of {}", host_name(host), winner.order.object);
        problems.push(ignored(record, &whose));
    }
    if context.shut {
        return;
    }
    let object = &winner.order.object;
    let id: Arc<str> = format!("{}/{}/app-root", object.namespace, object.name).into();
    rules.retain(|rule| (&*rule.text, rule.way) != ("/", PathMatch::Exact));
    rules.push(PathRule {
        text: "/".into(),
        way: PathMatch::Exact,
        route: Arc::new(Route {
            tally: context.tallies.get(&id),
            id,
            namespace: object.namespace.clone(),
            ingress: object.name.clone(),
            path: "/".into(),
            kind: Some(PathKind::Exact),
            action: Action::Redirect(Moved { status: 302, to: MovedTo::Path(root.clone()) }),
            rewrite: None,
            https_redirect: None,
            hsts: context.settings.hsts.clone(),
            filters: winner.filters(),
        }),
    });
}

/// The namespace that was there first.
fn owner<'a>(host: &HostPattern, members: &[&'a Record]) -> Option<&'a Arc<str>> {
    let mut serving = members.iter().filter(|r| r.has_rules_for(host) && !r.is_canary());
    serving.next().map(|record| &record.order.object.namespace)
}

fn ignored(record: &Record, whose: &str) -> Problem {
    let field = "metadata.annotations".to_owned();
    let why = format!("{whose}, which comes first; the app-root here is ignored");
    record.problem(field, Reason::ConflictingHost, why).by(RuleId::C4)
}
