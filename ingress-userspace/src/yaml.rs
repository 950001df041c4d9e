//! YAML text: how it is parsed everywhere, and on which line a field stands.
//!
//! In: text and field paths such as `spec.rules[1].host` or `data[tls.crt]`. Out: lines. Knows no
//! schema.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Options, Spanned};

pub mod document;
pub mod place;

/// Errors as one sentence, without an excerpt of the text (it may be a key). What is parsed is
/// bounded by the text's own size, which callers limit; aliases may add little to it.
pub fn options() -> Options {
    serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! { max_events: 64_000_000, max_nodes: 32_000_000 },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
    }
}

/// The 1-based line of the deepest part of `field` that the document has, such as that of
/// `spec.rules[1]` for `spec.rules[1].host` when there is no host; `None` when not even its first
/// part is there.
pub fn line_of(text: &str, field: &str) -> Option<u64> {
    let root: Spanned<Node> = serde_saphyr::from_str_with_options(text, options()).ok()?;
    let mut line = None;
    let mut node = &root.value;
    for step in steps(field) {
        let Some((found, child)) = node.child(step) else { break };
        line = Some(found);
        node = child;
    }
    line
}

/// The line of `field` itself; `None` when the document does not have it.
pub fn exact_line_of(text: &str, field: &str) -> Option<u64> {
    let root: Spanned<Node> = serde_saphyr::from_str_with_options(text, options()).ok()?;
    let mut at = (root.referenced.line(), &root.value);
    for step in steps(field) {
        at = at.1.child(step)?;
    }
    Some(at.0)
}

/// A document's shape with lines instead of values.
enum Node {
    Map(Vec<(String, u64, Self)>),
    List(Vec<(u64, Self)>),
    Leaf,
}

/// `spec.rules[1]`, `data[tls.crt]`: names and bracketed keys, which may be indexes.
fn steps(field: &str) -> impl Iterator<Item = &str> {
    let mut rest = field;
    std::iter::from_fn(move || {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if let Some(inner) = rest.strip_prefix('[') {
            let (key, after) = inner.split_once(']')?;
            rest = after;
            return Some(key);
        }
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        rest = after;
        Some(key)
    })
}

// === impl Node ===

impl Node {
    fn child(&self, step: &str) -> Option<(u64, &Self)> {
        match self {
            Self::Map(entries) => {
                entries.iter().find(|(key, ..)| key == step).map(|(_, line, node)| (*line, node))
            }
            Self::List(items) => {
                items.get(step.parse::<usize>().ok()?).map(|(line, node)| (*line, node))
            }
            Self::Leaf => None,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, node)) = map.next_entry::<Spanned<String>, Node>()? {
            entries.push((key.value, key.referenced.line(), node));
        }
        Ok(Node::Map(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Spanned<Node>>()? {
            items.push((item.referenced.line(), item.value));
        }
        Ok(Node::List(items))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Node::Leaf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_line_of_a_field_or_of_what_should_hold_it() {
        let text = "spec:\n  rules:\n  - host: a\n  - &r\n    host: b\n    http:\n      paths:\n      \
                    - {path: /x,\n         pathType: Exact}\n  more: [1,\n   *r]\ndata:\n  tls.crt: |\n    x\n";
        for (field, line) in [
            ("spec", 1),
            ("spec.rules", 2),
            ("spec.rules[0].host", 3),
            ("spec.rules[1].host", 5),
            ("spec.rules[1].http.paths[0].path", 8),
            ("spec.rules[1].http.paths[0].pathType", 9),
            ("spec.rules[1].http.paths[0].backend", 8),
            ("spec.rules[7].host", 2),
            ("data[tls.crt]", 13),
            ("data[tls.key]", 12),
        ] {
            assert_eq!(line_of(text, field), Some(line), "{field}");
        }
        assert_eq!(exact_line_of(text, "spec.rules[0].host"), Some(3));
        assert_eq!(exact_line_of(text, "spec.rules[0].http"), None);
        assert_eq!(line_of(text, "metadata.name"), None);
        assert_eq!(line_of("a: [", "a"), None);
    }
}
