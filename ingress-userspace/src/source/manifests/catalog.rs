//! What all files together say: which document provides which object.
//!
//! Pure: contents of changed files in, [`Update`] out. Only changed documents of changed files are
//! decoded again; one that only moved to another line keeps its objects and tells where they stand.
//! An edit costs the reading of the file's bytes and what it changes.
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
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashbrown::HashMap;

use self::file::{File, Line, Provided, Read, Reading};
use super::super::Update;
use crate::model::decode::Settings;
use crate::model::{Change, ObjectRef, Origin, Problem, Reason};
use crate::yaml::document::{self, Document};

mod file;

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
    /// Everybody who provides an object.
    claims: HashMap<ObjectRef, Vec<Claim>>,
    /// What has been handed on.
    live: HashMap<ObjectRef, Live>,
    /// Objects with more than one claim.
    contested: BTreeSet<ObjectRef>,
    /// Files with problems of their own.
    faulty: BTreeSet<Arc<PathBuf>>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Claim {
    path: Arc<PathBuf>,
    line: Line,
    index: usize,
    provided: Provided,
}

#[derive(Debug)]
struct Live {
    provided: Provided,
    origin: Origin,
}

/// What one call has touched.
#[derive(Debug, Default)]
struct Touched {
    /// Names whose claims have changed.
    names: BTreeSet<ObjectRef>,
    /// Where objects stand that only moved.
    origins: HashMap<ObjectRef, Origin>,
}

// === impl Catalog ===

impl Catalog {
    /// Takes the present contents of some files.
    pub(super) fn apply(
        &mut self,
        contents: Vec<(PathBuf, Content)>,
        settings: &Settings,
    ) -> Update {
        let mut touched = Touched::default();
        for (path, content) in contents {
            self.replace(Arc::new(path), content, settings, &mut touched);
        }
        let mut change = Change { origins: touched.origins, ..Change::default() };
        for name in touched.names {
            self.publish(name, &mut change);
        }
        Update { change, problems: self.problems(), full: true, ..Update::default() }
    }

    /// Other settings: a text is decoded when its file is taken the next time, also when it is
    /// known already.
    pub(super) fn forget_texts(&mut self) {
        self.hasher = RandomState::new();
    }

    fn replace(
        &mut self,
        path: Arc<PathBuf>,
        content: Content,
        settings: &Settings,
        touched: &mut Touched,
    ) {
        self.faulty.remove(&path);
        let mut old = self.files.remove(&path).unwrap_or_default();
        let mut file = File::default();
        let mut fresh = Vec::new();
        let is_gone = content == Content::Gone;
        match content {
            Content::Gone => {}
            Content::Unreadable(reason) => file.fault = Some(file_fault(&path, reason)),
            Content::Text(text) => {
                let mut reading = Reading::new(mem::take(&mut old.documents));
                self.read(&path, &text, settings, &mut reading, touched);
                old.documents = reading.reusable.into_iter().flatten().collect();
                (file.documents, fresh) = (reading.documents, reading.fresh);
            }
        }
        // What is left in `old` is not in the file any more.
        for document in old.all() {
            self.withdraw(document, touched);
        }
        if is_gone {
            return;
        }
        file.keep_from(&old);
        let added = fresh.iter().map(|&at| &file.documents[at]);
        for document in added.chain(&file.kept) {
            self.claim(&path, document, touched);
        }
        if file.problems().next().is_some() {
            self.faulty.insert(path.clone());
        }
        self.files.insert(path, file);
    }

    /// The documents of `text`: those that were read before are taken over, the others are decoded.
    fn read(
        &mut self,
        path: &Arc<PathBuf>,
        text: &str,
        settings: &Settings,
        reading: &mut Reading,
        touched: &mut Touched,
    ) {
        let json = is_json(path);
        let documents = if json { vec![Document::json(text)] } else { document::split(text) };
        for document in documents {
            let hash = self.hasher.hash_one(document.text);
            let read = match reading.take(hash) {
                Some(mut same) => {
                    if same.move_to(document.line) {
                        self.note_move(path, &same, touched);
                    }
                    same
                }
                None => {
                    reading.fresh.push(reading.documents.len());
                    file::read(path, &document, json, hash, settings)
                }
            };
            reading.documents.push(read);
        }
    }

    /// The same objects on another line. Among documents of one name the order may be another.
    fn note_move(&mut self, path: &Arc<PathBuf>, document: &Read, touched: &mut Touched) {
        let origin = document.line.origin(path);
        for (_, name, provided) in document.provided() {
            if self.contested.contains(name) {
                touched.names.insert(name.clone());
            } else if let Some(live) = self.live.get_mut(name) {
                live.origin = origin.clone();
                touched.origins.extend(provided.iter().map(|o| (o.reference(), origin.clone())));
            }
        }
    }

    fn claim(&mut self, path: &Arc<PathBuf>, document: &Read, touched: &mut Touched) {
        for (index, name, provided) in document.provided() {
            let (path, line) = (path.clone(), document.line.clone());
            let claims = self.claims.entry(name.clone()).or_default();
            claims.push(Claim { path, line, index, provided: provided.clone() });
            if claims.len() > 1 {
                self.contested.insert(name.clone());
            }
            touched.names.insert(name.clone());
        }
    }

    fn withdraw(&mut self, document: &Read, touched: &mut Touched) {
        for (index, name, _) in document.provided() {
            let Some(claims) = self.claims.get_mut(name) else { continue };
            claims.retain(|claim| !(claim.line.is(&document.line) && claim.index == index));
            if claims.len() < 2 {
                self.contested.remove(name);
            }
            if claims.is_empty() {
                self.claims.remove(name);
            }
            touched.names.insert(name.clone());
        }
    }

    /// Adds to `change` what differs between the winner of a name and what was handed on.
    fn publish(&mut self, name: ObjectRef, change: &mut Change) {
        let before = self.live.remove(&name);
        let winner = self.claims.get(&name).and_then(|claims| claims.iter().min_by_key(place));
        let winner = winner.map(|claim| Live {
            provided: claim.provided.clone(),
            origin: match &before {
                // Nothing says where it would stand now.
                Some(before) if claim.line.is_kept() => before.origin.clone(),
                _ => claim.origin(),
            },
        });
        let provided = |live: &Option<Live>| live.as_ref().map(|live| live.provided.clone());
        let (before_objects, objects) = (provided(&before), provided(&winner));
        let before_objects = before_objects.as_deref().unwrap_or_default();
        let objects = objects.as_deref().unwrap_or_default();
        for object in objects {
            if !before_objects.contains(object) {
                change.upserts.push(object.clone());
            }
        }
        for object in before_objects {
            let reference = object.reference();
            if !objects.iter().any(|object| object.reference() == reference) {
                change.origins.remove(&reference);
                change.removals.push(reference);
            }
        }
        let Some(winner) = winner else { return };
        if before.is_none_or(|before| before.origin != winner.origin) {
            let origins = objects.iter().map(|o| (o.reference(), winner.origin.clone()));
            change.origins.extend(origins);
        }
        self.live.insert(name, winner);
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
            |(name, claims)| {
                let mut claims: Vec<&Claim> = claims.iter().collect();
                claims.sort_by_key(place);
                let first = claims.first().map(|claim| claim.origin());
                let others = claims.into_iter().skip(1);
                others.zip(std::iter::repeat(first)).filter_map(|(claim, first)| {
                    Some(Problem {
                        object: Some(name.clone()),
                        origin: claim.origin(),
                        field: String::new(),
                        reason: Reason::DuplicateObject,
                        rule: Reason::DuplicateObject.rule(),
                        message: format!("already defined in {}; that one stays", first?),
                    })
                })
            },
        )
    }
}

/// Order of precedence among documents of one name.
fn place<'a>(claim: &&'a Claim) -> (&'a Path, u32, usize) {
    (&claim.path, claim.line.order(), claim.index)
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

// === impl Claim ===

impl Claim {
    fn origin(&self) -> Origin {
        self.line.origin(&self.path)
    }
}

#[cfg(test)]
mod tests;
