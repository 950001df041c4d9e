//! Grammars of the keys that restrict access, and what they have to say together.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::parse::{Fault, integer, invalid, unsupported};
use crate::model::field::shorten;
use crate::model::names;
use crate::model::options::{AccessOptions, SecretName};
use crate::net::sources::AddressSet;

/// Networks and addresses, separated by commas; at least one.
pub(super) fn networks(text: &str) -> Result<AddressSet, Fault> {
    text.split(',').map(|entry| network(entry.trim())).collect()
}

fn network(text: &str) -> Result<IpNet, Fault> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| address()).map_err(|_| {
        invalid(format!("{:?} is neither a network (address/length) nor an address", shorten(text)))
    })
}

/// A number of requests; 0 is no limit.
pub(super) fn limit(text: &str) -> Result<Option<u32>, Fault> {
    let number = integer(text)?;
    Ok((number > 0).then(|| u32::try_from(number).unwrap_or(u32::MAX)))
}

pub(super) fn burst_multiplier(text: &str) -> Result<u32, Fault> {
    limit(text)?.ok_or_else(|| invalid("0: at least 1 is expected"))
}

/// True: basic authentication is asked for.
pub(super) fn auth_type(text: &str) -> Result<bool, Fault> {
    match text {
        "basic" => Ok(true),
        "digest" => Err(unsupported("digest authentication is not supported")),
        _ => Err(invalid(format!("{:?} is neither basic nor digest", shorten(text)))),
    }
}

/// True: each key of the Secret is a user.
pub(super) fn auth_secret_type(text: &str) -> Result<bool, Fault> {
    match text {
        "auth-file" => Ok(false),
        "auth-map" => Ok(true),
        _ => Err(invalid(format!("{:?} is neither auth-file nor auth-map", shorten(text)))),
    }
}

/// `name` or `namespace/name`.
pub(super) fn secret(text: &str) -> Result<SecretName, Fault> {
    let (namespace, name) = match text.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, text),
    };
    if !names::is_subdomain(name) || !namespace.is_none_or(names::is_label) {
        return Err(invalid(format!("{:?} is not the name of a Secret", shorten(text))));
    }
    Ok(SecretName { namespace: namespace.map(Arc::from), name: name.into() })
}

/// What is shown to people who are asked for a password.
pub(super) fn realm(text: &str) -> Result<Arc<str>, Fault> {
    if text.chars().any(char::is_control) {
        return Err(invalid("a control character does not fit into a header field"));
    }
    Ok(text.into())
}

/// True: one of lists and passwords is enough.
pub(super) fn satisfy(text: &str) -> Result<bool, Fault> {
    match text {
        "all" => Ok(false),
        "any" => Ok(true),
        _ => Err(invalid(format!("{:?} is neither all nor any", shorten(text)))),
    }
}

/// What keys that are good by themselves do not say together: the key and the fault. Half of an
/// access rule is none, so it closes the paths.
pub(super) fn incomplete(options: &AccessOptions) -> Option<(&'static str, Fault)> {
    let auth = &options.auth;
    match (auth.basic, &auth.secret) {
        (true, None) => Some(("auth-type", invalid("there is no usable auth-secret with it"))),
        (false, Some(_)) => Some(("auth-secret", invalid("there is no usable auth-type with it"))),
        _ => None,
    }
}
