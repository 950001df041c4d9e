//! The layers of the userspace crate as an executable rule: imports only go down.
//!
//! One crate means that the compiler does not check this for us. In: the source of every file
//! under `ingress-userspace/src`; out: each path that leads to a module which its file must not
//! know, and each call that a pure module must not make. Tests are free. The table itself is judged
//! too: a row without a module, and whether ARCHITECTURE.md shows it as it is.

mod document;
mod paths;
mod table;

use std::fs;

use anyhow::Result;

use super::Findings;
use super::source::{code, line, without_tests, words};
use crate::workspace;
use paths::{Path, crate_paths, extern_paths};
use table::{IMPURE_CALLS, IMPURE_CRATES, IMPURE_STD, Row, TABLE, row};

const SOURCES: &str = "ingress-userspace/src/";
const ARCHITECTURE: &str = "ARCHITECTURE.md";

pub(super) fn check() -> Result<Findings> {
    let root = workspace::root();
    let mut wrong = Vec::new();
    let mut judged = 0;
    let files = workspace::files()?;
    wrong.extend(without_module(TABLE, &files));
    let shown = fs::read_to_string(root.join(ARCHITECTURE))?;
    wrong.extend(document::differences(TABLE, &shown).into_iter().map(at_architecture));
    for file in &files {
        let Some(module) = module(file) else { continue };
        let code = without_tests(&code(&fs::read_to_string(root.join(file))?));
        judged += 1;
        wrong.extend(judge(&module, &code).into_iter().map(|wrong| format!("{file}:{wrong}")));
    }
    Ok(Findings { wrong, summary: format!("{judged} files") })
}

fn at_architecture((line, what): (usize, String)) -> String {
    format!("{ARCHITECTURE}:{line}: {what}")
}

/// Rows that judge nothing: their module has gone or never was.
fn without_module(table: &[Row], files: &[String]) -> Vec<String> {
    let is_there = |row: &&Row| {
        let file = format!("{SOURCES}{}.rs", row.module.replace("::", "/"));
        files.contains(&file)
    };
    table
        .iter()
        .filter(|row| !is_there(row))
        .map(|row| {
            format!("xtask's layer table has a row for `{}`, which is no module", row.module)
        })
        .collect()
}

/// Module path of a source file; `None` for files that no rule is about.
fn module(file: &str) -> Option<Vec<String>> {
    let path = file.strip_prefix(SOURCES)?.strip_suffix(".rs")?;
    let parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    let free = path == "lib" || path == "main" || parts.iter().any(|part| part == "tests");
    (!free).then_some(parts)
}

/// Everything wrong in one module, as `line: what`.
fn judge(module: &[String], code: &str) -> Vec<String> {
    let Some(from) = row(module) else {
        return vec![format!("1: module `{}` has no row in xtask's layer table", module[0])];
    };
    let mut wrong: Vec<String> = crate_paths(module, code)
        .iter()
        .filter_map(|path| Some((path, objection(from, path)?)))
        .map(|(path, why)| format!("{}: `{}`: {why}", line(code, path.at), path.written()))
        .collect();
    if from.pure {
        wrong.extend(impure(from, code));
    }
    wrong
}

/// Why `from` must not know what `path` names.
fn objection(from: &Row, path: &Path) -> Option<String> {
    // `crate::Something` at the root, or a macro, is not a module.
    let first = path.segments.first()?;
    if !first.starts_with(|c: char| c.is_ascii_lowercase()) {
        return None;
    }
    let Some(to) = row(&path.segments) else {
        return Some(format!("`{first}` has no row in xtask's layer table"));
    };
    let (a, b) = (from.module, to.module);
    if a == b {
        None
    } else if from.never.contains(&b) {
        Some(format!("{a} must not know {b}"))
    } else if to.layer < from.layer {
        Some(format!("{a} (layer {}) must not know {b} (layer {})", from.layer, to.layer))
    } else if to.layer == from.layer && !from.beside.contains(&b) {
        Some(format!("{a} and {b} share layer {} and must not know each other", to.layer))
    } else {
        None
    }
}

/// Uses of the outside world in a module that is values in, values out.
fn impure(from: &Row, code: &str) -> Vec<String> {
    let pure = format!("{} is pure: values in, values out", from.module);
    let mut wrong = Vec::new();
    for name in IMPURE_CRATES {
        wrong.extend(
            extern_paths(name, code)
                .iter()
                .map(|path| format!("{}: `{}`: {pure}", line(code, path.at), path.written())),
        );
    }
    for path in extern_paths("std", code) {
        let written = path.written();
        if IMPURE_STD.iter().any(|banned| within(&written, banned)) {
            wrong.push(format!("{}: `{written}`: {pure}", line(code, path.at)));
        }
    }
    for call in IMPURE_CALLS {
        wrong.extend(words(code, call).map(|at| format!("{}: `{call}`: {pure}", line(code, at))));
    }
    wrong
}

/// Whether `path` is `outer` or inside it.
fn within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests;
