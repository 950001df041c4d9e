//! What is wrong with which object now, and what is known of the object.
//!
//! Only of objects that are told about: Ingresses, of which those are reported that are ours, and the
//! Secrets and ConfigMaps that they name. What is wrong with a Service or its EndpointSlices is told
//! to the Ingresses that use it; the API server's own slices and those of others are nobody's news.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;

use crate::model::{Kind, ObjectRef, Problem};

use super::batch::Batch;

#[derive(Debug, Default)]
pub(crate) struct Standing {
    seen: HashMap<ObjectRef, Seen>,
    ours: BTreeSet<ObjectRef>,
    problems: BTreeMap<ObjectRef, BTreeSet<Problem>>,
}

/// Of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    /// Empty when it is not known.
    pub(crate) uid: Arc<str>,
    pub(crate) generation: i64,
}

/// What one batch has changed.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Problems of objects that may be told about.
    pub(crate) raised: BTreeMap<ObjectRef, Vec<Problem>>,
    /// Ingresses of whom something is another thing now.
    pub(crate) touched: BTreeSet<ObjectRef>,
    pub(crate) gone: Vec<ObjectRef>,
}

// === impl Standing ===

impl Standing {
    /// Takes what the control side has applied.
    pub(crate) fn take(&mut self, batch: &Batch) -> News {
        let mut news = News::default();
        for (object, sight) in batch.sights.iter().filter(|(object, _)| is_told_about(object)) {
            match sight {
                Some(sight) => {
                    let seen = Seen { uid: sight.uid.clone(), generation: sight.generation };
                    let before = self.seen.insert(object.clone(), seen.clone());
                    if before.is_some_and(|before| before != seen) {
                        news.touched.insert(object.clone());
                    }
                }
                None => {
                    self.seen.remove(object);
                    news.gone.push(object.clone());
                }
            }
        }
        let mut raised: BTreeMap<ObjectRef, Vec<Problem>> = BTreeMap::new();
        for (problem, is_there) in &batch.problems {
            let Some(object) = problem.object.as_ref().filter(|object| is_told_about(object))
            else {
                continue;
            };
            news.touched.insert(object.clone());
            let standing = self.problems.entry(object.clone()).or_default();
            if !is_there {
                standing.remove(problem);
            } else if standing.insert(problem.clone()) {
                raised.entry(object.clone()).or_default().push(problem.clone());
            }
            if standing.is_empty() {
                self.problems.remove(object);
            }
        }
        for (object, is_ours) in &batch.claims {
            let is_other =
                if *is_ours { self.ours.insert(object.clone()) } else { self.ours.remove(object) };
            if is_other {
                news.touched.insert(object.clone());
            }
            // It becomes ours with all that stands against it.
            if is_other
                && *is_ours
                && let Some(standing) = self.problems.get(object)
            {
                raised.insert(object.clone(), standing.iter().cloned().collect());
            }
        }
        raised.retain(|object, _| self.is_ours(object));
        news.touched.retain(|object| object.kind == Kind::Ingress);
        news.raised = raised;
        news
    }

    /// All that may be told, by object.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&ObjectRef, &BTreeSet<Problem>)> {
        self.problems.iter().filter(|(object, _)| self.is_ours(object))
    }

    /// What is wrong with an object; nothing when it is not ours.
    pub(crate) fn of(&self, object: &ObjectRef) -> Option<&BTreeSet<Problem>> {
        self.problems.get(object).filter(|_| self.is_ours(object))
    }

    pub(crate) fn seen(&self, object: &ObjectRef) -> Seen {
        self.seen.get(object).cloned().unwrap_or_default()
    }

    /// Secrets and ConfigMaps are read only when an Ingress of ours names them.
    pub(crate) fn is_ours(&self, object: &ObjectRef) -> bool {
        object.kind != Kind::Ingress || self.ours.contains(object)
    }
}

fn is_told_about(object: &ObjectRef) -> bool {
    match object.kind {
        Kind::Ingress | Kind::Secret | Kind::ConfigMap => true,
        Kind::IngressClass | Kind::Service | Kind::EndpointSlice | Kind::Endpoints => false,
    }
}
