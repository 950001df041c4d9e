//! What the annotations of an Ingress say about who may send requests, and how many.

use crate::model::Ingress;
use crate::model::options::LimitOptions;
use crate::net::sources::SourceRules;
use crate::routing::access::{Access, Auth, Limits, Rate};

/// ingress-nginx's default.
const BURST_MULTIPLIER: u32 = 5;

/// A password that is asked for cannot be given yet: that is for whoever knows the Secret.
pub(super) fn of(ingress: &Ingress) -> Option<Box<Access>> {
    let options = &ingress.options.access;
    let sources = (options.allow.is_some() || options.deny.is_some())
        .then(|| SourceRules::new(options.deny.clone().unwrap_or_default(), options.allow.clone()));
    let access = Access {
        limits: limits(ingress, &options.limits),
        sources,
        auth: if options.auth.basic { Auth::Unusable } else { Auth::None },
        satisfy_any: options.satisfy_any,
    };
    (access != Access { satisfy_any: access.satisfy_any, ..Access::default() })
        .then(|| Box::new(access))
}

fn limits(ingress: &Ingress, options: &LimitOptions) -> Option<Limits> {
    let multiplier = u64::from(options.burst_multiplier.unwrap_or(BURST_MULTIPLIER));
    let rate = |limit: Option<u32>, of: fn(u64, u64) -> Rate| {
        limit.map(|limit| of(limit.into(), u64::from(limit).saturating_mul(multiplier)))
    };
    let rates =
        [rate(options.per_second, Rate::per_second), rate(options.per_minute, Rate::per_minute)];
    let object = &ingress.object;
    (rates.iter().any(Option::is_some) || options.connections.is_some()).then(|| Limits {
        id: format!("{}/{}", object.namespace, object.name).into(),
        rates,
        connections: options.connections,
        exempt: options.exempt.clone().unwrap_or_default(),
    })
}
