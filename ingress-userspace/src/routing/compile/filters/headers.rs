//! `custom-headers`: the response headers that a ConfigMap lists.
//!
//! All or nothing: browsers take a missing header of a page's security policy for consent, so one
//! that is not there, not allowed or not readable closes the paths, as in ingress-nginx.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::model::{Ingress, Kind, Reason};
use crate::routing::compile::config_maps::{self, ConfigMaps};
use crate::routing::settings::Settings;

pub(super) type Headers = Arc<[(HeaderName, HeaderValue)]>;

/// The headers of an Ingress, none when it names no ConfigMap.
///
/// # Errors
///
/// What is wrong, for a problem.
pub(super) fn of(
    ingress: &Ingress,
    maps: &ConfigMaps,
    settings: &Settings,
) -> Result<Headers, (Reason, String)> {
    let Some(key) = config_maps::named(ingress) else { return Ok(Arc::new([])) };
    let (namespace, name) = &key;
    let map = format!("{} {namespace}/{name}", Kind::ConfigMap);
    if *namespace != ingress.object.namespace {
        return Err((Reason::InvalidAnnotation, format!("{map} is in another namespace")));
    }
    let Some(found) = maps.find(&key) else {
        return Err((
            Reason::ConfigMapNotFound,
            format!("{map} does not exist or is not readable"),
        ));
    };
    let header = |(name, value): (&Arc<str>, &Arc<str>)| {
        let invalid = |why: &str| (Reason::InvalidAnnotation, format!("{map}: {name:?} {why}"));
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| invalid("is not the name of a header field"))?;
        if !settings.custom_headers.contains(&header) {
            return Err(invalid("is not one of headers.allowed_custom"));
        }
        let value = HeaderValue::from_str(value)
            .map_err(|_| invalid("has a value with line breaks or control characters"))?;
        Ok((header, value))
    };
    found.data.iter().map(header).collect()
}
