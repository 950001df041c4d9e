//! No header field of a client panics where passwords and cookies are looked for, and none but the
//! right password comes in.
#![no_main]

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;
use genkan::filter::auth::{Passwords, Verdict};
use genkan::htpasswd::Users;
use genkan::routing::affinity::{Affinity, NAME};
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

static PASSWORDS: LazyLock<Passwords> = LazyLock::new(Passwords::default);
static USERS: LazyLock<Users> = LazyLock::new(|| Users::read(b"ann:{PLAIN}pw").0);

fn verdict(field: &[u8]) -> Option<Verdict> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_bytes(field).ok()?);
    // What is cheap to check needs no wait.
    PASSWORDS.check(&USERS, &headers, Ipv4Addr::LOCALHOST.into()).now_or_never()
}

fuzz_target!(|bytes: &[u8]| {
    let right = bytes == b"ann:pw";
    let encoded = format!("Basic {}", STANDARD.encode(bytes));
    assert_eq!(verdict(encoded.as_bytes()) == Some(Verdict::Right), right);
    verdict(bytes);
    verdict(&[b"Basic ", bytes].concat());

    let affinity = Affinity {
        name: NAME.into(),
        persistent: true,
        change_on_failure: false,
        path: None,
        domain: None,
        expires: None,
        max_age: None,
        same_site: None,
        secure: None,
    };
    let mut headers = HeaderMap::new();
    for piece in bytes.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(piece) {
            headers.append(COOKIE, value);
        }
    }
    affinity.session(&headers);
});
