//! Grammars of the cross-origin keys. A list keeps the entries that are good: nobody is let in by
//! the fault of another, and never everybody.

use std::sync::Arc;

use super::parse::{Fault, integer, invalid};
use crate::model::field::shorten;

/// Origins separated by commas: the good ones, and what is wrong with the first bad one.
pub(super) fn origins(text: &str) -> (Vec<Arc<str>>, Result<(), Fault>) {
    let entries = || text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let good: Vec<Arc<str>> = entries().filter(|entry| is_origin(entry)).map(Arc::from).collect();
    let fault = match entries().find(|entry| !is_origin(entry)) {
        Some(bad) => Err(invalid(format!(
            "{:?} is not an origin: `*` or scheme://host[:port], with `*.` for one label",
            shorten(bad)
        ))),
        None if good.is_empty() => Err(invalid("it names no origin, so none is allowed")),
        None => Ok(()),
    };
    (good, fault)
}

fn is_origin(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse::<u16>().is_ok()),
        None => (authority, true),
    };
    let host = host.strip_prefix("*.").unwrap_or(host);
    let of = |byte: u8, others: &[u8]| byte.is_ascii_alphanumeric() || others.contains(&byte);
    port && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| of(byte, b"+-."))
        && !host.is_empty()
        && host.bytes().all(|byte| of(byte, b"-."))
}

/// Methods, separated by commas or spaces.
pub(super) fn methods(text: &str) -> Result<Arc<str>, Fault> {
    list(text, |byte| byte.is_ascii_alphabetic(), "methods")
}

/// Names of header fields.
pub(super) fn fields(text: &str) -> Result<Arc<str>, Fault> {
    list(text, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'), "header names")
}

/// Names of header fields, or `*`.
pub(super) fn exposed(text: &str) -> Result<Arc<str>, Fault> {
    let of = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'*');
    list(text, of, "header names")
}

pub(super) fn seconds(text: &str) -> Result<u64, Fault> {
    integer(text)
}

/// Kept as written: browsers read it, we do not.
fn list(text: &str, of: impl Fn(u8) -> bool, what: &str) -> Result<Arc<str>, Fault> {
    let fits = text.bytes().all(|byte| of(byte) || matches!(byte, b',' | b' '))
        && text.bytes().any(&of)
        && text.trim_ascii() == text;
    fits.then(|| text.into())
        .ok_or_else(|| invalid(format!("{:?} is not a list of {what}", shorten(text))))
}
