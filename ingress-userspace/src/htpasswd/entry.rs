//! One hash: its scheme, told by how it begins, and the check of a password against it.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha_crypt::{PasswordVerifier, ShaCrypt};

use super::md5_crypt::{self, Magic};

/// Longer passwords are wrong, as in `crypt(3)`: some schemes take time by the square of the length.
pub const MAX_PASSWORD: usize = 512;
/// A bcrypt cost beyond this takes seconds for each password.
const MAX_BCRYPT_COST: u32 = 14;
/// The same for the rounds of SHA-crypt.
const MAX_ROUNDS: u32 = 1_000_000;
const SHA1_LENGTH: usize = 20;

/// The hash of one user.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    text: Arc<str>,
    scheme: Scheme,
}

#[derive(Clone, PartialEq, Eq)]
enum Scheme {
    /// `$2a$`, `$2b$`, `$2y$`.
    Bcrypt,
    /// `$apr1$` of Apache, `$1$` of crypt.
    Md5Crypt { magic: Magic, salt: Box<[u8]>, digest: [u8; 16] },
    /// `$5$`, `$6$`.
    ShaCrypt,
    /// `{SHA}`, and `{SSHA}` with a salt behind the digest.
    Sha1 { digest: [u8; SHA1_LENGTH], salt: Box<[u8]> },
    /// `{PLAIN}`.
    Plain(Box<[u8]>),
}

// === impl Entry ===

impl Entry {
    pub(super) fn read(hash: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(hash).map_err(|_| "the hash is not text")?;
        Ok(Self { text: text.into(), scheme: Scheme::read(text)? })
    }

    /// The hash as written: what a verdict about a password holds for.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Whether a check takes no longer than other things that are done for a request.
    pub fn is_cheap(&self) -> bool {
        matches!(self.scheme, Scheme::Sha1 { .. } | Scheme::Plain(_))
    }

    /// Takes the time that the scheme was made to take.
    pub fn admits(&self, password: &[u8]) -> bool {
        // A C string would end at the first zero.
        if password.len() > MAX_PASSWORD || password.contains(&0) {
            return false;
        }
        match &self.scheme {
            Scheme::Bcrypt => bcrypt::verify(password, &self.text).unwrap_or(false),
            Scheme::ShaCrypt => ShaCrypt::SHA512.verify_password(password, &*self.text).is_ok(),
            Scheme::Md5Crypt { magic, salt, digest } => {
                equal(&md5_crypt::digest(password, salt, *magic), digest)
            }
            Scheme::Sha1 { digest, salt } => {
                let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
                context.update(password);
                context.update(salt);
                equal(context.finish().as_ref(), digest)
            }
            Scheme::Plain(plain) => equal(password, plain),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry")
    }
}

// === impl Scheme ===

impl Scheme {
    fn read(text: &str) -> Result<Self, &'static str> {
        if text.starts_with("$2") {
            return bcrypt(text);
        }
        if let Some(rest) = text.strip_prefix("$apr1$") {
            return md5(Magic::Apr1, rest);
        }
        if let Some(rest) = text.strip_prefix("$1$") {
            return md5(Magic::Crypt, rest);
        }
        if let Some(rest) = text.strip_prefix("$5$") {
            return sha_crypt(rest, 43);
        }
        if let Some(rest) = text.strip_prefix("$6$") {
            return sha_crypt(rest, 86);
        }
        if let Some(encoded) = text.strip_prefix("{SHA}") {
            return sha1(encoded, false);
        }
        if let Some(encoded) = text.strip_prefix("{SSHA}") {
            return sha1(encoded, true);
        }
        if let Some(plain) = text.strip_prefix("{PLAIN}") {
            return Ok(Self::Plain(plain.as_bytes().into()));
        }
        Err("a scheme that is not supported; bcrypt, apr1, md5-crypt, SHA-crypt and {SHA} are")
    }
}

fn bcrypt(text: &str) -> Result<Scheme, &'static str> {
    if text.starts_with("$2x$") {
        return Err("$2x$ marks hashes of a broken bcrypt; they are not checked");
    }
    let parts: bcrypt::HashParts = text.parse().map_err(|_| "not a bcrypt hash")?;
    match parts.get_cost() {
        4..=MAX_BCRYPT_COST => Ok(Scheme::Bcrypt),
        _ => Err("a bcrypt cost that is not between 4 and 14"),
    }
}

fn md5(magic: Magic, rest: &str) -> Result<Scheme, &'static str> {
    let (salt, digest) = rest.split_once('$').ok_or("not an md5-crypt hash")?;
    let digest = md5_crypt::decode(digest).ok_or("not an md5-crypt hash")?;
    let salt = &salt.as_bytes()[..salt.len().min(md5_crypt::MAX_SALT)];
    Ok(Scheme::Md5Crypt { magic, salt: salt.into(), digest })
}

fn sha_crypt(rest: &str, length: usize) -> Result<Scheme, &'static str> {
    let rest = match rest.strip_prefix("rounds=") {
        None => rest,
        Some(rest) => {
            let (rounds, rest) = rest.split_once('$').ok_or("not a SHA-crypt hash")?;
            let rounds: u32 = rounds.parse().map_err(|_| "not a SHA-crypt hash")?;
            if !(1000..=MAX_ROUNDS).contains(&rounds) {
                return Err("SHA-crypt rounds that are not between 1000 and 1000000");
            }
            rest
        }
    };
    let (salt, digest) = rest.split_once('$').ok_or("not a SHA-crypt hash")?;
    let is_crypt64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/');
    let fits = digest.len() == length && digest.bytes().chain(salt.bytes()).all(is_crypt64);
    fits.then_some(Scheme::ShaCrypt).ok_or("not a SHA-crypt hash")
}

fn sha1(encoded: &str, salted: bool) -> Result<Scheme, &'static str> {
    let bytes = STANDARD.decode(encoded).map_err(|_| "the digest is not base64")?;
    let (digest, salt) = bytes.split_first_chunk().ok_or("not a SHA-1 digest")?;
    if salt.is_empty() == salted {
        return Err("not a SHA-1 digest");
    }
    Ok(Scheme::Sha1 { digest: *digest, salt: salt.into() })
}

/// In a time that tells nothing but the lengths.
fn equal(a: &[u8], b: &[u8]) -> bool {
    verify_slices_are_equal(a, b).is_ok()
}
