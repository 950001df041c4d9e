//! The options of one Ingress become the [`Filters`] of its routes.

use std::sync::Arc;

use http::HeaderValue;

use crate::model::Ingress;
use crate::model::options::IngressOptions;
use crate::routing::filters::{Filters, UpstreamTimeouts};
use crate::routing::route::{Moved, MovedTo};

mod access;
mod cors;

/// `None`: nothing has to be done to a request.
pub(super) fn of(ingress: &Ingress) -> Option<Arc<Filters>> {
    let options = &*ingress.options;
    let (upstream, headers) = (&options.upstream, &options.headers);
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
    };
    (!filters.is_empty()).then(|| Arc::new(filters))
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
