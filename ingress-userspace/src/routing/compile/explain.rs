//! Why a request goes where it goes: the compiler's own steps, run again for one host with their
//! reasons kept.
//!
//! The winner is what the snapshot's matcher says. The rest is compared with it.

use std::collections::BTreeSet;

use crate::model::{Backend, HostPattern, ObjectRef, Origin, PathKind, PortRef, Problem, RuleId};
use crate::routing::explain::{
    Candidate, Explanation, HostAnswer, Outcome, Question, StrictSni, canary, steps,
};
use crate::routing::matcher::{Matcher, PathMatch, PathRule};
use crate::routing::route::{Action, Redirect, Route};
use crate::routing::snapshot::RequestHost;
use crate::routing::tallies::Tallies;
use crate::routing::{host as hosts, path as paths};

use super::Compiler;
use super::host::{self, Judged};
use super::record::{Record, kind_name, path_field, path_text};
use super::tls;

mod certificate;
mod cluster;

/// Paths that do not match and are listed all the same.
const LISTED: usize = 20;

/// The rules of one host pattern, on which a candidate competes.
struct Field<'a> {
    pattern: &'a HostPattern,
    /// A pattern before this one that has rules.
    more_precise: Option<&'a HostPattern>,
    /// Those that match the path.
    matching: Vec<&'a PathRule>,
    winner: Option<&'a PathRule>,
}

/// What is asked for, in the forms that are compared.
struct Asked<'a> {
    question: &'a Question,
    host: RequestHost<'a>,
    path: &'a str,
    route: Option<&'a Route>,
}

// === impl Compiler ===

impl Compiler {
    /// What the present snapshot does with a request, and why. `strict_sni`: `tls.strict_sni`.
    pub fn explain(&self, question: &Question, strict_sni: bool) -> Explanation {
        let mut answer = self.explain_routing(question);
        if question.https {
            let strict = if strict_sni { self.strict_sni(&answer) } else { StrictSni::Off };
            answer.strict_sni = Some(strict);
            // Both come before everything else that is said of the request.
            match strict {
                StrictSni::Off | StrictSni::Served => {}
                StrictSni::Unknown => {
                    let reason = "no `tls` entry names the server name (T5)".to_owned();
                    answer.outcome = Outcome::NoHandshake { reason };
                }
                StrictSni::Misdirected => {
                    let reason = "the host goes with another certificate (T6)".to_owned();
                    answer.outcome = Outcome::Answer { status: 421, reason };
                }
            }
        }
        answer
    }

    fn explain_routing(&self, question: &Question) -> Explanation {
        let mut answer = Explanation { question: question.clone(), ..Explanation::default() };
        answer.certificate = question.https.then(|| self.certificate(question));
        let mut buffer = String::new();
        let host = match question.host.as_deref() {
            None => Ok(RequestHost::Absent),
            Some(raw) => hosts::normalise(raw, &mut buffer),
        };
        let path = match question.path() {
            "*" if question.method == "OPTIONS" => Ok("".into()),
            raw => paths::normalise(raw),
        };
        let (host, path) = match (host, path) {
            (Ok(host), Ok(path)) => (host, path),
            (Err(why), _) => return refused(answer, &why.to_string()),
            (_, Err(why)) => return refused(answer, &why.to_string()),
        };
        answer.host = match host {
            RequestHost::Name(name) => Some(name.to_owned()),
            RequestHost::Ip(address) => Some(address.to_string()),
            RequestHost::Absent => None,
        };
        answer.path = Some(path.clone().into_owned());
        let route = self.snapshot.route(host, &path).map(|route| &**route);
        let asked = Asked { question, host, path: &path, route };
        self.candidates(&asked, &mut answer);
        match route {
            None => {
                let reason = "no rule takes the request and there is no default (C8)";
                answer.outcome = Outcome::Answer { status: 404, reason: reason.to_owned() };
            }
            Some(route) => self.follow(route, &asked, &mut answer),
        }
        answer
    }

    /// All paths and defaults that could have been meant.
    fn candidates(&self, asked: &Asked<'_>, answer: &mut Explanation) {
        let mut losers = Vec::new();
        let mut chosen: Option<HostPattern> = None;
        for pattern in patterns(asked.host) {
            // An alias is judged by the rules that it stands for.
            let pattern = self.aliases.stands_for(&pattern).cloned().unwrap_or(pattern);
            let members = self.members(&pattern);
            let having = members.iter().filter(|record| record.has_rules_for(&pattern)).count();
            answer.hosts.push(host_answer(&pattern, having, chosen.as_ref()));
            let more_precise = chosen.clone();
            if having > 0 && chosen.is_none() {
                chosen = Some(pattern.clone());
            }
            let tallies = Tallies::default();
            let context = self.context(&tallies);
            let mut unheard = Vec::new();
            let tls = tls::associate(&pattern, &members, &self.secrets, self.now, &mut unheard);
            let all = host::judge(&pattern, &members, &tls, context);
            let matching: Vec<&PathRule> = all
                .iter()
                .filter_map(|judged| judged.outcome.as_ref().ok())
                .filter(|rule| Matcher::new(vec![(*rule).clone()]).find(asked.path).is_some())
                .collect();
            let winner = matching.iter().copied().find(|rule| {
                more_precise.is_none() && asked.route.is_some_and(|r| r.id == rule.route.id)
            });
            let field =
                Field { pattern: &pattern, more_precise: more_precise.as_ref(), matching, winner };
            for judged in &all {
                let candidate = self.judged(judged, &field);
                match &judged.outcome {
                    Ok(rule) if winner.is_some_and(|winner| winner.route.id == rule.route.id) => {
                        answer.winner = Some(candidate);
                    }
                    Ok(_) | Err(_) => losers.push(candidate),
                }
            }
            self.defaults(&pattern, &members, more_precise.as_ref(), asked, answer, &mut losers);
        }
        self.fallbacks(asked, answer, &mut losers);
        self.foreign(asked, &mut losers);
        losers.sort_by_key(|candidate| !candidate.matches_path);
        let matching = losers.iter().filter(|candidate| candidate.matches_path).count();
        answer.unlisted = losers.len().saturating_sub(matching + LISTED);
        losers.truncate(matching + LISTED);
        answer.losers = losers;
    }

    fn judged(&self, judged: &Judged<'_>, field: &Field<'_>) -> Candidate {
        let host::Candidate { record, rule, path } = judged.candidate;
        let at = path_field(rule, path, "path");
        let at = at.trim_end_matches(".path");
        let (written, kind) = (path_text(path), Some(path.kind));
        let mut candidate = self.candidate(record, at, field.pattern, written, kind, &path.backend);
        candidate.matches_path =
            field.matching.iter().any(|rule| judged.text.as_ref() == Some(&rule.text));
        let rule = match &judged.outcome {
            Ok(rule) => rule,
            Err(problem) => {
                lose(&mut candidate, problem.rule, &problem.message);
                return candidate;
            }
        };
        candidate.matches_path = field.matching.iter().any(|other| other.route.id == rule.route.id);
        if let Some(chosen) = field.more_precise {
            let why = format!("{} comes before it", told(chosen));
            lose(&mut candidate, Some(RuleId::H4), &why);
        } else if field.winner.is_some_and(|winner| winner.route.id == rule.route.id) {
            won(&mut candidate, rule.way);
        } else if let Some(winner) = field.winner.filter(|_| candidate.matches_path) {
            lose(&mut candidate, Some(RuleId::PathOrder), &why_lost(rule, winner));
        } else if candidate.matches_path {
            lose(&mut candidate, Some(RuleId::C4), "the app-root of the host takes it");
        } else {
            let by = match rule.way {
                PathMatch::Exact => RuleId::P2,
                PathMatch::Prefix => RuleId::P3,
                PathMatch::Elements | PathMatch::Bytes => RuleId::P5,
                PathMatch::Regex => RuleId::D5,
            };
            lose(&mut candidate, Some(by), "it does not match the path");
        }
        candidate
    }

    /// Defaults of the host.
    fn defaults(
        &self,
        pattern: &HostPattern,
        members: &[&Record],
        more_precise: Option<&HostPattern>,
        asked: &Asked<'_>,
        answer: &mut Explanation,
        losers: &mut Vec<Candidate>,
    ) {
        let mut first: Option<&ObjectRef> = None;
        for record in members.iter().filter(|record| record.has_rules_for(pattern)) {
            let Some(backend) = &record.ingress.default_backend else { continue };
            let mut candidate =
                self.candidate(record, "spec.defaultBackend", pattern, "", None, backend);
            candidate.matches_path = true;
            let object = &record.order.object;
            match (more_precise, first) {
                (Some(chosen), _) => {
                    let why = format!("{} comes before it", told(chosen));
                    lose(&mut candidate, Some(RuleId::H4), &why);
                }
                (None, Some(first)) => {
                    let why =
                        format!("the default of the host is that of {first}, which comes first");
                    lose(&mut candidate, Some(RuleId::C7), &why);
                }
                (None, None) if is_default(asked.route, object) && answer.winner.is_none() => {
                    candidate.rule = RuleId::C5.to_string();
                    "no path of the host takes the request".clone_into(&mut candidate.why);
                    answer.winner = Some(candidate);
                    first = Some(object);
                    continue;
                }
                (None, None) => {
                    lose(&mut candidate, Some(RuleId::C5), "a path of the host takes the request");
                }
            }
            first = first.or(Some(object));
            losers.push(candidate);
        }
    }

    /// Defaults of the listener.
    fn fallbacks(&self, asked: &Asked<'_>, answer: &mut Explanation, losers: &mut Vec<Candidate>) {
        let mut first: Option<&ObjectRef> = None;
        for record in self.catch_alls.values() {
            let Some(backend) = &record.ingress.default_backend else { continue };
            let any = HostPattern::Any;
            let mut candidate =
                self.candidate(record, "spec.defaultBackend", &any, "", None, backend);
            candidate.matches_path = true;
            let object = &record.order.object;
            if let Some(first) = first {
                let why =
                    format!("the default of the listener is that of {first}, which comes first");
                lose(&mut candidate, Some(RuleId::C6), &why);
            } else if is_default(asked.route, object) && answer.winner.is_none() {
                candidate.rule = RuleId::C6.to_string();
                "no rule takes the request; this is the default of the listener"
                    .clone_into(&mut candidate.why);
                answer.winner = Some(candidate);
                first = Some(object);
                continue;
            } else {
                lose(&mut candidate, Some(RuleId::C6), "a rule takes the request");
            }
            first = first.or(Some(object));
            losers.push(candidate);
        }
    }

    /// Ingresses that would take part if they were ours.
    fn foreign(&self, asked: &Asked<'_>, losers: &mut Vec<Candidate>) {
        let wanted = patterns(asked.host);
        let mut found = BTreeSet::new();
        for known in self.ingresses.values().filter(|known| !known.served) {
            let hosts = known.record.hosts();
            if wanted.iter().any(|pattern| hosts.contains(pattern)) {
                found.insert(&known.record.order);
            }
        }
        for order in found {
            let record = &self.ingresses[&order.object].record;
            let why = self.classes.why_not(&record.ingress, &self.settings);
            let Some((by, why)) = why else { continue };
            for pattern in &wanted {
                for rule in record.rules_for(pattern) {
                    for path in &rule.paths {
                        let field = path_field(rule, path, "path");
                        let field = field.trim_end_matches(".path");
                        let (text, kind) = (path_text(path), Some(path.kind));
                        let mut candidate =
                            self.candidate(record, field, pattern, text, kind, &path.backend);
                        lose(&mut candidate, Some(by), &format!("not ours: {why}"));
                        losers.push(candidate);
                    }
                }
            }
        }
    }

    /// What the winner does.
    fn follow(&self, route: &Route, asked: &Asked<'_>, answer: &mut Explanation) {
        answer.steps = steps(route, asked.path, asked.question);
        let other = route.filters.as_deref().and_then(|filters| filters.canary.as_deref());
        let mut action = &route.action;
        if let (Action::Forward(_), Some(other)) = (action, other) {
            answer.canary = canary(route, asked.question, &self.snapshot);
            if answer.canary.as_ref().is_some_and(|answer| answer.taken == Some(true)) {
                action = &other.action;
            }
        }
        let (cluster, action) = match action {
            Action::Refuse { status, reason } => {
                (None, Outcome::Answer { status: *status, reason: reason.to_string() })
            }
            Action::Redirect(moved) => {
                (None, Outcome::Moved { status: moved.status, to: moved.to.to_string() })
            }
            Action::Forward(id) => cluster::answer(self, *id),
        };
        answer.cluster = cluster;
        let is_moved = matches!(action, Outcome::Moved { .. });
        answer.outcome = match route.https_redirect {
            Some(Redirect { status, drop_trailing_slash, forced })
                if !asked.question.https && !is_moved =>
            {
                Outcome::Redirect { status, drop_trailing_slash, forced }
            }
            Some(_) | None => action,
        };
        let is_about = |problem: &&Problem| {
            problem.object.as_ref().is_some_and(|object| {
                object.namespace == route.namespace && object.name == route.ingress
            })
        };
        let problems = self.problems();
        answer.problems = problems.iter().filter(is_about).map(ToString::to_string).collect();
    }

    fn candidate(
        &self,
        record: &Record,
        field: &str,
        pattern: &HostPattern,
        path: &str,
        kind: Option<PathKind>,
        backend: &Backend,
    ) -> Candidate {
        let object = &record.order.object;
        let (file, line) = match self.origins.get(object) {
            Some(Origin::File { path, line }) => (Some(path.display().to_string()), Some(*line)),
            Some(Origin::Cluster | Origin::Configuration) | None => (None, None),
        };
        Candidate {
            namespace: object.namespace.to_string(),
            ingress: object.name.to_string(),
            file,
            line: line.filter(|line| *line != 0),
            field: field.to_owned(),
            host: text(pattern),
            path: path.to_owned(),
            path_type: kind.map(|kind| kind_name(kind).to_owned()),
            backend: match backend {
                Backend::Service { name, port: PortRef::Name(port) } => format!("{name}:{port}"),
                Backend::Service { name, port: PortRef::Number(port) } => format!("{name}:{port}"),
                Backend::Resource { kind, name } => format!("{kind} {name}"),
                Backend::Closed => "closed".to_owned(),
            },
            matches_path: false,
            rule: String::new(),
            why: String::new(),
        }
    }
}

/// The patterns that a host may be meant by, the most precise first.
fn patterns(host: RequestHost<'_>) -> Vec<HostPattern> {
    let RequestHost::Name(name) = host else { return vec![HostPattern::Any] };
    let wildcard = name.split_once('.').map(|(_, parent)| HostPattern::Wildcard(parent.into()));
    let exact = HostPattern::Exact(name.into());
    std::iter::once(exact).chain(wildcard).chain([HostPattern::Any]).collect()
}

fn host_answer(
    pattern: &HostPattern,
    ingresses: usize,
    chosen: Option<&HostPattern>,
) -> HostAnswer {
    let (rule, why) = match chosen {
        _ if ingresses == 0 => (RuleId::H5, "nobody has rules for it".to_owned()),
        Some(chosen) => {
            let why = format!("{} has rules, so these are not looked at", told(chosen));
            (RuleId::H4, why)
        }
        None => (RuleId::H5, "the most precise that has rules".to_owned()),
    };
    HostAnswer {
        pattern: text(pattern),
        ingresses,
        chosen: ingresses > 0 && chosen.is_none(),
        rule: rule.to_string(),
        why,
    }
}

fn refused(mut answer: Explanation, why: &str) -> Explanation {
    answer.outcome = Outcome::Answer { status: 400, reason: why.to_owned() };
    answer
}

fn won(candidate: &mut Candidate, way: PathMatch) {
    let (rule, why) = match way {
        PathMatch::Exact => (RuleId::P2, "equal to the path"),
        PathMatch::Prefix => (RuleId::P3, "the longest that matches"),
        PathMatch::Elements | PathMatch::Bytes => (RuleId::P5, "the longest that matches"),
        PathMatch::Regex => (RuleId::D5, "the longest regex that matches"),
    };
    candidate.rule = rule.to_string();
    why.clone_into(&mut candidate.why);
}

fn lose(candidate: &mut Candidate, rule: Option<RuleId>, why: &str) {
    candidate.rule = rule.map(|rule| rule.to_string()).unwrap_or_default();
    why.clone_into(&mut candidate.why);
}

/// Why a rule of the chosen host that matches is not the winner.
fn why_lost(rule: &PathRule, winner: &PathRule) -> String {
    let text = &winner.route.path;
    if winner.way == PathMatch::Exact {
        format!("the Exact path {text:?} comes before it")
    } else if winner.text.len() > rule.text.len() {
        format!("{text:?} is longer")
    } else if winner.way == PathMatch::Regex && rule.way == PathMatch::Regex {
        format!("{text:?} is as long, and comes first in reverse alphabetical order")
    } else {
        format!("{text:?} is as long, and its type comes first")
    }
}

fn is_default(route: Option<&Route>, object: &ObjectRef) -> bool {
    route.is_some_and(|route| {
        route.namespace == object.namespace
            && route.ingress == object.name
            && route.id.ends_with("/default")
    })
}

fn text(pattern: &HostPattern) -> String {
    match pattern {
        HostPattern::Any => String::new(),
        HostPattern::Exact(name) => name.to_string(),
        HostPattern::Wildcard(parent) => format!("*.{parent}"),
    }
}

fn told(pattern: &HostPattern) -> String {
    super::record::host_name(pattern)
}

#[cfg(test)]
mod tests;
