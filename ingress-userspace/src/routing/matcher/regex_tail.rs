//! The regex rules of one host: longer text first, equally long ones in reverse lexical order
//! (2.3).
//!
//! Texts without a special character are compared as they are, because whole hosts of plain paths
//! turn into regexes by one `rewrite-target`, and an automaton costs a thousand times the memory
//! of a text. Real patterns are searched together.

use std::cmp::Reverse;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::routing::pattern;
use crate::routing::route::Route;

/// More plain texts than this are cheaper as part of the automaton than one by one.
const MAX_PLAIN: usize = 16;

#[derive(Debug, Clone, Default)]
pub(super) struct RegexTail {
    /// What every path that matches begins with, apart from case. Most paths do not, and need no
    /// automaton to tell.
    start: SmallVec<[u8; 16]>,
    runs: Arc<[Run]>,
}

/// Neighbours in the order of precedence.
#[derive(Debug, Clone)]
struct Run {
    /// Length of the run's first, longest text.
    longest: usize,
    search: Search,
    rules: Box<[Rule]>,
}

#[derive(Debug, Clone)]
enum Search {
    Plain,
    Set(pattern::Set),
}

type Rule = (Arc<str>, Arc<Route>);

// === impl RegexTail ===

impl RegexTail {
    pub(super) fn new(mut rules: Vec<Rule>) -> Self {
        rules.sort_by_key(|(text, _)| Reverse((text.len(), text.clone())));
        let plain = rules.iter().filter(|(text, _)| is_plain(text)).count();
        let mut runs = Vec::new();
        if plain > MAX_PLAIN {
            push_set(&mut runs, &rules);
        } else {
            for run in rules.chunk_by(|(a, _), (b, _)| is_plain(a) == is_plain(b)) {
                if is_plain(&run[0].0) {
                    runs.push(Run::new(Search::Plain, run));
                } else {
                    push_set(&mut runs, run);
                }
            }
        }
        let start = runs.iter().map(Run::start).reduce(common).unwrap_or_default();
        Self { start: start.into(), runs: runs.into() }
    }

    /// The first rule that matches and whose text has at least `shortest` bytes.
    pub(super) fn first(&self, path: &str, shortest: usize) -> Option<&Arc<Route>> {
        if !begins(path, &self.start) {
            return None;
        }
        let runs = self.runs.iter().take_while(|run| run.longest >= shortest);
        let (text, route) = runs.filter_map(|run| run.first(path)).next()?;
        (text.len() >= shortest).then_some(route)
    }
}

// === impl Run ===

impl Run {
    fn new(search: Search, rules: &[Rule]) -> Self {
        Self { longest: rules[0].0.len(), search, rules: rules.into() }
    }

    /// What every path that it matches begins with, apart from case.
    fn start(&self) -> Vec<u8> {
        match &self.search {
            Search::Plain => {
                let texts = self.rules.iter().map(|(text, _)| text.as_bytes().to_vec());
                texts.reduce(common).unwrap_or_default()
            }
            Search::Set(set) => set.start(),
        }
    }

    fn first(&self, path: &str) -> Option<&Rule> {
        match &self.search {
            Search::Plain => self.rules.iter().find(|(text, _)| begins(path, text.as_bytes())),
            Search::Set(set) => set.first(path).and_then(|first| self.rules.get(first)),
        }
    }
}

/// Halves the rules until each part is small enough to be searched together.
fn push_set(runs: &mut Vec<Run>, rules: &[Rule]) {
    let texts: Vec<&str> = rules.iter().map(|(text, _)| &**text).collect();
    match pattern::set(&texts) {
        Some(set) => runs.push(Run::new(Search::Set(set), rules)),
        None if rules.len() > 1 => {
            let (first, second) = rules.split_at(rules.len() / 2);
            push_set(runs, first);
            push_set(runs, second);
        }
        // Not reached: a pattern that is too large alone was refused before.
        None => {}
    }
}

/// What both begin with.
fn common(mut a: Vec<u8>, b: Vec<u8>) -> Vec<u8> {
    let same = a.iter().zip(&b).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
    a.truncate(same);
    a
}

fn begins(path: &str, start: &[u8]) -> bool {
    let head = path.as_bytes().get(..start.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(start))
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'/' | b'-' | b'_' | b'~' | b'%' | b':' | b'@')
    })
}
