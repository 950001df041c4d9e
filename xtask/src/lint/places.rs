//! Things that are allowed in few places or nowhere: `unsafe`, paths of one machine.

use std::fs;

use anyhow::Result;

use super::Findings;
use super::source::{code, line, words};
use crate::workspace;

/// Files and directories that may contain `unsafe`.
const UNSAFE: &[&str] = &[
    "ingress-ebpf/src/",
    "ingress-common/src/",
    "ingress-userspace/src/net/sys.rs",
    // An allocator that counts.
    "ingress-userspace/tests/routing_cost.rs",
];

/// Spelled in two halves, so that this file does not contain them.
const MACHINE_PATHS: &[(&str, &str)] = &[("/wo", "rk/"), ("/ro", "ot/"), ("/ho", "me/")];

pub(super) fn check() -> Result<Findings> {
    let root = workspace::root();
    let files = workspace::files()?;
    let mut wrong = Vec::new();
    for file in &files {
        let Ok(text) = fs::read_to_string(root.join(file)) else { continue };
        wrong.extend(machine_paths(file, &text));
        if file.ends_with(".rs") && !UNSAFE.iter().any(|place| file.starts_with(place)) {
            let code = code(&text);
            wrong.extend(words(&code, "unsafe").map(|at| {
                format!(
                    "{file}:{}: `unsafe` belongs to {} only",
                    line(&code, at),
                    UNSAFE.join(", ")
                )
            }));
        }
    }
    Ok(Findings { wrong, summary: format!("{} files", files.len()) })
}

fn machine_paths(file: &str, text: &str) -> Vec<String> {
    let paths = MACHINE_PATHS.iter().map(|(a, b)| format!("{a}{b}"));
    paths
        .flat_map(|path| {
            let found: Vec<usize> = text
                .match_indices(&path)
                .map(|(at, _)| at)
                .filter(|at| starts_a_path(text.as_bytes(), *at))
                .collect();
            found.into_iter().map(move |at| {
                format!("{file}:{}: {path}… is a path of one machine", line(text, at))
            })
        })
        .collect()
}

/// Not in the middle of a longer path, a URL or a word.
fn starts_a_path(text: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).map(|index| text[index]);
    !before.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"._-~}*".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::machine_paths;

    #[test]
    fn names_the_line_of_a_machine_path_but_not_of_a_url_path() {
        let path = ["/ro", "ot/x"].concat();
        assert_eq!(machine_paths("f", &format!("a\n\"{path}\"")).len(), 1);
        assert!(machine_paths("f", &format!("a\n\"{path}\""))[0].starts_with("f:2:"));
        assert!(machine_paths("f", &format!("http://example.com{path}")).is_empty());
    }
}
