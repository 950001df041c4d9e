//! Keys of our prefixes that are not in the table: slips, keys of other versions, inventions.
//!
//! Whoever wrote `whitelist-source-ranges` wanted the path to be restricted. Such a name closes
//! the paths as the right one with a bad value would.

use super::table::{Group, KEYS, Scope};
use crate::model::field::shorten;

/// Changes of one letter that still make a near miss.
const NEAR: usize = 2;

/// Parts of names that stand in access rules only, over all versions of ingress-nginx.
const PARTS: [&str; 13] = [
    "limit",
    "limits",
    "ratelimit",
    "throttle",
    "snippet",
    "snippets",
    "modsecurity",
    "owasp",
    "waf",
    "jwt",
    "oidc",
    "deny",
    "range",
];

/// What is lost without it, and the first half of what to say.
pub(super) fn judge(name: &str) -> (Group, String) {
    let plain = name.to_ascii_lowercase().replace('_', "-");
    let mut nearest: Option<(usize, bool, &str, Group)> = None;
    for key in KEYS {
        for known in key.names() {
            let distance = strsim::damerau_levenshtein(known, &plain);
            let order = (distance, key.group == Group::Harmless);
            if distance <= NEAR && nearest.is_none_or(|(d, harmless, ..)| order < (d, harmless)) {
                nearest = Some((order.0, order.1, known, key.group));
            }
        }
    }
    let shown = shorten(name);
    match nearest {
        Some((_, _, known, group)) => {
            (group, format!("{shown:?} is not supported, did you mean {known:?}?"))
        }
        None => (by_parts(&plain), format!("{shown:?} is not supported")),
    }
}

fn by_parts(plain: &str) -> Group {
    if plain.starts_with("auth-tls") || plain.starts_with("server-snippet") {
        return Group::Access(Scope::Hosts);
    }
    let restricts = plain
        .split('-')
        .any(|part| part.starts_with("auth") || part.ends_with("list") || PARTS.contains(&part));
    if restricts { Group::Access(Scope::Paths) } else { Group::Harmless }
}
