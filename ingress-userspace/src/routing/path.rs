//! The one form of a request path (D7): used for routing, for access rules and sent upstream.
//!
//! In: the path part of a request target, without query. Out: its canonical form, borrowed when
//! the path has it already, or [`BadPath`], answered with 400. `OPTIONS *` has no path and does
//! not come here; it is routed as the empty path (P1).
//!
//! A path is canonical when
//!
//! * it begins with `/` and has no empty segment (`//`) and no segment `.` or `..`;
//! * unreserved characters (`A-Z a-z 0-9 - . _ ~`) are never escaped;
//! * sub-delimiters, `:` and `@` are as they were sent, raw or escaped: RFC 3986 2.2 lets the two
//!   differ in meaning;
//! * every other byte is escaped, and the digits of an escape are upper case.
//!
//! | in the request                              | becomes                      |
//! |---------------------------------------------|------------------------------|
//! | `/a/./b`, `/a//b`, `/a/x/../b`, `/%61/b`    | `/a/b`                       |
//! | `/a/.`, `/a/b/..`, `/a/%2e`                 | `/a/`                        |
//! | `/%7euser`, `/caf%c3%a9`, `/café`, `/a b`   | `/~user`, `/caf%C3%A9` (both), `/a%20b` |
//! | `/a%40b`, `/a@b`, `/a%252Fb`                | unchanged                    |
//! | the empty path of an absolute-form target   | `/`                          |
//! | `%2F`, `%5C`, `%00`, a raw backslash        | refused                      |
//! | `..` above the root                         | refused                      |
//! | `%` without two hex digits, control bytes, `#`, `?` | refused              |
//!
//! Slashes are merged before `..` is resolved (`/a//../b` is `/b`), as nginx does. Escapes are
//! decoded once: the result never changes when it is normalised again.

use std::borrow::Cow;

/// Why a request path is refused: 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    #[error("the path holds a byte that has no place in a path")]
    Character,
    #[error("a percent sign is not followed by two hex digits")]
    Escape,
    #[error("the path holds an escaped slash, backslash or NUL")]
    EncodedSeparator,
    #[error("the path climbs above the root")]
    AboveRoot,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Unreserved: never escaped.
    Unreserved,
    /// Allowed raw and kept as it is: sub-delimiters, `:`, `@`, `/`.
    Raw,
    Percent,
    /// Sent raw by some clients; escaped in the canonical form.
    Escaped,
    Refused,
}

const CLASSES: [Class; 256] = classes();

/// The canonical form of `raw`.
///
/// # Errors
///
/// [`BadPath`] as in the table of the module.
pub fn normalise(raw: &str) -> Result<Cow<'_, str>, BadPath> {
    if raw.is_empty() {
        return Ok(Cow::Borrowed("/"));
    }
    if !raw.starts_with('/') {
        return Err(BadPath::NotAbsolute);
    }
    if is_canonical(raw.as_bytes()) {
        return Ok(Cow::Borrowed(raw));
    }
    rebuild(raw).map(Cow::Owned)
}

/// Exact: one pass that allocates nothing, because nearly every path is canonical already.
fn is_canonical(path: &[u8]) -> bool {
    let mut previous = 0;
    for (at, &byte) in path.iter().enumerate() {
        let fine = match CLASSES[byte as usize] {
            Class::Unreserved => byte != b'.' || previous != b'/' || !is_dot_segment(&path[at..]),
            Class::Raw => byte != b'/' || previous != b'/',
            Class::Percent => match path.get(at + 1..at + 3) {
                Some(&[high, low]) => is_canonical_escape(high, low),
                _ => false,
            },
            Class::Escaped | Class::Refused => false,
        };
        if !fine {
            return false;
        }
        previous = byte;
    }
    true
}

/// Whether `rest`, which begins a segment, begins with `.` or `..` as a whole segment.
fn is_dot_segment(rest: &[u8]) -> bool {
    matches!(rest, [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..])
}

fn is_canonical_escape(high: u8, low: u8) -> bool {
    let upper = |digit: u8| matches!(digit, b'0'..=b'9' | b'A'..=b'F');
    upper(high)
        && upper(low)
        && hex(high).zip(hex(low)).is_some_and(|(high, low)| {
            let byte = high << 4 | low;
            CLASSES[byte as usize] != Class::Unreserved && !is_separator(byte)
        })
}

fn rebuild(raw: &str) -> Result<String, BadPath> {
    let mut out = String::with_capacity(raw.len() + 8);
    out.push('/');
    let mut segments = raw[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let start = out.len();
        push_segment(&mut out, segment)?;
        match &out[start..] {
            "" => {}
            "." => out.truncate(start),
            ".." => {
                if start == 1 {
                    return Err(BadPath::AboveRoot);
                }
                let parent = out[..start - 1].rfind('/').map_or(1, |slash| slash + 1);
                out.truncate(parent);
            }
            _ if segments.peek().is_some() => out.push('/'),
            _ => {}
        }
    }
    Ok(out)
}

fn push_segment(out: &mut String, segment: &str) -> Result<(), BadPath> {
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        match CLASSES[byte as usize] {
            Class::Unreserved | Class::Raw => out.push(char::from(byte)),
            Class::Escaped => push_escape(out, byte),
            Class::Refused => return Err(BadPath::Character),
            Class::Percent => {
                let digits = bytes.next().and_then(hex).zip(bytes.next().and_then(hex));
                let (high, low) = digits.ok_or(BadPath::Escape)?;
                let decoded = high << 4 | low;
                if is_separator(decoded) {
                    return Err(BadPath::EncodedSeparator);
                }
                match CLASSES[decoded as usize] {
                    Class::Unreserved => out.push(char::from(decoded)),
                    Class::Raw | Class::Percent | Class::Escaped | Class::Refused => {
                        push_escape(out, decoded);
                    }
                }
            }
        }
    }
    Ok(())
}

fn push_escape(out: &mut String, byte: u8) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    out.push('%');
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Bytes that an upstream could take for a separator or an end once it decodes them.
fn is_separator(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\' | 0)
}

const fn classes() -> [Class; 256] {
    let mut table = [Class::Escaped; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                Class::Unreserved
            }
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':'
            | b'@' | b'/' => Class::Raw,
            b'%' => Class::Percent,
            0..=0x1f | 0x7f | b'\\' | b'#' | b'?' => Class::Refused,
            _ => Class::Escaped,
        };
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn d7_paths_become_canonical() {
        for (raw, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/a/./b", "/a/b"),
            ("/a//b", "/a/b"),
            ("/a/x/../b", "/a/b"),
            ("/a//../b", "/b"),
            ("/%61/b", "/a/b"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/a/b/../", "/a/"),
            ("/a/..", "/"),
            ("/a/%2e", "/a/"),
            ("/a/%2E%2e/b", "/b"),
            ("/%7euser", "/~user"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/café", "/caf%C3%A9"),
            ("/a b\"<>^`{|}", "/a%20b%22%3C%3E%5E%60%7B%7C%7D"),
            ("/a%0ab", "/a%0Ab"),
        ] {
            assert_eq!(normalise(raw).as_deref(), Ok(canonical), "{raw}");
        }
    }

    #[test]
    fn d7_canonical_paths_are_borrowed() {
        for raw in [
            "/",
            "/a/b/",
            "/a%40b",
            "/a@b;v=1",
            "/a%252Fb",
            "/.well-known/x",
            "/..a/b..",
            "/...",
            "/a%20b",
        ] {
            assert!(matches!(normalise(raw), Ok(Cow::Borrowed(same)) if same == raw), "{raw}");
        }
    }

    #[test]
    fn d7_ambiguous_paths_are_refused() {
        for (raw, why) in [
            ("a", BadPath::NotAbsolute),
            ("*", BadPath::NotAbsolute),
            ("/a%2Fb", BadPath::EncodedSeparator),
            ("/a%2fb", BadPath::EncodedSeparator),
            ("/a%5cb", BadPath::EncodedSeparator),
            ("/a%00", BadPath::EncodedSeparator),
            ("/a\\b", BadPath::Character),
            ("/a\u{7f}", BadPath::Character),
            ("/a\tb", BadPath::Character),
            ("/a?b", BadPath::Character),
            ("/a#b", BadPath::Character),
            ("/a%", BadPath::Escape),
            ("/a%4", BadPath::Escape),
            ("/a%4/b", BadPath::Escape),
            ("/a%zz", BadPath::Escape),
            ("/..", BadPath::AboveRoot),
            ("/a/../../b", BadPath::AboveRoot),
            ("/%2e%2e/", BadPath::AboveRoot),
            ("//..", BadPath::AboveRoot),
        ] {
            assert_eq!(normalise(raw), Err(why), "{raw}");
        }
    }

    fn any_path() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => Just("/".to_owned()),
            2 => Just(".".to_owned()),
            2 => Just("%2e".to_owned()),
            1 => Just("%2F".to_owned()),
            1 => Just("%".to_owned()),
            3 => "[a-cA-C%é ~@]",
            2 => "%[0-9a-fA-F]{2}",
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #[test]
        fn d7_normalising_is_idempotent(raw in any_path()) {
            if let Ok(once) = normalise(&raw) {
                let again = normalise(&once);
                prop_assert!(matches!(again, Ok(Cow::Borrowed(same)) if same == once), "{raw} {once}");
            }
        }

        #[test]
        fn d7_no_dot_segment_empty_segment_or_needless_escape_is_left(raw in any_path()) {
            if let Ok(path) = normalise(&raw) {
                prop_assert!(path.starts_with('/') && path.is_ascii());
                prop_assert!(!path.contains("//"));
                prop_assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
                for (at, _) in path.match_indices('%') {
                    let digits = &path[at + 1..at + 3];
                    let byte = u8::from_str_radix(digits, 16).unwrap();
                    prop_assert_eq!(digits.to_uppercase(), digits);
                    prop_assert!(!byte.is_ascii_alphanumeric() && !b"-._~/\\\0".contains(&byte));
                }
            }
        }

        #[test]
        fn d7_escaping_an_unreserved_byte_changes_nothing(raw in any_path(), at in any::<prop::sample::Index>()) {
            let Ok(plain) = normalise(&raw) else { return Ok(()) };
            let letters: Vec<usize> =
                plain.match_indices('~').map(|(at, _)| at).collect();
            if !letters.is_empty() {
                let at = letters[at.index(letters.len())];
                let escaped = format!("{}%7e{}", &plain[..at], &plain[at + 1..]);
                prop_assert_eq!(normalise(&escaped), Ok(plain));
            }
        }
    }
}
