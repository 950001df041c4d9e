//! The value of `Authorization` (RFC 7617). Pure.

use std::fmt;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::HeaderValue;

const SCHEME: &str = "basic";

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A user and a password; neither is ever shown.
pub(super) struct Credentials {
    text: Vec<u8>,
    /// Where the first colon is.
    colon: usize,
}

// === impl Credentials ===

impl Credentials {
    /// `None` for another scheme and for what is not `user:password` in base64.
    pub(super) fn read(field: &HeaderValue) -> Option<Self> {
        let bytes = field.as_bytes();
        let (scheme, rest) = bytes.split_at_checked(SCHEME.len())?;
        if !scheme.eq_ignore_ascii_case(SCHEME.as_bytes()) || rest.first() != Some(&b' ') {
            return None;
        }
        let text = BASE64.decode(rest.trim_ascii()).ok()?;
        let colon = memchr::memchr(b':', &text).filter(|colon| *colon > 0)?;
        Some(Self { text, colon })
    }

    pub(super) fn user(&self) -> &[u8] {
        &self.text[..self.colon]
    }

    pub(super) fn password(&self) -> &[u8] {
        &self.text[self.colon + 1..]
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_and_a_password_in_base64() {
        for (field, wanted) in [
            ("Basic dTpw", Some(("u", "p"))),
            ("basic dTpw", Some(("u", "p"))),
            ("BASIC  dTpw ", Some(("u", "p"))),
            ("Basic dTo=", Some(("u", ""))),
            ("Basic dTo", Some(("u", ""))),
            ("Basic dTpwOnE=", Some(("u", "p:q"))),
            ("Basic OnA=", None),
            ("Basic dQ==", None),
            ("Basic", None),
            ("Basic ", None),
            ("Basic\tdTpw", None),
            ("BasicdTpw", None),
            ("Basic dT pw", None),
            ("Basic dTpw, Basic dTpw", None),
            ("Bearer dTpw", None),
            ("Basic \u{fc}", None),
        ] {
            let read = Credentials::read(&HeaderValue::from_str(field).unwrap());
            let read = read.as_ref().map(|c| (c.user(), c.password()));
            assert_eq!(read, wanted.map(|(u, p)| (u.as_bytes(), p.as_bytes())), "{field:?}");
        }
    }
}
