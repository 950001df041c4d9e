//! A route: what happens with a request that one path of one Ingress has won.

use std::borrow::Cow;
use std::sync::Arc;

use regex::Regex;

use super::cluster::ClusterId;

#[derive(Debug, Clone)]
pub struct Route {
    /// `namespace/ingress/rules[i].paths[j]`, or `.../default`: label of logs and metrics.
    pub id: Arc<str>,
    pub namespace: Arc<str>,
    pub ingress: Arc<str>,
    /// The rule's path as written.
    pub path: Arc<str>,
    pub action: Action,
    pub rewrite: Option<Rewrite>,
    /// T11: plain HTTP requests of this route are redirected.
    pub https_redirect: Option<Redirect>,
    /// T13: value of `Strict-Transport-Security` on HTTPS answers.
    pub hsts: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Forward(ClusterId),
    /// Answered by us: 503 for resource backends and closed paths (C12, C13).
    Refuse {
        status: u16,
        reason: &'static str,
    },
}

/// HTTPS redirect: status 308 in compat mode and by default (T11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redirect {
    pub status: u16,
    /// One trailing slash of the URI is dropped, as ingress-nginx does (`semantics.md` 8.1).
    pub drop_trailing_slash: bool,
}

/// `rewrite-target`: the whole path is replaced by `target`, in which `$1`..`$9` are the groups of
/// `pattern`. The query is kept by the caller.
#[derive(Debug, Clone)]
pub struct Rewrite {
    /// `None`: the target has no groups, nothing has to be matched again.
    pub pattern: Option<Regex>,
    pub target: Arc<str>,
}

// === impl Rewrite ===

impl Rewrite {
    /// The path sent upstream for the normalised request `path`.
    pub fn apply<'a>(&'a self, path: &str) -> Cow<'a, str> {
        let Some(captures) = self.pattern.as_ref().and_then(|p| p.captures(path)) else {
            return Cow::Borrowed(&self.target);
        };
        let mut out = String::with_capacity(path.len() + self.target.len());
        let mut rest = &*self.target;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let digit = rest[at + 1..].chars().next().and_then(|c| c.to_digit(10));
            match digit {
                Some(group) => {
                    if let Some(found) = captures.get(group as usize) {
                        out.push_str(found.as_str());
                    }
                    rest = &rest[at + 2..];
                }
                None => {
                    out.push('$');
                    rest = &rest[at + 1..];
                }
            }
        }
        out.push_str(rest);
        Cow::Owned(out)
    }
}
