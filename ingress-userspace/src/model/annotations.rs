//! Annotations of an Ingress: a closed list of keys, one typed parser each.
//!
//! In: `metadata.annotations`. Out: [`IngressOptions`], and whether an access rule forces paths
//! shut. A bad value disables its key only; a key that would have restricted access and that is
//! not understood closes the paths instead (C13, D20), and so does a name that looks like one. The
//! nginx prefix is read in compat mode only (D19), and our own prefix wins over it.
//!
//! [`table`] lists the keys, [`parse`], [`access`] and [`cors`] the grammars of values, [`unknown`]
//! judges other names.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::field::{Fields, Path, Report};
use super::options::IngressOptions;
use super::problem::Reason;
use super::rule::RuleId;

mod access;
mod cors;
mod parse;
mod table;
mod unknown;

#[cfg(test)]
mod tests;

use table::{Effect, Group, KEYS, Key, Scope};

const OWN: &str = "genkan.io/";
const NGINX: &str = "nginx.ingress.kubernetes.io/";

#[derive(Debug, Default)]
pub(super) struct Annotations {
    pub(super) options: IngressOptions,
    /// An access rule is asked for that cannot be enforced: nothing of the Ingress may be served.
    pub(super) closed: bool,
    /// D19: what to say about nginx annotations that are there and not read.
    pub(super) unread: Option<Arc<str>>,
}

/// How annotations are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    /// The nginx prefix counts (D19).
    pub(super) nginx: bool,
    /// Keys that the operator wants to be taken as absent, without prefix.
    pub(super) ignored: &'a [String],
}

/// A key as one object gives it.
struct Given<'v> {
    /// The lowest counts: own before nginx, the name before its aliases.
    rank: (bool, usize),
    full: &'v str,
    value: &'v Value,
}

pub(super) fn read(
    report: &mut Report<'_>,
    at: &Path<'_>,
    annotations: &Fields,
    rules: Rules<'_>,
) -> Annotations {
    let mut out = Annotations::default();
    let mut given: BTreeMap<usize, Given<'_>> = BTreeMap::new();
    for (full, value) in annotations {
        let Some((name, is_nginx)) = split(full) else { continue };
        if (is_nginx && !rules.nginx) || rules.ignores(name) {
            continue;
        }
        let Some((index, alias)) = table::find(name) else {
            unknown_key(report, &at.entry(full), name, &mut out);
            continue;
        };
        let rank = (is_nginx, alias);
        if given.get(&index).is_none_or(|other| rank < other.rank) {
            given.insert(index, Given { rank, full, value });
        }
    }
    for (index, given) in given {
        known_key(report, &at.entry(given.full), &KEYS[index], given.value, &mut out);
    }
    if let Some((key, (reason, message))) = access::incomplete(&out.options.access)
        && !out.closed
    {
        let given =
            annotations.keys().find(|full| split(full).is_some_and(|(name, _)| name == key));
        let at = at.entry(given.map_or(key, String::as_str));
        out.without(report, &at, Group::Access(Scope::Paths), reason, &message);
    }
    if !rules.nginx {
        out.unread = unread(annotations, rules);
    }
    out
}

fn known_key(
    report: &mut Report<'_>,
    at: &Path<'_>,
    key: &Key,
    value: &Value,
    out: &mut Annotations,
) {
    let read = match (value.as_str(), &key.effect) {
        (None, _) => Err(parse::invalid("the value is not a string (quote it)")),
        (Some(text), Effect::Read(read)) => read(text, &mut out.options),
        (Some(text), Effect::Unserved { same }) if same.contains(&text.trim()) => Ok(()),
        (Some(_), Effect::Unserved { .. }) => {
            Err((Reason::UnsupportedAnnotation, format!("{} is not supported", key.name)))
        }
    };
    if let Err((reason, message)) = read {
        out.without(report, at, key.group, reason, &message);
    }
}

fn unknown_key(report: &mut Report<'_>, at: &Path<'_>, name: &str, out: &mut Annotations) {
    let (group, message) = unknown::judge(name);
    out.without(report, at, group, Reason::UnsupportedAnnotation, &message);
}

/// D19. One sentence for the whole object: it may well be meant for another controller.
fn unread(annotations: &Fields, rules: Rules<'_>) -> Option<Arc<str>> {
    let names: Vec<&str> = annotations
        .keys()
        .filter_map(|full| full.strip_prefix(NGINX))
        .filter(|name| !rules.ignores(name))
        .collect();
    let restricting: Vec<&str> =
        names.iter().copied().filter(|name| table::group(name) != Group::Harmless).collect();
    let message = match (names.len(), &restricting[..]) {
        (0, _) => return None,
        (count, []) => format!("{count} {NGINX} annotations are not read (compat is none)"),
        (count, access) => format!(
            "{count} {NGINX} annotations are not read (compat is none), among them {}, which \
             restrict access: NOTHING restricts access to these paths now",
            access.join(", ")
        ),
    };
    Some(message.into())
}

/// The key without its prefix, and whether the prefix is that of ingress-nginx.
fn split(full: &str) -> Option<(&str, bool)> {
    match full.strip_prefix(OWN) {
        Some(name) => Some((name, false)),
        None => full.strip_prefix(NGINX).map(|name| (name, true)),
    }
}

// === impl Rules ===

impl Rules<'_> {
    fn ignores(&self, name: &str) -> bool {
        self.ignored.iter().any(|ignored| ignored == name)
    }
}

// === impl Annotations ===

impl Annotations {
    /// A key of this group cannot be followed: closes what has to be closed and says so.
    fn without(
        &mut self,
        report: &mut Report<'_>,
        at: &Path<'_>,
        group: Group,
        reason: Reason,
        message: &str,
    ) {
        let (rule, now) = match group {
            Group::Harmless => (RuleId::D20, "it is ignored"),
            Group::Access(Scope::Paths) => {
                (RuleId::C13, "it restricts access, so the paths answer 503")
            }
            Group::Access(Scope::Hosts) => {
                (RuleId::C13, "it restricts access to whole hosts, so all their paths answer 503")
            }
        };
        self.closed |= group != Group::Harmless;
        self.options.closes_hosts |= group == Group::Access(Scope::Hosts);
        report.add_by(at, rule, reason, format!("{message}; {now}"));
    }
}
