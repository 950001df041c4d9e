//! When what is known is handed on: as a whole at first, then each change when what it names is
//! there and a moment of quiet has passed.

use tokio::time::Instant;

use super::super::Timing;
use super::super::catalog::Taken;
use super::super::resource::BASE;
use super::super::standing::Served;
use super::super::watch::{Select, Subject};
use super::{Keeper, Wait};
use crate::model::{Kind, ObjectRef, Origin, Problem, Reason};

// === impl Keeper ===

impl Keeper {
    pub(super) fn hold(&mut self) {
        let now = Instant::now();
        self.held = Some((self.held.map_or(now, |(since, _)| since), now));
    }

    /// All that all routes need has been listed.
    fn is_base_complete(&self) -> bool {
        self.base.iter().all(|subject| {
            self.watches.get(subject).is_some_and(|running| {
                running.is_complete
                    || subject.resource.kind == Kind::IngressClass && running.is_forbidden()
            })
        })
    }

    /// What the Ingresses name is there, or known not to be, or not to be had.
    fn is_settled(&self) -> bool {
        let named = |subject: &Subject| !self.base.contains(subject);
        self.watches
            .all()
            .filter(|(subject, _)| named(subject))
            .all(|(_, running)| running.is_complete || running.is_notable())
    }

    /// When something is due although nothing is heard.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let whole = match self.whole {
            Some(Wait::Until(moment)) => Some(moment),
            Some(Wait::Always) if self.served == Served::Nothing => {
                Some(self.heard + self.timing.patience)
            }
            Some(Wait::Always) | None => None,
        };
        let held = self.held.filter(|_| self.whole.is_none()).map(|held| self.due(held));
        // What has passed is not due any more: it waits for a report.
        let now = Instant::now();
        let asked = self.asked.as_ref().map(|asked| asked.until);
        whole.into_iter().chain(held).chain(asked).filter(|moment| *moment > now).min()
    }

    fn due(&self, (since, last): (Instant, Instant)) -> Instant {
        let Timing { quiet, longest_quiet, secrets, .. } = self.timing;
        if self.is_settled() { (last + quiet).min(since + longest_quiet) } else { since + secrets }
    }

    /// Hands on what is known, if it is time.
    pub(super) fn hand_on(&mut self) {
        if let Some(asked) = self.asked.take_if(|asked| Instant::now() >= asked.until) {
            // Without an answer the control side stays with the configuration that it has.
            tracing::warn!("the objects are not read again: the API server does not answer");
            self.read_by(*asked.before);
        }
        match self.whole {
            Some(Wait::Until(moment)) if Instant::now() >= moment => self.whole = None,
            Some(_) if self.is_base_complete() && self.is_settled() => self.become_whole(),
            Some(Wait::Always) if self.served == Served::Nothing => self.recall(),
            Some(_) | None => {}
        }
        if self.whole.is_some() {
            return;
        }
        let is_due = self.held.is_some_and(|held| Instant::now() >= self.due(held));
        if is_due || self.asked.is_some() {
            self.put();
        }
    }

    /// Everything is listed.
    fn become_whole(&mut self) {
        self.whole = None;
        if self.served != Served::Server {
            self.served = Served::Server;
            self.classes_listed = true;
            let objects: usize = BASE.iter().map(|resource| self.catalog.count(resource)).sum();
            tracing::info!(objects, server = self.server, "all objects are listed");
            self.memory.publish();
        }
        self.put();
    }

    fn put(&mut self) {
        self.held = None;
        let asked = self.asked.take();
        let problems = self.unreadable();
        let is_new = self.catalog.is_new() || self.classes_listed || problems != self.problems;
        if !is_new && asked.is_none() && self.served != Served::Nothing {
            return;
        }
        let mut update = self.catalog.take();
        update.problems.extend(problems.iter().cloned());
        update.problems.sort();
        update.full = std::mem::take(&mut self.classes_listed);
        update.marks = self.watches.marks();
        self.problems = problems;
        // Whoever gets the update finds the standing that belongs to it.
        self.show();
        if let Some(asked) = asked {
            // What was not fetched yet comes before.
            if let Some(mut earlier) = self.slot.take() {
                earlier.merge(update);
                update = earlier;
            }
            match asked.answer.send(update) {
                Ok(()) => return,
                // Whoever asked waits no more.
                Err(back) => update = back,
            }
        }
        self.slot.put(update, None);
    }

    /// Objects that Ingresses name and that may not be read.
    fn unreadable(&self) -> Vec<Problem> {
        let forbidden = self
            .watches
            .all()
            .filter(|(_, running)| running.is_forbidden() && !running.is_complete);
        let problems = forbidden.filter_map(|(subject, running)| {
            let (Select::Name(name) | Select::Refreshed(name)) = &subject.select else {
                return None;
            };
            Some(Problem {
                object: Some(ObjectRef {
                    kind: subject.resource.kind,
                    namespace: subject.namespace.clone()?,
                    name: name.clone(),
                }),
                origin: Origin::Cluster,
                field: String::new(),
                reason: Reason::Forbidden,
                rule: Reason::Forbidden.rule(),
                message: format!("named by an Ingress, but {}", running.fault.as_ref()?),
            })
        });
        problems.collect()
    }

    /// Serves what an earlier process knew, when the server does not answer.
    fn recall(&mut self) {
        // One that goes on telling is waited for, however much there is to list.
        let is_silent = Instant::now() >= self.heard + self.timing.patience;
        if !is_silent && self.failing().next().is_none() {
            return;
        }
        let Some(recalled) = self.memory.recall(&self.server) else { return };
        let mut objects = 0;
        for (object, item) in &recalled.items {
            let is_listed = self.watches.all().any(|(subject, running)| {
                subject.resource.kind == object.kind && running.is_complete
            });
            if !is_listed && self.catalog.recall(object, item) == Taken::New {
                self.memory.put(object, item);
                objects += 1;
            }
        }
        self.memory.publish();
        self.served = Served::Cache { written: recalled.written };
        let from = self.config.cluster.cache.path().map(|path| path.display().to_string());
        tracing::warn!(objects, from, "the API server does not answer: serving from the cache");
        self.classes_listed = true;
        self.put();
    }
}
