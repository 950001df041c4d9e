//! Where the keys and scalars of a document stand in its text, for those who edit the text.
//!
//! In: the text of one document. Out: its shape with byte ranges. An alias stands where its anchor
//! is defined; what cannot be placed has an empty range at 0.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::options;

#[derive(Debug)]
pub enum Node {
    Map(Vec<Entry>),
    List(Vec<Self>),
    /// Its place, quotes included.
    Scalar(Range<usize>),
}

#[derive(Debug)]
pub struct Entry {
    pub key: String,
    /// The place of the key, quotes included.
    pub at: Range<usize>,
    pub node: Node,
}

/// The places in `text`; `None` when it does not parse.
pub fn places(text: &str) -> Option<Node> {
    let root: Spanned<Shape> = serde_saphyr::from_str_with_options(text, options()).ok()?;
    Some(root.value.place(&root.defined))
}

// === impl Node ===

impl Node {
    /// The entry of a mapping.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// Empty for what is no mapping.
    pub fn entries(&self) -> &[Entry] {
        match self {
            Self::Map(entries) => entries,
            Self::List(_) | Self::Scalar(_) => &[],
        }
    }

    /// Empty for what is no list.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            Self::Map(_) | Self::Scalar(_) => &[],
        }
    }

    pub fn scalar(&self) -> Option<&Range<usize>> {
        match self {
            Self::Scalar(at) => Some(at),
            Self::Map(_) | Self::List(_) => None,
        }
    }
}

fn range(location: &Location) -> Range<usize> {
    let span = location.span();
    let (Some(start), Some(length)) = (span.byte_offset(), span.byte_len()) else { return 0..0 };
    let (start, length) = (start as usize, length as usize);
    start..start + length
}

/// What the parser sees, before the places are taken out of it.
enum Shape {
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
    List(Vec<Spanned<Self>>),
    Scalar,
}

impl Shape {
    fn place(self, location: &Location) -> Node {
        match self {
            Self::Scalar => Node::Scalar(range(location)),
            Self::List(items) => {
                Node::List(items.into_iter().map(|item| item.value.place(&item.defined)).collect())
            }
            Self::Map(entries) => Node::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry {
                        at: range(&key.defined),
                        key: key.value,
                        node: value.value.place(&value.defined),
                    })
                    .collect(),
            ),
        }
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Shape::Map(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Shape::List(items))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Shape::Scalar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_scalars_are_placed_with_their_quotes() {
        let text = "# é\na: plain  # c\n\"b\": {c: 'q', d: 8}\nl:\n- x: 1\n- &n y: two\n- *n\n";
        let root = places(text).unwrap();
        let shown = |at: &Range<usize>| &text[at.clone()];
        let keys: Vec<_> = root.entries().iter().map(|entry| shown(&entry.at)).collect();
        assert_eq!(keys, ["a", "\"b\"", "l"]);
        assert_eq!(shown(root.get("a").unwrap().scalar().unwrap()), "plain");
        let b = root.get("b").unwrap();
        assert_eq!(shown(b.get("c").unwrap().scalar().unwrap()), "'q'");
        assert_eq!(shown(b.get("d").unwrap().scalar().unwrap()), "8");
        let items = root.get("l").unwrap().items();
        assert_eq!(shown(&items[0].entry("x").unwrap().at), "x");
        assert_eq!(items.len(), 3);
    }
}
