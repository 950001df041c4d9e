//! What all files together say: which document provides which object.
//!
//! Pure: contents of changed files in, [`Update`] out. Only changed documents of changed files are
//! decoded again.
//!
//! - Two documents with one kind, namespace and name: the first by path, then line, stays; the
//!   other is a problem, and takes over when the first goes.
//! - A document that gives no object claims no name.
//! - A file that cannot be read now, in whole or in one of its documents, keeps the objects that it
//!   gave before and that its readable documents do not give again, until it is readable or gone:
//!   a file caught half written takes nothing away.
//! - A Secret whose new content is refused keeps its last good pair (T9).

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashbrown::HashMap;
use serde_json::Value;

use super::super::Update;
use crate::model::decode::{self, Decoded, Settings};
use crate::model::{Change, Kind, Object, ObjectRef, Origin, Problem, Reason};
use crate::yaml::document::{self, Document, Unreadable};

/// A document beyond this many bytes is refused. The API server takes 3 MiB for one object; a
/// `kind: List` of a whole cluster is more.
pub(super) const DOCUMENT_LIMIT: usize = 32 << 20;

/// What was found under a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Text(String),
    Unreadable(String),
    Gone,
}

#[derive(Debug, Default)]
pub(super) struct Catalog {
    files: BTreeMap<Arc<PathBuf>, File>,
    /// Everybody who provides an object, in the order of precedence.
    claims: HashMap<ObjectRef, BTreeMap<Place, Provided>>,
    /// What has been handed on.
    live: HashMap<ObjectRef, Provided>,
    /// Objects with more than one claim.
    contested: BTreeSet<ObjectRef>,
    /// Files with problems of their own.
    faulty: BTreeSet<Arc<PathBuf>>,
    hasher: RandomState,
}

/// All objects of one document entry; more than one only for Endpoints with several subsets.
type Provided = Arc<[Object]>;

/// Order of precedence among documents of one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    path: Arc<PathBuf>,
    line: u32,
    index: usize,
}

#[derive(Debug, Default)]
struct File {
    documents: Vec<Read>,
    /// The file as a whole was not readable.
    fault: Option<Problem>,
    /// Last good objects that nothing in the file provides now.
    kept: Vec<(ObjectRef, Provided)>,
}

/// A document as it was read.
#[derive(Debug)]
struct Read {
    line: u32,
    hash: u64,
    readable: bool,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    reference: Option<ObjectRef>,
    provided: Option<Provided>,
    problems: Vec<Problem>,
}

// === impl Catalog ===

impl Catalog {
    /// Takes the present contents of some files. With `afresh` their documents are decoded again
    /// even when their text is the same (the settings have changed).
    pub(super) fn apply(
        &mut self,
        contents: Vec<(PathBuf, Content)>,
        settings: &Settings,
        afresh: bool,
    ) -> Update {
        let mut touched = BTreeSet::new();
        for (path, content) in contents {
            self.replace(Arc::new(path), content, settings, afresh, &mut touched);
        }
        let mut change = Change::default();
        for reference in touched {
            self.publish(reference, &mut change);
        }
        Update { change, problems: self.problems() }
    }

    fn replace(
        &mut self,
        path: Arc<PathBuf>,
        content: Content,
        settings: &Settings,
        afresh: bool,
        touched: &mut BTreeSet<ObjectRef>,
    ) {
        self.faulty.remove(&path);
        let old = self.files.remove(&path).unwrap_or_default();
        for (place, reference, _) in old.provided(&path) {
            self.withdraw(&place, reference);
            touched.insert(reference.clone());
        }
        let mut file = match content {
            Content::Gone => return,
            Content::Unreadable(reason) => {
                File { fault: Some(file_fault(&path, reason)), ..File::default() }
            }
            Content::Text(text) => {
                let reusable = if afresh { &[][..] } else { &old.documents };
                let documents = self.read(&path, &text, settings, reusable);
                File { documents, ..File::default() }
            }
        };
        file.keep_from(old);
        for (place, reference, provided) in file.provided(&path) {
            self.claim(place, reference.clone(), provided.clone());
            touched.insert(reference.clone());
        }
        if file.problems().next().is_some() {
            self.faulty.insert(path.clone());
        }
        self.files.insert(path, file);
    }

    fn claim(&mut self, place: Place, reference: ObjectRef, provided: Provided) {
        let claims = self.claims.entry(reference.clone()).or_default();
        claims.insert(place, provided);
        if claims.len() > 1 {
            self.contested.insert(reference);
        }
    }

    fn withdraw(&mut self, place: &Place, reference: &ObjectRef) {
        let Some(claims) = self.claims.get_mut(reference) else { return };
        claims.remove(place);
        if claims.len() < 2 {
            self.contested.remove(reference);
        }
        if claims.is_empty() {
            self.claims.remove(reference);
        }
    }

    /// Adds to `change` what differs between the winner of a name and what was handed on.
    fn publish(&mut self, reference: ObjectRef, change: &mut Change) {
        let winner = self.claims.get(&reference).and_then(|c| c.values().next()).cloned();
        let before = match &winner {
            Some(provided) => self.live.insert(reference, provided.clone()),
            None => self.live.remove(&reference),
        };
        let before = before.as_deref().unwrap_or_default();
        let now = winner.as_deref().unwrap_or_default();
        for object in now {
            if !before.contains(object) {
                change.upserts.push(object.clone());
            }
        }
        for object in before {
            let reference = object.reference();
            if !now.iter().any(|object| object.reference() == reference) {
                change.removals.push(reference);
            }
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let of_files = self.faulty.iter().filter_map(|path| self.files.get(path));
        let of_files = of_files.flat_map(File::problems).cloned();
        let mut problems: Vec<Problem> = of_files.chain(self.duplicates()).collect();
        problems.sort_by(|a, b| {
            (&a.origin, &a.field, &a.object).cmp(&(&b.origin, &b.field, &b.object))
        });
        problems
    }

    fn duplicates(&self) -> impl Iterator<Item = Problem> {
        self.contested.iter().filter_map(|r| self.claims.get_key_value(r)).flat_map(
            |(reference, claims)| {
                let first = claims.keys().next().map(Place::origin);
                claims.keys().skip(1).zip(std::iter::repeat(first)).filter_map(
                    move |(place, first)| {
                        Some(Problem {
                            object: Some(reference.clone()),
                            origin: place.origin(),
                            field: String::new(),
                            reason: Reason::DuplicateObject,
                            rule: Reason::DuplicateObject.rule(),
                            message: format!("already defined in {}; that one stays", first?),
                        })
                    },
                )
            },
        )
    }

    fn read(
        &self,
        path: &Arc<PathBuf>,
        text: &str,
        settings: &Settings,
        reusable: &[Read],
    ) -> Vec<Read> {
        let json = is_json(path);
        let documents = if json { vec![Document::json(text)] } else { document::split(text) };
        let mut by_line: BTreeMap<u32, &Read> = reusable.iter().map(|r| (r.line, r)).collect();
        documents
            .into_iter()
            .map(|document| {
                let hash = self.hasher.hash_one((document.first_line, document.text));
                match by_line.remove(&document.line).filter(|read| read.hash == hash) {
                    Some(same) => same.again(),
                    None => read_document(path, &document, json, hash, settings),
                }
            })
            .collect()
    }
}

fn read_document(
    path: &Arc<PathBuf>,
    document: &Document<'_>,
    json: bool,
    hash: u64,
    settings: &Settings,
) -> Read {
    let at = |line| Origin::File { path: path.clone(), line };
    let value = if document.text.len() > DOCUMENT_LIMIT {
        let reason = format!(
            "{} bytes in one document, at most {DOCUMENT_LIMIT} are read",
            document.text.len()
        );
        Err(Unreadable { line: document.line, reason })
    } else if json {
        document.parse_json()
    } else {
        document.parse_yaml()
    };
    let (readable, decoded) = match value {
        Ok(Value::Null) => (true, Vec::new()),
        Ok(value) => (true, decode::decode(&value, &at(document.line), settings)),
        Err(unreadable) => {
            let problem = Problem {
                object: None,
                origin: at(unreadable.line),
                field: String::new(),
                reason: Reason::InvalidDocument,
                rule: Reason::InvalidDocument.rule(),
                message: unreadable.reason,
            };
            let nothing = Decoded { reference: None, objects: Vec::new(), problems: vec![problem] };
            (false, vec![nothing])
        }
    };
    let entries = decoded
        .into_iter()
        .map(|mut decoded| {
            for problem in decoded.problems.iter_mut().filter(|problem| !problem.field.is_empty()) {
                problem.origin = at(document.line_of(&problem.field));
            }
            let provided = (!decoded.objects.is_empty()).then(|| decoded.objects.into());
            Entry { reference: decoded.reference, provided, problems: decoded.problems }
        })
        .collect();
    Read { line: document.line, hash, readable, entries }
}

fn file_fault(path: &Arc<PathBuf>, reason: String) -> Problem {
    Problem {
        object: None,
        origin: Origin::File { path: path.clone(), line: 0 },
        field: String::new(),
        reason: Reason::InvalidDocument,
        rule: Reason::InvalidDocument.rule(),
        message: reason,
    }
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

// === impl File ===

impl File {
    fn problems(&self) -> impl Iterator<Item = &Problem> {
        let entries = self.documents.iter().flat_map(|document| &document.entries);
        self.fault.iter().chain(entries.flat_map(|entry| &entry.problems))
    }

    /// All that the file provides, with its order among others of the same name.
    fn provided<'a>(
        &'a self,
        path: &'a Arc<PathBuf>,
    ) -> impl Iterator<Item = (Place, &'a ObjectRef, &'a Provided)> {
        let read = self.documents.iter().flat_map(|document| {
            document.entries.iter().enumerate().filter_map(|(index, entry)| {
                let provided = entry.provided.as_ref()?;
                Some((document.line, index, entry.reference.as_ref()?, provided))
            })
        });
        let kept = self.kept.iter().enumerate();
        let kept =
            kept.map(|(index, (reference, provided))| (u32::MAX, index, reference, provided));
        read.chain(kept).map(|(line, index, reference, provided)| {
            (Place { path: path.clone(), line, index }, reference, provided)
        })
    }

    /// Takes over from the file's earlier state what a fault of now must not take away.
    fn keep_from(&mut self, old: Self) {
        let whole = self.fault.is_some() || self.documents.iter().any(|read| !read.readable);
        let entries = || self.documents.iter().flat_map(|document| &document.entries);
        let provides = |reference: &ObjectRef| {
            entries().any(|e| e.provided.is_some() && e.reference.as_ref() == Some(reference))
        };
        let refuses = |reference: &ObjectRef| {
            entries().any(|e| !e.problems.is_empty() && e.reference.as_ref() == Some(reference))
        };
        let mut kept: Vec<(ObjectRef, Provided)> = Vec::new();
        for (_, reference, provided) in old.provided(&Arc::default()) {
            let lost = !provides(reference) && !kept.iter().any(|(known, _)| known == reference);
            if lost && (whole || reference.kind == Kind::Secret && refuses(reference)) {
                kept.push((reference.clone(), provided.clone()));
            }
        }
        self.kept = kept;
    }
}

// === impl Read ===

impl Read {
    /// The same document in the next version of its file.
    fn again(&self) -> Self {
        let entries = self.entries.iter().map(|entry| Entry {
            reference: entry.reference.clone(),
            provided: entry.provided.clone(),
            problems: entry.problems.clone(),
        });
        Self {
            line: self.line,
            hash: self.hash,
            readable: self.readable,
            entries: entries.collect(),
        }
    }
}

// === impl Place ===

impl Place {
    fn origin(&self) -> Origin {
        let line = if self.line == u32::MAX { 0 } else { self.line };
        Origin::File { path: self.path.clone(), line }
    }
}

#[cfg(test)]
mod tests;
