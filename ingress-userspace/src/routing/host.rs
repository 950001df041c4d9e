//! The host of a request, brought into the one form that rules are compared with (H6-H8, H10).
//!
//! In: the text of `:authority`, of an absolute-form target or of `Host`. Out: a [`RequestHost`]:
//! a lower-case name without port and trailing dot, or an IP address. Which of the three texts
//! counts, and what a missing or repeated `Host` means (H7), is decided by who reads the protocol;
//! whatever is refused here is answered with 400. Nothing is allocated for a name that is lower
//! case already.
//!
//! ```text
//! authority = host [ ":" port ]
//! host      = "[" IPv6 "]" | IPv4 | name
//! name      = label *( "." label ) [ "." ]      at most 253 bytes
//! label     = 1*63( letter | digit | "-" | "_" )
//! port      = *DIGIT                            empty, or at most 65535
//! ```
//!
//! User information, percent escapes, zone identifiers and bytes outside ASCII are refused: names
//! come as A-labels only. The underscore is no host-name character but common inside clusters.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::snapshot::RequestHost;

/// Longest name without its trailing dot (RFC 1035 2.3.4).
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// Why the host of a request is refused: 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHost {
    #[error("the host is empty")]
    Empty,
    #[error("the host holds a byte that no name or address has")]
    Character,
    #[error("the host is longer than a name can be, or has an empty or too long label")]
    Length,
    #[error("the port is not a number of at most 65535")]
    Port,
    #[error("the IP literal is not an IPv6 address in brackets")]
    Address,
}

/// Normalises `raw`; `buffer` takes the name when it has upper-case letters.
///
/// # Errors
///
/// [`BadHost`] for everything that is not an authority of the form above.
pub fn normalise<'a>(raw: &'a str, buffer: &'a mut String) -> Result<RequestHost<'a>, BadHost> {
    if let Some(literal) = raw.strip_prefix('[') {
        let (address, port) = literal.split_once(']').ok_or(BadHost::Address)?;
        match port.strip_prefix(':') {
            Some(port) => check_port(port)?,
            None if port.is_empty() => {}
            None => return Err(BadHost::Address),
        }
        let address: Ipv6Addr = address.parse().map_err(|_| BadHost::Address)?;
        return Ok(RequestHost::Ip(IpAddr::V6(address)));
    }
    let name = match raw.split_once(':') {
        Some((name, port)) => {
            check_port(port)?;
            name
        }
        None => raw,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let upper = check_name(name)?;
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return Ok(RequestHost::Ip(IpAddr::V4(address)));
    }
    if !upper {
        return Ok(RequestHost::Name(name));
    }
    buffer.clear();
    buffer.push_str(name);
    buffer.make_ascii_lowercase();
    Ok(RequestHost::Name(buffer))
}

/// The server name of a handshake as certificates are looked up by (T4): `None` for an address or
/// a malformed name, which both count as no name.
pub fn server_name<'a>(sni: &'a str, buffer: &'a mut String) -> Option<&'a str> {
    if sni.contains(':') {
        return None;
    }
    match normalise(sni, buffer) {
        Ok(RequestHost::Name(name)) => Some(name),
        Ok(RequestHost::Ip(_) | RequestHost::Absent) | Err(_) => None,
    }
}

fn check_port(port: &str) -> Result<(), BadHost> {
    if port.is_empty() {
        return Ok(());
    }
    // `parse` alone would take a sign.
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BadHost::Port);
    }
    port.parse::<u16>().map(|_| ()).map_err(|_| BadHost::Port)
}

/// Whether the name has upper-case letters.
fn check_name(name: &str) -> Result<bool, BadHost> {
    if name.is_empty() {
        return Err(BadHost::Empty);
    }
    if name.len() > MAX_NAME {
        return Err(BadHost::Length);
    }
    let mut upper = false;
    let mut label = 0;
    for byte in name.bytes() {
        match byte {
            b'.' if label == 0 => return Err(BadHost::Length),
            b'.' => {
                label = 0;
                continue;
            }
            b'A'..=b'Z' => upper = true,
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => {}
            _ => return Err(BadHost::Character),
        }
        label += 1;
        if label > MAX_LABEL {
            return Err(BadHost::Length);
        }
    }
    if label == 0 { Err(BadHost::Length) } else { Ok(upper) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(raw: &str) -> String {
        match normalise(raw, &mut String::new()) {
            Ok(RequestHost::Name(name)) => name.to_owned(),
            other => panic!("{raw}: {other:?}"),
        }
    }

    fn refused(raw: &str) -> BadHost {
        normalise(raw, &mut String::new()).expect_err(raw)
    }

    #[test]
    fn h6_case_port_and_one_trailing_dot_are_ignored() {
        for raw in
            ["foo.example", "FOO.Example", "foo.example:8443", "foo.example.", "Foo.example.:"]
        {
            assert_eq!(name(raw), "foo.example", "{raw}");
        }
        assert_eq!(refused("foo.example.."), BadHost::Length);
    }

    #[test]
    fn h6_lower_case_name_is_borrowed_from_the_request() {
        let mut buffer = String::new();
        normalise("foo.example:80", &mut buffer).unwrap();
        assert_eq!(buffer.capacity(), 0);
    }

    #[test]
    fn h7_bad_syntax_is_refused() {
        for (raw, why) in [
            ("", BadHost::Empty),
            (":80", BadHost::Empty),
            (".", BadHost::Empty),
            (".foo", BadHost::Length),
            ("foo..bar", BadHost::Length),
            ("user@foo", BadHost::Character),
            ("foo bar", BadHost::Character),
            ("foo/bar", BadHost::Character),
            ("foo%2ebar", BadHost::Character),
            ("*.foo", BadHost::Character),
            ("foo,bar", BadHost::Character),
            ("foo:80:80", BadHost::Port),
            ("foo:65536", BadHost::Port),
            ("foo:+80", BadHost::Port),
            ("foo:http", BadHost::Port),
            ("::1", BadHost::Port),
            ("[::1", BadHost::Address),
            ("[::1]80", BadHost::Address),
            ("[fe80::1%eth0]", BadHost::Address),
            ("[v1.x]", BadHost::Address),
        ] {
            assert_eq!(refused(raw), why, "{raw}");
        }
        assert_eq!(refused(&"a".repeat(64)), BadHost::Length);
        assert_eq!(refused(&"abc.".repeat(80)), BadHost::Length);
    }

    #[test]
    fn h8_ip_literals_are_addresses_not_names() {
        for raw in ["10.0.0.1", "10.0.0.1:80", "10.0.0.1."] {
            let host = normalise(raw, &mut String::new()).map(|h| matches!(h, RequestHost::Ip(_)));
            assert_eq!(host, Ok(true), "{raw}");
        }
        let mut buffer = String::new();
        let host = normalise("[2001:DB8::1]:443", &mut buffer);
        assert_eq!(host, Ok(RequestHost::Ip("2001:db8::1".parse().unwrap())));
    }

    #[test]
    fn h10_bytes_outside_ascii_are_refused_and_a_labels_pass() {
        assert_eq!(refused("müller.example"), BadHost::Character);
        assert_eq!(name("XN--mller-kva.example"), "xn--mller-kva.example");
    }

    #[test]
    fn t4_server_name_is_lower_case_without_dot_and_never_an_address() {
        let mut buffer = String::new();
        assert_eq!(server_name("Foo.Example.", &mut buffer), Some("foo.example"));
        for sni in ["10.0.0.1", "::1", "[::1]", "foo:443", "a b", ""] {
            assert_eq!(server_name(sni, &mut buffer), None, "{sni}");
        }
    }
}
