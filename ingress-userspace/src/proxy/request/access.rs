//! Who gets through to the endpoints of a route, and in which order that is asked (D21).
//!
//! As ingress-nginx: after redirects and preflights come a missing endpoint, the limits, the lists
//! and the password. Natively the lists come before everything, so that a restricted host does not
//! answer strangers. What cannot be decided refuses.

use std::net::IpAddr;

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};

use crate::filter::auth::Verdict;
use crate::filter::limit::Held;
use crate::net::sources::Listed;
use crate::proxy::context::ProxyContext;
use crate::proxy::error::Failure;
use crate::routing::Cluster;
use crate::routing::access::{Access, Auth, Basic, Limits};

/// The access rules of a route and the client that they are applied to.
pub(super) struct Gate<'a> {
    context: &'a ProxyContext,
    access: &'a Access,
    client: IpAddr,
    listed: Listed,
    nginx: bool,
}

// === impl Gate ===

impl<'a> Gate<'a> {
    /// `client`: the peer of the connection.
    pub(super) fn new(context: &'a ProxyContext, access: &'a Access, client: IpAddr) -> Self {
        let listed = access.sources.as_ref().map_or(Listed::Unknown, |rules| rules.judge(client));
        Self { context, access, client, listed, nginx: context.settings().nginx }
    }

    /// Natively, whom the lists refuse hears nothing else.
    pub(super) fn judge_early(&self) -> Result<(), Failure> {
        if self.nginx { Ok(()) } else { self.judge_source() }
    }

    /// The rest. What is returned is to be kept until the request has ended.
    pub(super) async fn admit(
        &self,
        cluster: &Cluster,
        request: &mut HeaderMap,
    ) -> Result<Option<Held>, Failure> {
        if self.nginx && cluster.endpoints.is_empty() {
            return Err(Failure::NoEndpoint("none is ready"));
        }
        let held = match &self.access.limits {
            Some(limits) => self.count(limits)?,
            None => None,
        };
        self.judge_source()?;
        match &self.access.auth {
            Auth::None => {}
            Auth::Unusable => return Err(Failure::Closed("the Secret of auth-secret is unusable")),
            Auth::Basic(basic) => {
                if !self.is_let_in_by_its_source() {
                    self.check(basic, request).await?;
                }
                // What is for us is not for the endpoint.
                request.remove(AUTHORIZATION);
            }
        }
        Ok(held)
    }

    fn count(&self, limits: &Limits) -> Result<Option<Held>, Failure> {
        let status = if self.nginx {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::TOO_MANY_REQUESTS
        };
        let counted = self.context.limiting.admit(limits, self.client, !self.nginx);
        counted.map_err(|_| Failure::Limited(status))
    }

    fn judge_source(&self) -> Result<(), Failure> {
        let other_way = self.access.satisfy_any && self.access.auth != Auth::None;
        match self.listed {
            Listed::Denied if !other_way => Err(Failure::Forbidden),
            Listed::Denied | Listed::Allowed | Listed::Unknown => Ok(()),
        }
    }

    fn is_let_in_by_its_source(&self) -> bool {
        self.access.satisfy_any && self.listed == Listed::Allowed
    }

    async fn check(&self, basic: &Basic, request: &HeaderMap) -> Result<(), Failure> {
        match self.context.passwords.check(&basic.users, request, self.client).await {
            Verdict::Right => Ok(()),
            Verdict::Wrong => Err(Failure::Unauthorized),
            Verdict::Busy => Err(Failure::PasswordsBusy),
        }
    }
}
