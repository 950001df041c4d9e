//! What a route does with a request, in the order in which it is done.
//!
//! Every field of a route and of its filters is named here, so that none is forgotten.

use serde::{Deserialize, Serialize};

use super::{Question, access};
use crate::routing::filters::{Filters, UpstreamTimeouts};
use crate::routing::route::{Action, Moved, Route};

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What asks for it: an annotation's key, or a setting.
    pub name: String,
    pub effect: String,
    /// Whether it ends the request with an answer of ours.
    pub answers: bool,
}

/// The steps of a request with this normalised path.
pub(in crate::routing) fn steps(route: &Route, path: &str, question: &Question) -> Vec<Step> {
    let Route {
        id: _,
        namespace: _,
        ingress: _,
        path: _,
        kind: _,
        action,
        rewrite,
        https_redirect,
        hsts,
        filters,
        tally: _,
    } = route;
    let mut steps = Vec::new();
    if let Some(limit) = filters.as_deref().and_then(|filters| filters.request_body) {
        let effect = match limit {
            0 => "a request body of any size".to_owned(),
            limit => format!("413 for a request body of more than {limit} bytes"),
        };
        steps.push(Step::new("proxy-body-size", effect));
    }
    if let Action::Redirect(Moved { status, to }) = action {
        let step = Step::new("redirect", format!("{status} to {to}"));
        steps.push(Step { answers: true, ..step });
    }
    if let Some(cors) = filters.as_deref().and_then(|filters| filters.cors.as_deref()) {
        access::cors(cors, &mut steps);
    }
    if let Some(redirect) = https_redirect {
        let answers = !question.https;
        let status = redirect.status;
        let effect = match answers {
            true => format!("{status} to https"),
            false => format!("{status} to https for plain HTTP; this request is HTTPS"),
        };
        steps.push(Step { answers, ..Step::new("ssl-redirect", effect) });
    }
    if let Action::Refuse { status, reason } = action {
        let step = Step::new("backend", format!("{status}: {reason}"));
        steps.push(Step { answers: true, ..step });
    }
    if let Some(access) = filters.as_deref().and_then(|filters| filters.access.as_deref()) {
        access::access(access, &mut steps);
    }
    if let Some(rewrite) = rewrite {
        let effect = format!("{path} becomes {}", rewrite.apply(path));
        steps.push(Step::new("rewrite-target", effect));
    }
    if let Some(filters) = filters {
        headers(filters, rewrite.is_some(), &mut steps);
    }
    if let Some(hsts) = hsts {
        let effect = match question.https {
            true => format!("Strict-Transport-Security: {hsts}"),
            false => "only on answers over HTTPS".to_owned(),
        };
        steps.push(Step::new("hsts", effect));
    }
    steps
}

fn headers(filters: &Filters, rewritten: bool, steps: &mut Vec<Step>) {
    let Filters {
        request_body: _,
        timeouts,
        upstream_host,
        forwarded_prefix,
        access: _,
        cors: _,
        response_headers,
        affinity,
        canary,
    } = filters;
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    if let Some(host) = upstream_host {
        steps.push(Step::new("upstream-vhost", format!("Host: {} to the endpoint", text(host))));
    }
    if let Some(prefix) = forwarded_prefix {
        let effect = match rewritten {
            true => format!("X-Forwarded-Prefix: {} to the endpoint", text(prefix)),
            false => "nothing: the path is not rewritten".to_owned(),
        };
        steps.push(Step::new("x-forwarded-prefix", effect));
    }
    if !response_headers.is_empty() {
        let names: Vec<&str> = response_headers.iter().map(|(name, _)| name.as_str()).collect();
        steps.push(Step::new("custom-headers", format!("{} on every answer", names.join(", "))));
    }
    if let Some(canary) = canary {
        let header = canary.header.as_ref().map(|(name, _)| format!("header {name}"));
        let cookie = canary.cookie.as_ref().map(|name| format!("cookie {name}"));
        let session = (canary.sticky && affinity.is_some()).then(|| "the session".to_owned());
        let deciding: Vec<String> = [session, header, cookie].into_iter().flatten().collect();
        let or = if deciding.is_empty() { "" } else { ", or as told by " };
        let effect = format!(
            "another Service for {} of {} requests{or}{}",
            canary.weight,
            canary.total,
            deciding.join(", then ")
        );
        steps.push(Step::new("canary", effect));
    }
    if let Some(affinity) = affinity {
        let effect = format!("one endpoint for all requests with one cookie {}", affinity.name);
        steps.push(Step::new("affinity", effect));
    }
    let UpstreamTimeouts { connect, send, read } = timeouts;
    for (name, limit) in [
        ("proxy-connect-timeout", connect),
        ("proxy-send-timeout", send),
        ("proxy-read-timeout", read),
    ] {
        if let Some(limit) = limit {
            steps.push(Step::new(name, format!("504 after {limit:?}")));
        }
    }
}

// === impl Step ===

impl Step {
    pub(super) fn new(name: &str, effect: impl Into<String>) -> Self {
        Self { name: name.to_owned(), effect: effect.into(), answers: false }
    }
}
