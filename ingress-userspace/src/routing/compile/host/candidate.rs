//! One path of one rule, as a candidate for a place in the host's table.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Context, action_of, redirect_of};
use crate::model::{HostPattern, IngressPath, PathKind, Problem, Reason, Rule};
use crate::routing::canary::Canary;
use crate::routing::compile::passwords;
use crate::routing::compile::record::{Record, host_name, kind_name, path_field, path_text};
use crate::routing::compile::tls::HostTls;
use crate::routing::filters::Filters;
use crate::routing::matcher::{PathMatch, PathRule};
use crate::routing::route::Route;
use crate::routing::{Rewrite, Settings, path, pattern};

#[derive(Clone, Copy)]
pub(in crate::routing::compile) struct Candidate<'a> {
    pub(in crate::routing::compile) record: &'a Record,
    pub(in crate::routing::compile) rule: &'a Rule,
    pub(in crate::routing::compile) path: &'a IngressPath,
}

/// A candidate and what became of it: a rule of the host, or why it is none.
pub(in crate::routing::compile) struct Judged<'a> {
    pub(in crate::routing::compile) candidate: Candidate<'a>,
    /// What is matched; `None` when the path as written can match nothing.
    pub(in crate::routing::compile) text: Option<Arc<str>>,
    pub(in crate::routing::compile) outcome: Result<PathRule, Problem>,
}

// === impl Candidate ===

impl Candidate<'_> {
    pub(super) fn way(&self, all_regex: bool, settings: &Settings) -> PathMatch {
        match self.path.kind {
            _ if all_regex => PathMatch::Regex,
            PathKind::Exact => PathMatch::Exact,
            PathKind::Prefix => PathMatch::Prefix,
            PathKind::ImplementationSpecific if settings.is_nginx() => PathMatch::Bytes,
            PathKind::ImplementationSpecific if self.record.wants_regex(self.path) => {
                PathMatch::Regex
            }
            PathKind::ImplementationSpecific => PathMatch::Elements,
        }
    }

    /// The text to match with: in the form that requests have, unless it is a regex that means more
    /// than itself. On a host where every path is read as a regex most are still meant literally,
    /// and no request looks like `/a//b` or `/%7Eu`.
    pub(super) fn text(&self, way: PathMatch) -> Result<Arc<str>, String> {
        let written = path_text(self.path);
        let text = if way == PathMatch::Regex && !self.is_literal() {
            Cow::Borrowed(written)
        } else {
            path::normalise(written)
                .map_err(|why| format!("{written:?} can never be requested: {why}"))?
        };
        if way == PathMatch::Regex {
            pattern::check(&text)
                .map_err(|why| format!("{written:?} is read as a regex, but {why}"))?;
        }
        Ok(text.into())
    }

    /// Whether the path means what it says. A dot does, as far as it is written for itself: alone
    /// between slashes it is a regex in free text, and never there in an Exact or Prefix path.
    fn is_literal(&self) -> bool {
        let text = path_text(self.path);
        let is_free = self.path.kind == PathKind::ImplementationSpecific;
        let lone_dots = || text.split('/').any(|segment| matches!(segment, "." | ".."));
        let is_regex = text.contains(pattern::SPECIAL) || (is_free && lone_dots());
        !is_regex
    }

    pub(super) fn route(
        &self,
        host: &HostPattern,
        tls: &HostTls,
        canary: Option<Canary>,
        context: Context<'_>,
    ) -> Result<Route, String> {
        let Self { record, rule, path } = self;
        let object = &record.order.object;
        let written = path_text(path);
        let rewrite = record.rewrite_of(path).map(|target| Rewrite::new(written, target));
        let (namespace, name) = (&object.namespace, &object.name);
        let id: Arc<str> =
            format!("{namespace}/{name}/rules[{}].paths[{}]", rule.index, path.index).into();
        Ok(Route {
            tally: context.tallies.get(&id),
            id,
            namespace: object.namespace.clone(),
            ingress: object.name.clone(),
            path: written.into(),
            kind: Some(path.kind),
            action: action_of(record, &path.backend, context),
            rewrite: rewrite.transpose().map_err(|why| {
                format!("rewrite-target takes groups of {written:?} read as a regex, but {why}")
            })?,
            https_redirect: redirect_of(record, host, written, tls, context.settings),
            hsts: context.settings.hsts.clone(),
            filters: with_canary(passwords::filters(record, context.secrets), canary),
        })
    }

    pub(super) fn conflict(&self, winner: &Candidate<'_>, host: &HostPattern) -> Problem {
        let why = format!(
            "{} path {:?} of {} belongs to {} {}, which comes first",
            kind_name(self.path.kind),
            path_text(self.path),
            host_name(host),
            winner.record.order.object,
            path_field(winner.rule, winner.path, "path"),
        );
        self.problem("path", Reason::ConflictingPath, &why)
    }

    pub(super) fn problem(&self, field: &str, reason: Reason, why: &str) -> Problem {
        let field = path_field(self.rule, self.path, field);
        self.record.problem(field, reason, format!("{why}; this path is not served"))
    }
}

/// A canary belongs to one rule; the others share the filters of their Ingress.
fn with_canary(shared: Option<Arc<Filters>>, canary: Option<Canary>) -> Option<Arc<Filters>> {
    let Some(canary) = canary else { return shared };
    let filters = shared.map(Arc::unwrap_or_clone).unwrap_or_default();
    Some(Arc::new(Filters { canary: Some(Box::new(canary)), ..filters }))
}
