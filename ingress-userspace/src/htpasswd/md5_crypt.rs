//! The MD5-based scheme of FreeBSD's crypt, and Apache's variant of it, which differs in its mark.

use md5::{Digest, Md5};

/// Longer salts are cut.
pub(super) const MAX_SALT: usize = 8;
const ROUNDS: usize = 1000;
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The digest's bytes in the order in which they are written, three to a group, highest first.
const ORDER: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
/// The byte that is left for the last, shorter group.
const LAST: usize = 11;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Magic {
    Apr1,
    Crypt,
}

pub(super) fn digest(password: &[u8], salt: &[u8], magic: Magic) -> [u8; 16] {
    let magic: &[u8] = match magic {
        Magic::Apr1 => b"$apr1$",
        Magic::Crypt => b"$1$",
    };
    let mut inner = md5(&[password, salt, password]);
    let mut context = Md5::new();
    for part in [password, magic, salt] {
        context.update(part);
    }
    for piece in password.chunks(inner.len()) {
        context.update(&inner[..piece.len()]);
    }
    let mut bits = password.len();
    while bits > 0 {
        context.update(if bits & 1 == 1 { &[0] } else { &password[..1] });
        bits >>= 1;
    }
    inner = context.finalize().into();
    for round in 0..ROUNDS {
        let odd = round % 2 == 1;
        let first: &[u8] = if odd { password } else { &inner };
        let second = if round % 3 == 0 { &[][..] } else { salt };
        let third = if round % 7 == 0 { &[][..] } else { password };
        let fourth: &[u8] = if odd { &inner } else { password };
        inner = md5(&[first, second, third, fourth]);
    }
    inner
}

/// The 22 characters behind the salt.
pub(super) fn decode(text: &str) -> Option<[u8; 16]> {
    let mut values = [0u32; 22];
    if text.len() != values.len() {
        return None;
    }
    for (value, byte) in values.iter_mut().zip(text.bytes()) {
        *value = u32::try_from(ALPHABET.iter().position(|known| *known == byte)?).ok()?;
    }
    let mut digest = [0; 16];
    for (group, places) in values.chunks(4).zip(ORDER) {
        // Lowest six bits first.
        let bits = group.iter().rev().fold(0, |bits, value| bits << 6 | value);
        let [_, bytes @ ..] = bits.to_be_bytes();
        for (place, byte) in places.into_iter().zip(bytes) {
            digest[place] = byte;
        }
    }
    let [.., low, high] = values;
    digest[LAST] = u8::try_from(high << 6 | low).ok()?;
    Some(digest)
}

fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut context = Md5::new();
    for part in parts {
        context.update(part);
    }
    context.finalize().into()
}
