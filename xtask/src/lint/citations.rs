//! What comments and documents refer to: rules by their names, documents by their files.
//!
//! In: comments and test names of all Rust files, the text of all documents. Out: each name of a
//! rule that `deploy/docs/rules.md` does not have, and each document that is not in the repository.
//! A name is a letter and a number (`C13`); a range (`E1-E9`) stands for all between its ends.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};

use super::Findings;
use super::source::{code, comments, is_word, line, words};
use crate::workspace;

const RULES: &str = "deploy/docs/rules.md";

pub(super) fn check() -> Result<Findings> {
    let root = workspace::root();
    let files = workspace::files()?;
    let text = fs::read_to_string(root.join(RULES)).with_context(|| format!("read {RULES}"))?;
    let rules = Rules::of(&text);
    let mut wrong = Vec::new();
    for file in &files {
        let is_source = file.ends_with(".rs");
        if !is_source && !file.ends_with(".md") {
            continue;
        }
        let text = fs::read_to_string(root.join(file))?;
        let prose = if is_source { comments(&text) } else { text.clone() };
        let mut found = rules.unknown(&prose);
        if is_source {
            found.extend(rules.unknown_of_tests(&code(&text)));
            found.extend(missing_documents(&prose, &files));
        }
        wrong.extend(
            found.into_iter().map(|(at, what)| format!("{file}:{}: {what}", line(&text, at))),
        );
    }
    Ok(Findings { wrong, summary: format!("{} rules", rules.names.len()) })
}

/// Where something is wrong, by byte offset, and what.
type Found = Vec<(usize, String)>;

/// The names in the tables of the document.
struct Rules {
    names: BTreeSet<String>,
    /// With which names begin. Other letters with numbers are no rules.
    letters: BTreeSet<char>,
}

// === impl Rules ===

impl Rules {
    fn of(document: &str) -> Self {
        let name = |row: &str| Some(row.strip_prefix("| `")?.split_once('`')?.0.to_owned());
        let names: BTreeSet<String> = document.lines().filter_map(name).collect();
        let letters = names.iter().filter_map(|name| name.chars().next());
        let letters = letters.filter(char::is_ascii_uppercase).collect();
        Self { names, letters }
    }

    /// Names in prose that are in no table.
    fn unknown(&self, prose: &str) -> Found {
        let mut found = Vec::new();
        let mut range = None;
        for (at, letter, number) in self.cited(prose) {
            let end = at + 1 + number.to_string().len();
            let first = match range {
                Some((from, first, of)) if from == at && of == letter => first,
                _ => number,
            };
            for number in first..=number {
                let name = format!("{letter}{number}");
                if !self.names.contains(&name) {
                    found.push((at, format!("{RULES} has no rule {name}")));
                }
            }
            range = prose[end..].starts_with('-').then_some((end + 1, number + 1, letter));
        }
        found
    }

    /// Letter and number of each name that stands alone.
    fn cited<'a>(&'a self, prose: &'a str) -> impl Iterator<Item = (usize, char, u32)> + 'a {
        prose.char_indices().filter(|(_, c)| self.letters.contains(c)).filter_map(|(at, letter)| {
            // `%A9` is an escape.
            let before = prose[..at].bytes().next_back();
            let digits = prose[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
            let after = prose[at + 1 + digits..].bytes().next();
            let is_part = |byte: u8| is_word(byte) || byte == b'%';
            if !(1..=2).contains(&digits)
                || before.is_some_and(is_part)
                || after.is_some_and(is_word)
            {
                return None;
            }
            Some((at, letter, prose[at + 1..=at + digits].parse().ok()?))
        })
    }

    /// `fn c13_…` tells a promise of C13.
    fn unknown_of_tests(&self, code: &str) -> Found {
        let name = |at: usize| {
            let rest = code[at..].strip_prefix("fn ")?;
            let (prefix, _) = rest.split_once('_')?;
            let letter = prefix.chars().next()?.to_ascii_uppercase();
            let number: u32 = prefix.get(1..)?.parse().ok()?;
            let rule = format!("{letter}{number}");
            let is_rule = !self.letters.contains(&letter) || self.names.contains(&rule);
            (!is_rule).then(|| (at, format!("{RULES} has no rule {rule} for this test")))
        };
        words(code, "fn").filter_map(name).collect()
    }
}

/// Documents that comments name and nobody can read.
fn missing_documents(comments: &str, files: &[String]) -> Found {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let exists = |name: &str| {
        let relative = name.trim_start_matches('/');
        files.iter().any(|file| file == relative || file.ends_with(&format!("/{relative}")))
    };
    let named = comments.match_indices(".md").filter_map(|(dot, _)| {
        let end = dot + ".md".len();
        let start = comments[..dot].rfind(|c| !is_path(c)).map_or(0, |at| at + 1);
        let is_whole = !comments[end..].bytes().next().is_some_and(is_word);
        let name = &comments[start..end];
        // A URL, whose scheme ends before its slashes.
        let is_url = comments[..start].ends_with(':');
        (is_whole && start < dot && !is_url && !exists(name))
            .then(|| (start, format!("{name} is not in the repository")))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules::of(
            "| rule | says |\n|---|---|\n| `C1` | x |\n| `2.2` | y |\n| `C2` | z |\n| `E4` | |",
        )
    }

    fn unknown(prose: &str) -> Vec<String> {
        rules().unknown(prose).into_iter().map(|(_, what)| what).collect()
    }

    #[test]
    fn refuses_names_that_no_table_has() {
        assert!(
            unknown("// C1, (C2) and `E4`; H7 is of another kind, C1x and xC9 are none").is_empty()
        );
        assert_eq!(unknown("C9"), ["deploy/docs/rules.md has no rule C9"]);
        assert!(unknown("/caf%C3").is_empty());
    }

    #[test]
    fn a_range_stands_for_all_between_its_ends() {
        assert!(unknown("C1-C2").is_empty());
        assert_eq!(unknown("C1-C3"), ["deploy/docs/rules.md has no rule C3"]);
        assert_eq!(unknown("C1-C4").len(), 2);
        assert_eq!(unknown("C2-E4").len(), 0);
    }

    #[test]
    fn names_of_tests_begin_with_a_rule_or_with_none() {
        let tests = |code: &str| rules().unknown_of_tests(code).len();
        assert_eq!(tests("fn c1_oldest_wins() {} fn h2c_is_spoken() {} fn x9_y() {}"), 0);
        assert_eq!(tests("fn c9_nothing() {}"), 1);
    }

    #[test]
    fn documents_that_comments_name_are_there() {
        let files = ["deploy/docs/rules.md".to_owned()];
        let missing = |text: &str| missing_documents(text, &files).len();
        assert_eq!(missing("// `deploy/docs/rules.md`, rules.md, https://example.com/x.md"), 0);
        assert_eq!(missing("// (`elsewhere.md` 2.3)"), 1);
    }
}
