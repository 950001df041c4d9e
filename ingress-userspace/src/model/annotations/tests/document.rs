//! `deploy/docs/annotations.md` lists the keys as they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path as FilePath;

use super::*;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/docs/annotations.md");

/// Title of the section and cells, by key.
fn rows() -> BTreeMap<String, (String, Vec<String>)> {
    let text = fs::read_to_string(PATH).unwrap();
    let mut title = String::new();
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        if let Some(section) = line.strip_prefix("## ") {
            title = section.to_owned();
        }
        let Some(row) = line.strip_prefix("| `") else { continue };
        let (key, rest) = row.split_once("` |").expect("a key in the first column");
        let cells = rest.trim_end_matches('|').split(" | ").map(|cell| cell.trim().to_owned());
        let twice = rows.insert(key.to_owned(), (title.clone(), cells.collect()));
        assert!(twice.is_none(), "{key} twice");
    }
    rows
}

#[test]
fn the_document_lists_every_key_and_no_other() {
    let listed: Vec<String> = rows().into_keys().collect();
    let mut known: Vec<String> = KEYS.iter().flat_map(Key::names).map(str::to_owned).collect();
    known.sort_unstable();
    assert_eq!(listed, known, "{PATH} is to be brought up to date");
}

#[test]
fn the_document_says_what_happens_with_keys_that_are_not_supported() {
    let rows = rows();
    for key in KEYS {
        let (section, cells) = &rows[key.name];
        let expected = match (&key.effect, key.group) {
            (Effect::Read(_), _) => {
                assert!(!section.starts_with("Not supported"), "{}", key.name);
                continue;
            }
            (Effect::Unserved { .. }, Group::Harmless) => "Not supported, ignored",
            (Effect::Unserved { .. }, Group::Access(scope)) => {
                let closed = if scope == Scope::Hosts { "host" } else { "paths" };
                assert_eq!(cells[1], closed, "{}", key.name);
                "Not supported, closed"
            }
        };
        assert_eq!(section, expected, "{}", key.name);
    }
}

#[test]
fn the_tests_that_the_document_names_exist() {
    let root = FilePath::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = String::new();
    for directory in ["tests", "src"] {
        read_sources(&root.join(directory), &mut sources);
    }
    for (key, (section, cells)) in rows() {
        if !section.starts_with("Not supported") {
            let test = cells.last().expect("a last column").trim_matches('`');
            assert!(sources.contains(&format!("fn {test}(")), "{key}: {test}");
        }
    }
}

/// "Where an annotation lives": every key that is read, once, and files that are there.
#[test]
fn the_architecture_says_where_each_key_is_parsed_compiled_and_applied() {
    let root = FilePath::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("../ARCHITECTURE.md")).unwrap();
    let (_, section) = text.split_once("### Where an annotation lives\n").expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let quoted = |cell: &str| -> Vec<String> {
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let mut listed = Vec::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<Vec<String>> = row.trim_matches('|').split(" | ").map(quoted).collect();
        let [keys, files @ ..] = &cells[..] else { panic!("{row}") };
        assert_eq!(files.len(), 3, "{row}");
        for file in files.iter().flatten() {
            assert!(root.join(format!("src/{file}.rs")).is_file(), "{file}");
        }
        listed.extend(keys.iter().cloned());
    }
    listed.sort_unstable();
    let read = KEYS.iter().filter(|key| matches!(key.effect, Effect::Read(_)));
    let mut known: Vec<String> = read.flat_map(Key::names).map(str::to_owned).collect();
    known.sort_unstable();
    assert_eq!(listed, known, "ARCHITECTURE.md is to be brought up to date");
}

fn read_sources(directory: &FilePath, sources: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}
