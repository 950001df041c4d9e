//! `deploy/chart/files/annotations.yaml`, of which the chart makes its admission policy, says the
//! same as the table of keys and their parsers.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use proptest::string::string_regex;
use regex::Regex;
use serde::Deserialize;

use super::*;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/chart/files/annotations.yaml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    grammars: Vec<Grammar>,
    /// Read, and nothing about their values can be said in a pattern.
    unchecked: Vec<String>,
    closed: Vec<Unsupported>,
    ignored: Vec<Unsupported>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grammar {
    /// For people.
    #[serde(rename = "expected")]
    _expected: String,
    keys: Vec<String>,
    /// RE2.
    pattern: String,
    /// CEL, checked on a real API server.
    #[serde(rename = "also")]
    _also: Option<String>,
    bad: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unsupported {
    keys: Vec<String>,
    /// Values that ask for what happens anyway.
    but: Vec<String>,
}

fn policy() -> Policy {
    serde_saphyr::from_str(&fs::read_to_string(PATH).unwrap()).unwrap()
}

fn is_taken(key: &str, value: &str) -> bool {
    let (index, _) = table::find(key).unwrap_or_else(|| panic!("{key} is no key"));
    let Effect::Read(read) = KEYS[index].effect else { panic!("{key} is not read") };
    read(value, &mut IngressOptions::default()).is_ok()
}

/// RE2 knows white space of ASCII only.
fn compiled(pattern: &str) -> Regex {
    Regex::new(&ascii_space(pattern)).unwrap()
}

fn ascii_space(pattern: &str) -> String {
    pattern.replace(r"[\s,]", r"[\t\n\f\r ,]").replace(r"\s", r"[\t\n\f\r ]")
}

#[test]
fn every_key_stands_once_where_it_belongs() {
    let policy = policy();
    let mut places: BTreeMap<String, Vec<(&str, Vec<String>)>> = BTreeMap::new();
    let mut put = |key: &String, place, but: &[String]| {
        let mut but = but.to_vec();
        but.sort_unstable();
        places.entry(key.clone()).or_default().push((place, but));
    };
    for grammar in &policy.grammars {
        grammar.keys.iter().for_each(|key| put(key, "read", &[]));
    }
    policy.unchecked.iter().for_each(|key| put(key, "read", &[]));
    for (place, groups) in [("closed", &policy.closed), ("ignored", &policy.ignored)] {
        for group in groups {
            group.keys.iter().for_each(|key| put(key, place, &group.but));
        }
    }
    for key in KEYS {
        let expected = match (&key.effect, key.group) {
            (Effect::Read(_), _) => ("read", Vec::new()),
            (Effect::Unserved { same }, group) => {
                let mut but: Vec<String> = same.iter().map(|&value| value.to_owned()).collect();
                but.sort_unstable();
                (if group == Group::Harmless { "ignored" } else { "closed" }, but)
            }
        };
        for name in key.names() {
            assert_eq!(places.remove(name), Some(vec![expected.clone()]), "{name}");
        }
    }
    assert!(places.is_empty(), "no such keys: {:?}", places.keys());
}

#[test]
fn what_the_policy_refuses_is_refused_by_the_parsers() {
    for grammar in policy().grammars {
        let pattern = compiled(&grammar.pattern);
        assert!(!grammar.bad.is_empty(), "{:?}", grammar.keys);
        for value in &grammar.bad {
            for key in &grammar.keys {
                assert!(!is_taken(key, value), "{key}: {value:?} is served");
            }
            assert!(!pattern.is_match(value), "{:?}: {value:?}", grammar.keys);
        }
    }
}

/// Values as the pattern has them, and slips of one character.
fn near(pattern: &str) -> BoxedStrategy<String> {
    let plain = ascii_space(pattern);
    let plain = plain.trim_start_matches("(?i)").trim_start_matches('^').trim_end_matches('$');
    let slip = prop_oneof![Just(None), (any::<prop::sample::Index>(), "[ -~\n\té]").prop_map(Some)];
    (string_regex(plain).unwrap(), slip, any::<bool>())
        .prop_map(|(value, slip, upper)| {
            let value = if upper { value.to_uppercase() } else { value };
            let Some((at, with)) = slip else { return value };
            let mut characters: Vec<char> = value.chars().collect();
            let at = at.index(characters.len() + 1);
            characters.splice(at..(at + 1).min(characters.len()), with.chars());
            characters.into_iter().collect()
        })
        .boxed()
}

/// A policy that is stricter than the program would refuse what is served.
#[test]
fn what_the_parsers_take_passes_the_policy() {
    let config = ProptestConfig { cases: 128, ..ProptestConfig::default() };
    for grammar in policy().grammars {
        let pattern = compiled(&grammar.pattern);
        for key in &grammar.keys {
            proptest!(config.clone(), |(value in near(&grammar.pattern))| {
                prop_assert!(
                    !is_taken(key, &value) || pattern.is_match(&value),
                    "{}: {:?} is served, and refused by the policy", key, value
                );
            });
        }
    }
}
