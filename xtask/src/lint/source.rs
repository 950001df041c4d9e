//! Rust source with everything blanked that is not code, and what a check reads out of it.
//!
//! In: the text of a file. Out: the same text, byte for byte as long, where comments, strings and
//! (on request) `#[cfg(test)]` items are spaces. Newlines stay, so line numbers stay true.

/// Blanks comments, string and character literals.
pub(crate) fn code(text: &str) -> String {
    let mut out = text.as_bytes().to_vec();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        if end == at {
            at += 1;
            continue;
        }
        blank(&mut out[at..end]);
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Blanks everything but comments.
pub(crate) fn comments(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at).max(at + 1);
        if !matches!(bytes[at..], [b'/', b'/' | b'*', ..]) {
            blank(&mut out[at..end]);
        }
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Blanks items under `#[cfg(test)]` in the output of [`code`].
pub(crate) fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = code.as_bytes().to_vec();
    let mut from = 0;
    while let Some(found) = code[from..].find(MARK) {
        let start = from + found;
        let end = item_end(code.as_bytes(), start + MARK.len());
        blank(&mut out[start..end]);
        from = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The 1-based line of a byte offset.
pub(crate) fn line(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Whether `byte` can be part of an identifier.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Offsets of `word` where it stands alone.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = at.checked_sub(1).map(|index| bytes[index]);
        let after = bytes.get(at + word.len()).copied();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// End of the comment or literal that begins at `at`; `at` itself when none does.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let boundary = at == 0 || !is_word(bytes[at - 1]);
    match rest {
        [b'/', b'/', ..] => at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment_end(bytes, at),
        [b'"', ..] => string_end(bytes, at + 1),
        [b'b' | b'c', b'"', ..] if boundary => string_end(bytes, at + 2),
        [b'r', b'"' | b'#', ..] if boundary => raw_string_end(bytes, at, at + 1),
        [b'b' | b'c', b'r', b'"' | b'#', ..] if boundary => raw_string_end(bytes, at, at + 2),
        [b'\'', ..] => character_end(bytes, at),
        _ => at,
    }
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut at) = (0_usize, start);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn raw_string_end(bytes: &[u8], start: usize, hashes_at: usize) -> usize {
    let hashes = bytes[hashes_at..].iter().take_while(|byte| **byte == b'#').count();
    let open = hashes_at + hashes;
    if bytes.get(open) != Some(&b'"') {
        return start; // a raw identifier
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    bytes[open + 1..]
        .windows(close.len())
        .position(|window| window == close)
        .map_or(bytes.len(), |found| open + 1 + found + close.len())
}

/// A character literal, or `at` when the quote opens a lifetime.
fn character_end(bytes: &[u8], at: usize) -> usize {
    let Some(&first) = bytes.get(at + 1) else { return at };
    if first == b'\\' {
        let close = bytes[at + 3..].iter().position(|byte| *byte == b'\'');
        return close.map_or(bytes.len(), |found| at + 3 + found + 1);
    }
    let width = match first {
        0..0x80 => 1,
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    };
    if bytes.get(at + 1 + width) == Some(&b'\'') { at + width + 2 } else { at }
}

/// End of the item that follows an attribute: its closing brace or its semicolon.
fn item_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' if depth == 1 => return at + 1,
            b'}' | b')' | b']' => depth = depth.saturating_sub(1),
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

#[cfg(test)]
mod tests {
    use super::{code, comments, line, without_tests, words};

    #[test]
    fn blanks_comments_and_literals_but_keeps_lifetimes_and_lines() {
        let text =
            "a // use crate::x\n/* b /* c */ d */ e\nr#\"crate::y\"# 'q' '\\'' b\"z\" &'a str";
        let code = code(text);
        assert_eq!(code.len(), text.len());
        let seen: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(seen, ["a", "e", "&'a", "str"]);
        assert_eq!(code.lines().count(), 3);
    }

    #[test]
    fn keeps_comments_only() {
        let text = "a // b \"c\"\n\"// d\" /* e */ f // é";
        let comments = comments(text);
        assert_eq!(comments.len(), text.len());
        let seen: Vec<&str> = comments.split_whitespace().collect();
        assert_eq!(seen, ["//", "b", "\"c\"", "/*", "e", "*/", "//", "é"]);
    }

    #[test]
    fn blanks_test_items_only() {
        let text =
            "mod a;\n#[cfg(test)]\nmod tests { fn x() { [1]; } }\n#[cfg(test)]\nmod t;\nfn b() {}";
        let left = without_tests(text);
        assert!(left.contains("mod a;") && left.contains("fn b()"));
        assert!(!left.contains("tests") && !left.contains("mod t;"));
        assert_eq!(line(&left, left.find("fn b").expect("kept")), 6);
    }

    #[test]
    fn finds_whole_words() {
        assert_eq!(words("unsafe_code unsafe {", "unsafe").collect::<Vec<_>>(), [12]);
    }
}
