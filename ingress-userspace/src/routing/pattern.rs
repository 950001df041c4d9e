//! Rule paths read as regexes: bytes, case-insensitive, anchored at the start only, linear time.
//!
//! Look-around and back-references are not known and refused. A path is ASCII in its normalised
//! form, so that classes mean ASCII, which keeps the automata small. Size limits bound what one
//! rule can cost: memory of the agent and of every worker.

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::meta::{BuildError, Config, Regex};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

/// What makes a text more than a literal one, the dot excepted.
pub(super) const SPECIAL: [char; 14] =
    ['\\', '^', '$', '*', '+', '?', '(', ')', '[', ']', '{', '}', '|', '#'];

/// Longest rule path read as a regex, in bytes.
const MAX_TEXT: usize = 4096;
/// Compiled size of one pattern, in bytes: `(a{100}){100}` is past it.
const MAX_PATTERN: usize = 128 << 10;
/// Compiled size of the patterns of one host that are searched together.
const MAX_SET: usize = 4 << 20;
/// Size of a whole automaton, in bytes, and of the memory to make it: less than a search would
/// otherwise fill with states on its way.
const MAX_TABLE: usize = 16 << 10;
const MAX_TABLE_BUILD: usize = 64 << 10;
/// Longest start of paths that is told, in bytes.
const MAX_START: usize = 16;

/// Checked patterns that are searched together.
#[derive(Debug, Clone)]
pub(super) enum Set {
    /// Every state is there: a search reads one table and writes nothing.
    Table(Box<dense::DFA<Vec<u32>>>),
    /// Larger ones: searches make the states that they need, in a cache for each thread.
    Lazy(Regex),
}

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

/// The set of checked patterns. `None`: together they are too large, search them in parts.
pub(super) fn set(texts: &[&str]) -> Option<Set> {
    if let Ok(table) = table(texts) {
        return Some(Set::Table(Box::new(table)));
    }
    let limit = if texts.len() == 1 { MAX_PATTERN } else { MAX_SET };
    build(texts, limit, false).ok().map(Set::Lazy)
}

fn table(texts: &[&str]) -> Result<dense::DFA<Vec<u32>>, Box<dense::BuildError>> {
    let config = dense::Config::new()
        .start_kind(StartKind::Anchored)
        .accelerate(false)
        .dfa_size_limit(Some(MAX_TABLE))
        .determinize_size_limit(Some(MAX_TABLE_BUILD));
    let nfa = thompson::Config::new().utf8(false).nfa_size_limit(Some(MAX_TABLE_BUILD));
    let mut builder = dense::Builder::new();
    builder.configure(config).thompson(nfa).syntax(syntax()).build_many(texts).map_err(Box::new)
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
    Regex::builder().configure(config).syntax(syntax()).build_many(texts).map_err(Box::new)
}

fn syntax() -> syntax::Config {
    syntax::Config::new().case_insensitive(true).unicode(false).utf8(false)
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

// === impl Set ===

impl Set {
    /// What every path that matches begins with, in lower case; case does not matter. May be
    /// shorter than it could be.
    pub(super) fn start(&self) -> Vec<u8> {
        match self {
            Self::Table(table) => start(table).unwrap_or_default(),
            Self::Lazy(_) => Vec::new(),
        }
    }

    /// Which is the first of the patterns that matches the beginning of `path`.
    pub(super) fn first(&self, path: &str) -> Option<usize> {
        let input = Input::new(path).anchored(Anchored::Yes);
        let found = match self {
            Self::Table(table) => table
                .try_search_fwd(&input)
                .expect("it is built for anchored searches and no byte makes it quit"),
            Self::Lazy(regex) => regex.search_half(&input),
        };
        found.map(|found| found.pattern().as_usize())
    }
}

/// Follows the automaton as long as there is one way on, apart from case: not for ever, because
/// there are loops that no match leaves.
fn start(table: &dense::DFA<Vec<u32>>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut state = table.start_state_forward(&Input::new("").anchored(Anchored::Yes)).ok()?;
    // A match shows one step later, at any byte or at the end of the path.
    while bytes.len() < MAX_START && table.is_dead_state(table.next_eoi_state(state)) {
        let alive = |byte: &u8| !table.is_dead_state(table.next_state(state, *byte));
        let mut ways = (0..=u8::MAX).filter(alive);
        let Some(byte) = ways.next() else { break };
        if ways.any(|other| !other.eq_ignore_ascii_case(&byte)) {
            break;
        }
        bytes.push(byte.to_ascii_lowercase());
        state = table.next_state(state, byte);
    }
    Some(bytes)
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
        let texts = ["/foo/bar", "/foo", "/foo/.*", "/(a|b)\\b$"];
        let lazy = Set::Lazy(build(&texts, MAX_SET, false).unwrap());
        let table = set(&texts).unwrap();
        assert!(matches!(table, Set::Table(_)));
        for set in [table, lazy] {
            assert_eq!(set.first("/FOO/bar/x"), Some(0));
            assert_eq!(set.first("/foo/x"), Some(1));
            assert_eq!(set.first("/b"), Some(3));
            for path in ["/x/foo", "/bc", "/c", ""] {
                assert_eq!(set.first(path), None, "{path}");
            }
        }
    }

    #[test]
    fn start_is_what_all_patterns_begin_with() {
        for (texts, start) in [
            (&["/V[0-9]+/(.*)"][..], "/v"),
            (&["/api(/|$)(.*)"], "/api"),
            (&["/api/?(.*)"], "/api"),
            (&["/apis*"], "/api"),
            (&["/a$|/ab"], "/a"),
            (&["/a|/b", "/c"], "/"),
            (&["/shop/x(.*)", "/shOp/y"], "/shop/"),
            (&["(.*)"], ""),
            (&["/a*\\b\\B"], "/aaaaaaaaaaaaaaa"),
        ] {
            let found = set(texts).unwrap().start();
            assert_eq!(str::from_utf8(&found).unwrap(), start, "{texts:?}");
        }
    }

    #[test]
    fn large_sets_make_their_states_when_asked() {
        let texts: Vec<String> = (0..200).map(|at| format!("/x{at}/[a-z]+/(.*)")).collect();
        let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
        let set = set(&texts).unwrap();
        assert!(matches!(set, Set::Lazy(_)));
        assert_eq!(set.first("/X17/abc/"), Some(17));
    }
}
