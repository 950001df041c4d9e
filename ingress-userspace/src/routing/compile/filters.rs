//! The options of one Ingress become the [`Filters`] of its routes.

use std::sync::Arc;

use http::HeaderValue;

use crate::model::options::{AffinityOptions, IngressOptions};
use crate::model::{Ingress, Reason};
use crate::routing::affinity::{self, Affinity};
use crate::routing::filters::{Filters, UpstreamTimeouts};
use crate::routing::route::{Moved, MovedTo};
use crate::routing::settings::Settings;

use super::config_maps::ConfigMaps;

mod access;
mod cors;
mod headers;

/// What the annotations of an Ingress come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Made {
    /// `None`: nothing has to be done to a request.
    pub(super) filters: Option<Arc<Filters>>,
    /// An access rule cannot be followed: the paths are closed (C13).
    pub(super) fault: Option<Fault>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) key: &'static str,
    pub(super) reason: Reason,
    pub(super) message: String,
}

pub(super) fn of(ingress: &Ingress, maps: &ConfigMaps, settings: &Settings) -> Made {
    let options = &*ingress.options;
    let IngressOptions { upstream, headers, affinity, .. } = options;
    let (response_headers, fault) = match headers::of(ingress, maps, settings) {
        Ok(headers) => (headers, None),
        Err((reason, message)) => {
            (Arc::default(), Some(Fault { key: "custom-headers", reason, message }))
        }
    };
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
        response_headers,
    };
    Made { filters: (!filters.is_empty()).then(|| Arc::new(filters)), fault }
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
