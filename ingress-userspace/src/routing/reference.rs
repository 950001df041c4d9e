//! The slow, obvious matcher: from model values straight by the text of the rules, for tests.
//!
//! It shares no code with the compiler or the matcher and looks at every path of every Ingress.
//! All Ingresses are taken as served; paths are expected in the form of requests.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use regex::Regex;

use crate::model::{HostPattern, Ingress, IngressPath, PathKind};

use super::snapshot::RequestHost;

/// The [`id`](super::Route::id) of the winning route.
pub fn winner(
    ingresses: &[&Ingress],
    nginx: bool,
    host: RequestHost<'_>,
    path: &str,
) -> Option<String> {
    // C1
    let mut ordered = ingresses.to_vec();
    ordered.sort_by_key(|ingress| (ingress.created.unwrap_or(i64::MAX), ingress.object.clone()));

    // H4, H5: the host first.
    let has_rules = |ingress: &Ingress, pattern: &HostPattern| {
        ingress.rules.iter().any(|rule| rule.host == *pattern)
    };
    let chosen = patterns_of(host)
        .into_iter()
        .find(|pattern| ordered.iter().any(|ingress| has_rules(ingress, pattern)));

    if let Some(chosen) = chosen {
        if let Some(id) = path_winner(&ordered, &chosen, nginx, path) {
            return Some(id);
        }
        // C5, C7, H9
        let default = ordered
            .iter()
            .find(|ingress| has_rules(ingress, &chosen) && ingress.default_backend.is_some());
        if let Some(ingress) = default {
            return Some(default_id(ingress));
        }
    }
    // C6
    ordered
        .iter()
        .find(|ingress| !ingress.has_rules && ingress.default_backend.is_some())
        .map(|ingress| default_id(ingress))
}

/// The patterns that take a host, the narrowest first (H2, H3, H8).
fn patterns_of(host: RequestHost<'_>) -> Vec<HostPattern> {
    let mut patterns = Vec::new();
    if let RequestHost::Name(name) = host {
        patterns.push(HostPattern::Exact(name.into()));
        if let Some((_, parent)) = name.split_once('.') {
            patterns.push(HostPattern::Wildcard(parent.into()));
        }
    }
    patterns.push(HostPattern::Any);
    patterns
}

fn path_winner(
    ordered: &[&Ingress],
    host: &HostPattern,
    nginx: bool,
    request: &str,
) -> Option<String> {
    let mut all = Vec::new();
    for ingress in ordered {
        for rule in ingress.rules.iter().filter(|rule| rule.host == *host) {
            all.extend(rule.paths.iter().map(|path| (*ingress, rule, path)));
        }
    }
    // 2.3: any Ingress of the host.
    let uses_regex = ordered.iter().any(|ingress| {
        ingress.options.rewrite.use_regex && ingress.rules.iter().any(|rule| rule.host == *host)
    });
    let some_rewrite = all.iter().any(|(ingress, _, path)| rewrites(ingress, path));
    let all_regex = nginx && (uses_regex || some_rewrite);

    // C1: of one text and type the first stays, whether it is a regex or not.
    let mut taken = BTreeSet::new();
    all.retain(|(_, _, path)| taken.insert((path.kind, text_of(path))));

    let mut fitting = Vec::new();
    for (at, (ingress, rule, path)) in all.into_iter().enumerate() {
        let specific = path.kind == PathKind::ImplementationSpecific;
        let own_regex = specific && (ingress.options.rewrite.use_regex || rewrites(ingress, path));
        let is_regex = all_regex || (!nginx && own_regex);
        let text = text_of(path);
        let fits = if is_regex {
            is_regex_match(text, request)
        } else {
            match path.kind {
                PathKind::Exact => text == request,
                PathKind::Prefix => is_element_prefix(text, request),
                PathKind::ImplementationSpecific if nginx => {
                    request.starts_with(text) || (text == "/" && request.is_empty())
                }
                PathKind::ImplementationSpecific => is_element_prefix(text, request),
            }
        };
        if !fits {
            continue;
        }
        let id = format!(
            "{}/{}/rules[{}].paths[{}]",
            ingress.object.namespace, ingress.object.name, rule.index, path.index
        );
        // 2.2: exact; longer text; Prefix, ImplementationSpecific, regex; then C1.
        let kind = match path.kind {
            _ if all_regex => 0,
            PathKind::Exact => 0,
            PathKind::Prefix => 1,
            PathKind::ImplementationSpecific => 2 + usize::from(is_regex),
        };
        let lexical = is_regex.then(|| Reverse(text.to_owned()));
        let after_exact = usize::from(kind != 0);
        fitting.push(((after_exact, Reverse(text.len()), kind, lexical, path.kind, at), id));
    }
    fitting.into_iter().min().map(|(_, id)| id)
}

fn rewrites(ingress: &Ingress, path: &IngressPath) -> bool {
    ingress.options.rewrite.target.as_deref().is_some_and(|target| target != text_of(path))
}

fn text_of(path: &IngressPath) -> &str {
    if path.path.is_empty() { "/" } else { &path.path }
}

/// P3: the elements of the rule lead those of the request.
fn is_element_prefix(rule: &str, request: &str) -> bool {
    let rule: Vec<&str> = rule.strip_suffix('/').unwrap_or(rule).split('/').collect();
    let request: Vec<&str> = request.split('/').collect();
    request.starts_with(&rule)
}

fn is_regex_match(text: &str, request: &str) -> bool {
    if request.is_empty() {
        return text == "/";
    }
    Regex::new(&format!("^(?i:{text})")).is_ok_and(|regex| regex.is_match(request))
}

fn default_id(ingress: &Ingress) -> String {
    format!("{}/{}/default", ingress.object.namespace, ingress.object.name)
}
