//! One file as it was read: its documents, what each provides, and what a fault must not take away.

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hashbrown::HashMap;
use serde_json::Value;

use crate::model::decode::{self, Decoded, Settings};
use crate::model::{Kind, Object, ObjectRef, Origin, Problem, Reason};
use crate::yaml::document::{Document, Unreadable};

/// A document beyond this many bytes is refused. The API server takes 3 MiB for one object; a
/// `kind: List` of a whole cluster is more.
pub(super) const DOCUMENT_LIMIT: usize = 32 << 20;

/// All objects of one document entry; more than one only for Endpoints with several subsets.
pub(super) type Provided = Arc<[Object]>;

#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) documents: Vec<Read>,
    /// The file as a whole was not readable.
    pub(super) fault: Option<Problem>,
    /// Last good objects that nothing in the file provides now, as a document that follows all.
    pub(super) kept: Option<Read>,
}

/// A document as it was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) line: Line,
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

/// The line on which a document begins now. The claims of the document share it: when lines shift,
/// no claim has to be found and entered anew.
#[derive(Debug, Clone)]
pub(super) struct Line(Arc<AtomicU32>);

/// The documents of a file on their way from one version to the next.
#[derive(Debug)]
pub(super) struct Reading {
    /// Of the version before; what is left was not found again.
    pub(super) reusable: Vec<Option<Read>>,
    /// Places in `reusable` by hash, in order.
    by_hash: HashMap<u64, VecDeque<usize>>,
    /// Of the version now.
    pub(super) documents: Vec<Read>,
    /// Places in `documents` of those that were decoded.
    pub(super) fresh: Vec<usize>,
}

/// A document that was not there before.
pub(super) fn read(
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
    Read { line: Line::new(document.line), hash, readable, entries }
}

// === impl File ===

impl File {
    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        let entries = self.documents.iter().flat_map(|document| &document.entries);
        self.fault.iter().chain(entries.flat_map(|entry| &entry.problems))
    }

    /// All that provide something.
    pub(super) fn all(&self) -> impl Iterator<Item = &Read> {
        self.documents.iter().chain(&self.kept)
    }

    /// Takes over from the file's earlier state what a fault of now must not take away.
    pub(super) fn keep_from(&mut self, old: &Self) {
        let whole = self.fault.is_some() || self.documents.iter().any(|read| !read.readable);
        let lost = || old.all().flat_map(Read::provided).map(|(_, name, given)| (name, given));
        if !lost().any(|(name, _)| whole || name.kind == Kind::Secret) {
            return;
        }
        let entries = || self.documents.iter().flat_map(|document| &document.entries);
        let names = |fits: fn(&Entry) -> bool| {
            entries().filter(move |entry| fits(entry)).filter_map(|entry| entry.reference.as_ref())
        };
        let mut known: HashSet<&ObjectRef> = names(|entry| entry.provided.is_some()).collect();
        let refused: HashSet<&ObjectRef> = names(|entry| !entry.problems.is_empty()).collect();
        let mut entries = Vec::new();
        for (name, provided) in lost() {
            let is_broken = whole || name.kind == Kind::Secret && refused.contains(name);
            if is_broken && known.insert(name) {
                entries.push(Entry {
                    reference: Some(name.clone()),
                    provided: Some(provided.clone()),
                    problems: Vec::new(),
                });
            }
        }
        if !entries.is_empty() {
            self.kept =
                Some(Read { line: Line::new(Line::LAST), hash: 0, readable: true, entries });
        }
    }
}

// === impl Read ===

impl Read {
    /// What it provides: place in the document, name, objects.
    pub(super) fn provided(&self) -> impl Iterator<Item = (usize, &ObjectRef, &Provided)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| {
            Some((index, entry.reference.as_ref()?, entry.provided.as_ref()?))
        })
    }

    /// Whether its line is another one now; its problems move with it.
    pub(super) fn move_to(&mut self, line: u32) -> bool {
        let before = self.line.0.swap(line, Ordering::Relaxed);
        if before == line {
            return false;
        }
        for problem in self.entries.iter_mut().flat_map(|entry| &mut entry.problems) {
            if let Origin::File { line: at, .. } = &mut problem.origin {
                *at = at.wrapping_sub(before).wrapping_add(line);
            }
        }
        true
    }
}

// === impl Line ===

impl Line {
    /// After every line of a file.
    const LAST: u32 = u32::MAX;

    fn new(line: u32) -> Self {
        Self(Arc::new(AtomicU32::new(line)))
    }

    /// For the order among documents of one file.
    pub(super) fn order(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn origin(&self, path: &Arc<PathBuf>) -> Origin {
        let line = match self.order() {
            Self::LAST => 0,
            line => line,
        };
        Origin::File { path: path.clone(), line }
    }

    /// Of the last good objects of a file that does not provide them now.
    pub(super) fn is_kept(&self) -> bool {
        self.order() == Self::LAST
    }

    /// Whether both belong to one document.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

// === impl Reading ===

impl Reading {
    pub(super) fn new(reusable: Vec<Read>) -> Self {
        let mut by_hash: HashMap<u64, VecDeque<usize>> = HashMap::with_capacity(reusable.len());
        for (at, read) in reusable.iter().enumerate() {
            by_hash.entry(read.hash).or_default().push_back(at);
        }
        let reusable = reusable.into_iter().map(Some).collect();
        Self { reusable, by_hash, documents: Vec::new(), fresh: Vec::new() }
    }

    /// The first document of the version before with this text.
    pub(super) fn take(&mut self, hash: u64) -> Option<Read> {
        let at = self.by_hash.get_mut(&hash)?.pop_front()?;
        self.reusable[at].take()
    }
}
