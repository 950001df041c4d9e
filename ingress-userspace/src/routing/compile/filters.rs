//! The options of one Ingress become the [`Filters`] of its routes.

use std::sync::Arc;

use http::HeaderValue;

use crate::model::Ingress;
use crate::model::options::{AffinityOptions, IngressOptions};
use crate::routing::affinity::{self, Affinity};
use crate::routing::filters::{Filters, UpstreamTimeouts};
use crate::routing::route::{Moved, MovedTo};

mod access;
mod cors;

/// `None`: nothing has to be done to a request.
pub(super) fn of(ingress: &Ingress) -> Option<Arc<Filters>> {
    let options = &*ingress.options;
    let IngressOptions { upstream, headers, affinity, .. } = options;
    let filters = Filters {
        request_body: upstream.body_size,
        timeouts: UpstreamTimeouts {
            connect: upstream.connect_timeout,
            send: upstream.send_timeout,
            read: upstream.read_timeout,
        },
        upstream_host: upstream.vhost.as_deref().and_then(value),
        forwarded_prefix: headers.forwarded_prefix.as_deref().and_then(value),
        access: access::of(ingress),
        cors: cors::of(&options.cors),
        affinity: affinity.by_cookie.then(|| Box::new(affinity_of(affinity))),
        canary: None,
    };
    (!filters.is_empty()).then(|| Arc::new(filters))
}

fn affinity_of(options: &AffinityOptions) -> Affinity {
    Affinity {
        name: options.name.clone().unwrap_or_else(|| affinity::NAME.into()),
        persistent: options.persistent == Some(true),
        change_on_failure: options.change_on_failure == Some(true),
        path: options.path.clone(),
        domain: options.domain.clone(),
        expires: options.expires,
        max_age: options.max_age,
        same_site: options.same_site,
        secure: options.secure,
    }
}

/// Where everything of the Ingress leads.
pub(super) fn moved(options: &IngressOptions) -> Option<Moved> {
    let (status, to) = options.redirects.everything()?;
    Some(Moved { status, to: MovedTo::Url(value(to)?) })
}

/// Parsed options hold nothing but characters of header values.
fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok()
}
