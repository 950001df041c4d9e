//! Regular expressions that are searched in values of requests, such as header fields.
//!
//! Bytes, case-sensitive, anywhere in the value, linear time; look-around and back-references are
//! not known. A size limit bounds what one annotation can cost.

use std::sync::Arc;

use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use serde::{Deserialize, Serialize};

/// Longest text, in bytes.
const MAX_TEXT: usize = 4096;
/// Compiled size, in bytes.
const MAX_SIZE: usize = 128 << 10;

/// A checked expression; two are equal when their texts are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(into = "Box<str>", try_from = "Box<str>")]
pub struct Pattern {
    text: Arc<str>,
    regex: Regex,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    #[error("longer than {MAX_TEXT} bytes")]
    TooLong,
    #[error("its compiled form is larger than {MAX_SIZE} bytes")]
    TooLarge,
    #[error("not a regular expression of the supported kind")]
    Syntax,
}

// === impl Pattern ===

impl Pattern {
    /// # Errors
    ///
    /// [`BadPattern`]; never a panic, whatever the text.
    pub fn new(text: &str) -> Result<Self, BadPattern> {
        if text.len() > MAX_TEXT {
            return Err(BadPattern::TooLong);
        }
        let config = Regex::config().nfa_size_limit(Some(MAX_SIZE)).dfa(false).utf8_empty(false);
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        let built = Regex::builder().configure(config).syntax(syntax).build(text);
        let regex = built.map_err(|error| match error.syntax_error() {
            Some(_) => BadPattern::Syntax,
            None => BadPattern::TooLarge,
        })?;
        Ok(Self { text: text.into(), regex })
    }

    pub fn is_in(&self, value: &[u8]) -> bool {
        self.regex.is_match(value)
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

impl From<Pattern> for Box<str> {
    fn from(pattern: Pattern) -> Self {
        (*pattern.text).into()
    }
}

impl TryFrom<Box<str>> for Pattern {
    type Error = BadPattern;

    fn try_from(text: Box<str>) -> Result<Self, BadPattern> {
        Self::new(&text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_anywhere_and_minds_case() {
        let pattern = Pattern::new("a[0-9]+").unwrap();
        assert!(pattern.is_in(b"xa17y") && !pattern.is_in(b"A17") && !pattern.is_in(b""));
        assert!(Pattern::new("^a$").unwrap().is_in(b"a"));
    }

    #[test]
    fn limits_and_syntax_are_told_apart() {
        let why = |text: &str| Pattern::new(text).expect_err("a bad pattern");
        assert_eq!(why(&"a".repeat(5000)), BadPattern::TooLong);
        assert_eq!(why("(a{100}){100}{100}"), BadPattern::TooLarge);
        for text in ["(", "(?=a)", "(a)\\1", "[z-a]"] {
            assert_eq!(why(text), BadPattern::Syntax, "{text}");
        }
    }
}
