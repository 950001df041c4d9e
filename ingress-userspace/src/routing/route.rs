//! A route: what happens with a request that one path of one Ingress has won.

use std::sync::Arc;

use super::cluster::ClusterId;
use super::filters::Filters;
use super::rewrite::Rewrite;
use crate::model::PathKind;

#[derive(Debug, Clone)]
pub struct Route {
    /// `namespace/ingress/rules[i].paths[j]`, or `.../default`: label of logs and metrics.
    pub id: Arc<str>,
    pub namespace: Arc<str>,
    pub ingress: Arc<str>,
    /// The rule's path as written.
    pub path: Arc<str>,
    /// `None`: a default backend.
    pub kind: Option<PathKind>,
    pub action: Action,
    pub rewrite: Option<Rewrite>,
    /// T11: plain HTTP requests of this route are redirected.
    pub https_redirect: Option<Redirect>,
    /// T13: value of `Strict-Transport-Security` on HTTPS answers.
    pub hsts: Option<Arc<str>>,
    /// What annotations ask for beyond that; absent for most routes.
    pub filters: Option<Arc<Filters>>,
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
