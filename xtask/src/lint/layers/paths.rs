//! Paths in code: `crate::a::{b, c::d}` and `super::…`, as lists of segments from the crate root.
//!
//! In: code with comments and literals blanked. Both `use` trees and paths inside expressions are
//! found; a group gives one path per leaf.

use super::super::source::{is_word, words};

/// One path from the crate root (or from an external crate's name).
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Path {
    pub(super) segments: Vec<String>,
    /// Byte offset of the place that names it.
    pub(super) at: usize,
}

impl Path {
    pub(super) fn written(&self) -> String {
        self.segments.join("::")
    }
}

/// What code of `module` names inside its own crate.
pub(super) fn crate_paths(module: &[String], code: &str) -> Vec<Path> {
    let mut found = Vec::new();
    for at in words(code, "crate") {
        leaves(code, at + "crate".len(), &[], at, &mut found);
    }
    for at in words(code, "super").filter(|at| !follows_separator(code, *at)) {
        // Each further `super::` climbs one module.
        let (mut base, mut end) = (parent(module), at + "super".len());
        while let Some(next) = code[end..].strip_prefix("::super") {
            (base, end) = (parent(base), code.len() - next.len());
        }
        leaves(code, end, base, at, &mut found);
    }
    found
}

/// What code names below the external crate `name`, the name included.
pub(super) fn extern_paths(name: &str, code: &str) -> Vec<Path> {
    let mut found = Vec::new();
    for at in words(code, name).filter(|at| !follows_separator(code, *at)) {
        leaves(code, at + name.len(), &[name.to_owned()], at, &mut found);
    }
    found
}

fn parent(module: &[String]) -> &[String] {
    &module[..module.len().saturating_sub(1)]
}

/// `a::tokio` is somebody's module, `::tokio` and `tokio` are the crate.
fn follows_separator(code: &str, at: usize) -> bool {
    let Some(before) = code[..at].strip_suffix("::") else { return false };
    before.as_bytes().last().is_some_and(|byte| is_word(*byte) || *byte == b'>')
}

/// Adds a path for each leaf of the tree whose `::` stands at `from`; none stands, none is added.
fn leaves(code: &str, from: usize, base: &[String], at: usize, found: &mut Vec<Path>) {
    if code[from..].trim_start().starts_with("::") {
        tree(code, from, base, at, found);
    }
}

/// Reads what follows a prefix: `::segment…`, `::{…}`, `::*` or nothing. Returns where it ended.
fn tree(code: &str, from: usize, prefix: &[String], at: usize, found: &mut Vec<Path>) -> usize {
    let rest = code[from..].trim_start();
    let here = code.len() - rest.len();
    let Some(after) = rest.strip_prefix("::") else {
        found.push(Path { segments: prefix.to_vec(), at });
        return from;
    };
    let after = after.trim_start();
    let start = code.len() - after.len();
    if after.starts_with('{') {
        return group(code, start + 1, prefix, found);
    }
    let length = after.bytes().take_while(|byte| is_word(*byte)).count();
    if length == 0 {
        // `::*` or a turbofish ends the path.
        found.push(Path { segments: prefix.to_vec(), at });
        return here;
    }
    let mut longer = prefix.to_vec();
    longer.push(after[..length].to_owned());
    tree(code, start + length, &longer, at, found)
}

/// Reads the members of a `{…}`; returns the offset after its end.
fn group(code: &str, mut from: usize, prefix: &[String], found: &mut Vec<Path>) -> usize {
    loop {
        let rest = code[from..].trim_start();
        let start = code.len() - rest.len();
        if rest.is_empty() {
            return start;
        }
        if rest.starts_with('}') {
            return start + 1;
        }
        let length = rest.bytes().take_while(|byte| is_word(*byte)).count();
        if length == 0 {
            from = start + rest.chars().next().map_or(1, char::len_utf8);
            continue;
        }
        let name = &rest[..length];
        let mut longer = prefix.to_vec();
        if name != "self" {
            longer.push(name.to_owned());
        }
        from = tree(code, start + length, &longer, start, found);
        from = skip_alias(code, from);
    }
}

/// Skips ` as name`.
fn skip_alias(code: &str, from: usize) -> usize {
    let rest = code[from..].trim_start();
    let Some(alias) = rest.strip_prefix("as ") else { return from };
    let alias = alias.trim_start();
    let name = alias.bytes().take_while(|byte| is_word(*byte)).count();
    code.len() - alias.len() + name
}
