//! `rewrite-target`: the whole path is replaced.

use std::borrow::Cow;
use std::sync::Arc;

use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};
use serde::{Deserialize, Serialize};

use super::pattern::{self, BadPattern};

/// The path becomes `target`, in which `$1`..`$9` are the groups of the rule's path read as a
/// case-insensitive regex. The query is kept by the caller; the result is not normalised again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct Rewrite {
    /// `None`: the target names no group, nothing has to be matched.
    pattern: Option<Groups>,
    target: Arc<str>,
}

#[derive(Debug, Clone)]
struct Groups {
    text: Arc<str>,
    regex: Regex,
}

/// A rewrite as it goes to another process.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(with = "crate::arc::optional")]
    pattern: Option<Arc<str>>,
    #[serde(with = "crate::arc")]
    target: Arc<str>,
}

// === impl Rewrite ===

impl Rewrite {
    /// # Errors
    ///
    /// The target names a group and the rule's path is not a pattern that is served.
    pub fn new(rule_path: &str, target: &Arc<str>) -> Result<Self, BadPattern> {
        let pattern = match group(target) {
            Some(_) => Some(Groups::new(rule_path.into())?),
            None => None,
        };
        Ok(Self { pattern, target: target.clone() })
    }

    /// The path sent upstream for the normalised request `path`; begins with a slash always.
    pub fn apply<'a>(&'a self, path: &str) -> Cow<'a, str> {
        let Some(Groups { regex, .. }) = &self.pattern else {
            return absolute(Cow::Borrowed(&self.target));
        };
        let mut captures = regex.create_captures();
        regex.search_captures(&Input::new(path).anchored(Anchored::Yes), &mut captures);
        let mut out = String::with_capacity(path.len() + self.target.len());
        let mut rest = &*self.target;
        while let Some((at, group)) = group(rest) {
            out.push_str(&rest[..at]);
            let span = captures.get_group(group).and_then(|span| path.get(span.range()));
            out.push_str(span.unwrap_or_default());
            rest = &rest[at + 2..];
        }
        out.push_str(rest);
        absolute(Cow::Owned(out))
    }
}

// === impl Groups ===

impl Groups {
    fn new(text: Arc<str>) -> Result<Self, BadPattern> {
        Ok(Self { regex: pattern::with_groups(&text)?, text })
    }
}

impl PartialEq for Groups {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

// === impl Written ===

impl From<Rewrite> for Written {
    fn from(rewrite: Rewrite) -> Self {
        Self { pattern: rewrite.pattern.map(|groups| groups.text), target: rewrite.target }
    }
}

impl TryFrom<Written> for Rewrite {
    type Error = BadPattern;

    fn try_from(written: Written) -> Result<Self, BadPattern> {
        let pattern = written.pattern.map(Groups::new).transpose()?;
        Ok(Self { pattern, target: written.target })
    }
}

/// The first `$1`..`$9`: its place and its number.
fn group(target: &str) -> Option<(usize, usize)> {
    target.match_indices('$').find_map(|(at, _)| match target.as_bytes().get(at + 1) {
        Some(&digit @ b'1'..=b'9') => Some((at, usize::from(digit - b'0'))),
        Some(_) | None => None,
    })
}

fn absolute(path: Cow<'_, str>) -> Cow<'_, str> {
    if path.starts_with('/') { path } else { Cow::Owned(format!("/{path}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(rule: &str, target: &str, path: &str) -> String {
        Rewrite::new(rule, &target.into()).unwrap().apply(path).into_owned()
    }

    #[test]
    fn whole_path_is_replaced_and_groups_are_filled_in() {
        for (rule, target, path, result) in [
            ("/testpath", "/", "/testpath/a/b", "/"),
            ("/foo(/|$)(.*)", "/$2", "/foo/a/b", "/a/b"),
            ("/foo(/|$)(.*)", "/$2", "/foo", "/"),
            ("/FOO/(x)?(y)", "/a$1b$2c", "/foo/Y", "/abYc"),
            ("/(a)", "$1", "/a", "/a"),
            ("/a", "/cost$", "/a", "/cost$"),
            ("/(a)", "/$0$1$x", "/a", "/$0a$x"),
        ] {
            assert_eq!(rewritten(rule, target, path), result, "{rule} {target} {path}");
        }
    }

    #[test]
    fn groups_are_empty_when_the_rule_matched_without_its_last_slash() {
        assert_eq!(rewritten("/foo/(.*)", "/x/$1", "/foo"), "/x/");
    }

    #[test]
    fn target_without_group_needs_no_pattern() {
        assert!(Rewrite::new("/((", &"/".into()).is_ok());
        assert!(Rewrite::new("/((", &"/$1".into()).is_err());
    }
}
