//! The regex rules of one host: longer text first, equally long ones in reverse lexical order
//! (2.3).
//!
//! Texts without a special character are compared as they are, because whole hosts of plain paths
//! turn into regexes by one `rewrite-target`, and an automaton costs a thousand times the memory
//! of a text. Real patterns are searched together.

use std::cmp::Reverse;
use std::sync::Arc;

use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};

use crate::routing::pattern;
use crate::routing::route::Route;

/// More plain texts than this are cheaper as part of the automaton than one by one.
const MAX_PLAIN: usize = 16;

#[derive(Debug, Clone, Default)]
pub(super) struct RegexTail {
    runs: Box<[Run]>,
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
    Set(Regex),
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
        Self { runs: runs.into() }
    }

    /// The first rule that matches and whose text has at least `shortest` bytes.
    pub(super) fn first(&self, path: &str, shortest: usize) -> Option<&Arc<Route>> {
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

    fn first(&self, path: &str) -> Option<&Rule> {
        match &self.search {
            Search::Plain => self.rules.iter().find(|(text, _)| {
                let start = path.as_bytes().get(..text.len());
                start.is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes()))
            }),
            Search::Set(set) => {
                let found = set.search_half(&Input::new(path).anchored(Anchored::Yes))?;
                self.rules.get(found.pattern().as_usize())
            }
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

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'/' | b'-' | b'_' | b'~' | b'%' | b':' | b'@')
    })
}
