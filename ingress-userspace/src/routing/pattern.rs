//! Rule paths read as regexes: bytes, case-insensitive, anchored at the start only, linear time.
//!
//! Look-around and back-references are not known and refused. A path is ASCII in its normalised
//! form, so that classes mean ASCII, which keeps the automata small. Size limits bound what one
//! rule can cost: memory of the agent and of every worker.

use regex_automata::meta::{BuildError, Config, Regex};
use regex_automata::util::syntax;

/// What makes a text more than a literal one, the dot excepted.
pub(super) const SPECIAL: [char; 14] =
    ['\\', '^', '$', '*', '+', '?', '(', ')', '[', ']', '{', '}', '|', '#'];

/// Longest rule path read as a regex, in bytes.
const MAX_TEXT: usize = 4096;
/// Compiled size of one pattern, in bytes: `(a{100}){100}` is past it.
const MAX_PATTERN: usize = 128 << 10;
/// Compiled size of the patterns of one host that are searched together.
const MAX_SET: usize = 4 << 20;

/// Why a rule path cannot be served as a regex.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    #[error("it is longer than {MAX_TEXT} bytes")]
    TooLong,
    #[error("its compiled form is larger than {MAX_PATTERN} bytes")]
    TooLarge,
    #[error("it is not a regular expression of the supported kind: {0}")]
    Syntax(String),
}

/// A pattern of its own whose groups are wanted.
///
/// # Errors
///
/// [`BadPattern`]; never a panic, whatever the text.
pub(super) fn with_groups(text: &str) -> Result<Regex, BadPattern> {
    if text.len() > MAX_TEXT {
        return Err(BadPattern::TooLong);
    }
    build(&[text], MAX_PATTERN, true).map_err(|error| bad(&error))
}

/// Whether `text` can be part of a [`set`].
pub(super) fn check(text: &str) -> Result<(), BadPattern> {
    if text.len() > MAX_TEXT {
        return Err(BadPattern::TooLong);
    }
    build(&[text], MAX_PATTERN, false).map(|_| ()).map_err(|error| bad(&error))
}

/// Checked patterns searched together; an anchored search finds the first of them that matches.
/// `None`: together they are too large, search them in parts.
pub(super) fn set(texts: &[&str]) -> Option<Regex> {
    let limit = if texts.len() == 1 { MAX_PATTERN } else { MAX_SET };
    build(texts, limit, false).ok()
}

fn build(texts: &[&str], limit: usize, groups: bool) -> Result<Regex, Box<BuildError>> {
    let config = Config::new()
        .nfa_size_limit(Some(limit))
        .hybrid_cache_capacity(256 << 10)
        .dfa(false)
        .onepass(groups)
        .backtrack(groups)
        .auto_prefilter(false)
        .utf8_empty(false);
    let syntax = syntax::Config::new().case_insensitive(true).unicode(false).utf8(false);
    Regex::builder().configure(config).syntax(syntax).build_many(texts).map_err(Box::new)
}

fn bad(error: &BuildError) -> BadPattern {
    match error.syntax_error() {
        Some(error) => {
            // The last line says what is wrong, those before it draw the place.
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            BadPattern::Syntax(last.trim_start_matches("error: ").to_owned())
        }
        None => BadPattern::TooLarge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_syntax_are_told_apart() {
        assert_eq!(check("/foo(/|$)(.*)"), Ok(()));
        assert_eq!(check(&"a".repeat(5000)), Err(BadPattern::TooLong));
        assert_eq!(check("/(a{100}){100}{100}"), Err(BadPattern::TooLarge));
        for text in ["/(", "/(?=a)", "/(a)\\1", "/[z-a]", "/(?P<x"] {
            assert!(matches!(check(text), Err(BadPattern::Syntax(_))), "{text}");
        }
    }

    #[test]
    fn set_finds_the_first_pattern_in_order() {
        let set = set(&["/foo/bar", "/foo", "/foo/.*"]).unwrap();
        let first = |path: &str| {
            let input = regex_automata::Input::new(path).anchored(regex_automata::Anchored::Yes);
            set.search_half(&input).map(|found| found.pattern().as_usize())
        };
        assert_eq!(first("/FOO/bar/x"), Some(0));
        assert_eq!(first("/foo/x"), Some(1));
        assert_eq!(first("/x/foo"), None);
    }
}
