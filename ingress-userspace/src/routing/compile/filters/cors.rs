//! What the annotations of an Ingress say about other origins, with ingress-nginx's defaults.

use std::sync::Arc;

use http::HeaderValue;

use crate::model::options::CorsOptions;
use crate::routing::cors::{Cors, Origins};

const METHODS: &str = "GET, PUT, POST, DELETE, PATCH, OPTIONS";
const HEADERS: &str = "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,\
                       Content-Type,Range,Authorization";
const MAX_AGE: u64 = 1_728_000;

pub(super) fn of(options: &CorsOptions) -> Option<Box<Cors>> {
    if !options.enabled {
        return None;
    }
    let origins = match &options.origins {
        None => Origins::Any,
        Some(origins) => Origins::of(origins.iter().map(|origin| &**origin)),
    };
    Some(Box::new(Cors {
        origins,
        credentials: options.credentials.unwrap_or(true),
        methods: value(options.methods.as_ref(), METHODS),
        headers: value(options.headers.as_ref(), HEADERS),
        max_age: options.max_age.unwrap_or(MAX_AGE).into(),
        expose: options.expose.as_deref().and_then(super::value),
    }))
}

fn value(given: Option<&Arc<str>>, default: &'static str) -> HeaderValue {
    given.and_then(|text| super::value(text)).unwrap_or_else(|| HeaderValue::from_static(default))
}
