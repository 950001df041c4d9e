//! Reports: an IngressReport beside each Ingress of ours that has problems, and none beside others.
//!
//! In: what stands against which Ingress, and the reports that are there. Out: reports to be written
//! or removed. Its schema is that of the CustomResourceDefinition `ingressreports.genkan.io`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::{Value, json};

use crate::model::{ObjectRef, Problem, Reason};

use super::bucket::Bucket;
use super::standing::{Seen, Standing};

#[derive(Debug, Default)]
pub(crate) struct Reports {
    /// As they stand in the cluster; `None` before that is known.
    there: Option<BTreeMap<ObjectRef, Value>>,
    open: BTreeSet<ObjectRef>,
    pace: Bucket<100, 50>,
}

/// One report to be written, or with `None` to be removed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) ingress: ObjectRef,
    pub(crate) report: Option<Value>,
}

/// Problems of one report; the rest is a number.
const LISTED: usize = 64;
const LONGEST_FIELD: usize = 1024;
const LONGEST_MESSAGE: usize = 4096;

pub(crate) const API_VERSION: &str = "genkan.io/v1alpha1";
const KIND: &str = "IngressReport";

// === impl Reports ===

impl Reports {
    pub(crate) fn touch(&mut self, ingresses: &BTreeSet<ObjectRef>) {
        if self.there.is_some() {
            self.open.extend(ingresses.iter().cloned());
        }
    }

    /// Whether the reports that are there have still to be listed.
    pub(crate) fn is_unknown(&self) -> bool {
        self.there.is_none()
    }

    /// These reports are there, each with the Ingress that it is named after: what is outdated in
    /// them is written.
    pub(crate) fn begin(&mut self, there: BTreeMap<ObjectRef, Value>, standing: &Standing) {
        self.open = there.keys().cloned().collect();
        let told = standing.all().filter(|(object, _)| object.kind == crate::model::Kind::Ingress);
        self.open.extend(told.map(|(object, _)| object.clone()));
        self.there = Some(there);
    }

    /// Another process writes: what is there is not known any more.
    pub(crate) fn end(&mut self) {
        (self.there, self.open) = (None, BTreeSet::new());
    }

    /// What is to be written now. `time`: RFC 3339, of conditions that change.
    pub(crate) fn due(
        &mut self,
        standing: &Standing,
        (now, time): (Instant, &str),
        limit: usize,
    ) -> Vec<Change> {
        let Some(there) = &self.there else { return Vec::new() };
        let mut due = Vec::new();
        while due.len() < limit
            && let Some(ingress) = self.open.first().cloned()
        {
            let before = there.get(&ingress);
            let report = standing.of(&ingress).map(|problems| {
                report(&ingress, &standing.seen(&ingress), problems, (before, time))
            });
            let is_same = match (&report, before) {
                (Some(report), Some(before)) => says_the_same(report, before),
                (None, None) => true,
                _ => false,
            };
            if !is_same {
                if !self.pace.take(now) {
                    break;
                }
                due.push(Change { ingress: ingress.clone(), report });
            }
            self.open.remove(&ingress);
        }
        due
    }

    /// Whether something waits for its turn.
    pub(crate) fn has_more(&self) -> bool {
        !self.open.is_empty()
    }

    /// It stands in the cluster.
    pub(crate) fn settle(&mut self, change: Change) {
        let Some(there) = &mut self.there else { return };
        match change.report {
            Some(report) => drop(there.insert(change.ingress, report)),
            None => drop(there.remove(&change.ingress)),
        }
    }

    /// It could not be written; to be tried again.
    pub(crate) fn fail(&mut self, change: Change) {
        self.open.insert(change.ingress);
    }
}

fn report(
    ingress: &ObjectRef,
    seen: &Seen,
    problems: &BTreeSet<Problem>,
    (before, time): (Option<&Value>, &str),
) -> Value {
    let listed: Vec<Value> = problems.iter().take(LISTED).map(listed).collect();
    let (unresolved, unaccepted): (Vec<&Problem>, Vec<&Problem>) =
        problems.iter().partition(|problem| is_reference(problem.reason));
    let conditions = [("Accepted", unaccepted), ("ResolvedRefs", unresolved)];
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(kind, against)| condition(kind, against, seen.generation, (before, time)))
        .collect();
    json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": &*ingress.name,
            "namespace": &*ingress.namespace,
            "ownerReferences": [{
                "apiVersion": "networking.k8s.io/v1",
                "kind": "Ingress",
                "name": &*ingress.name,
                "uid": &*seen.uid,
            }],
        },
        "ingress": {"uid": &*seen.uid, "generation": seen.generation},
        "conditions": conditions,
        "total": problems.len(),
        "problems": listed,
    })
}

fn listed(problem: &Problem) -> Value {
    let mut listed = json!({
        "field": cut(&problem.field, LONGEST_FIELD),
        "reason": problem.reason.as_str(),
        "message": cut(&problem.message, LONGEST_MESSAGE),
    });
    if let Some(rule) = problem.rule {
        listed["rule"] = rule.as_str().into();
    }
    listed
}

fn condition(
    kind: &str,
    against: &[&Problem],
    generation: i64,
    (before, time): (Option<&Value>, &str),
) -> Value {
    let (status, reason, message) = match against {
        [] => ("True", kind, String::new()),
        [first] => ("False", first.reason.as_str(), first.message.clone()),
        [first, rest @ ..] => {
            let message = format!("{} (and {} more)", first.message, rest.len());
            ("False", first.reason.as_str(), message)
        }
    };
    let conditions = before.and_then(|before| before["conditions"].as_array());
    let same = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == kind && condition["status"] == status);
    let since = same.and_then(|condition| condition["lastTransitionTime"].as_str());
    json!({
        "type": kind,
        "status": status,
        "reason": reason,
        "message": cut(&message, LONGEST_MESSAGE),
        "observedGeneration": generation,
        "lastTransitionTime": since.unwrap_or(time),
    })
}

/// Whether something that is referred to is missing or not to be had.
fn is_reference(reason: Reason) -> bool {
    match reason {
        Reason::ServiceNotFound
        | Reason::PortNotFound
        | Reason::NoEndpoints
        | Reason::InvalidEndpoint
        | Reason::SecretNotFound
        | Reason::ConfigMapNotFound
        | Reason::SecretInvalid
        | Reason::CertificateMismatch
        | Reason::CertificateExpired
        | Reason::Forbidden => true,
        Reason::InvalidDocument
        | Reason::InvalidObject
        | Reason::DuplicateObject
        | Reason::InvalidAnnotation
        | Reason::UnsupportedAnnotation
        | Reason::ConflictingPath
        | Reason::ConflictingHost
        | Reason::UnsupportedBackend
        | Reason::UnsupportedKind => false,
    }
}

/// Of what the server has added nothing counts.
fn says_the_same(report: &Value, before: &Value) -> bool {
    let fields = ["ingress", "conditions", "total", "problems"];
    fields.iter().all(|field| report[field] == before[field])
}

fn cut(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, Origin, Sight};
    use crate::status::plan::batch::Batch;

    const THEN: &str = "2026-11-28T03:00:00Z";
    const LATER: &str = "2026-11-28T04:00:00Z";

    fn shop() -> ObjectRef {
        ObjectRef::new(Kind::Ingress, "default", "shop")
    }

    fn problem(reason: Reason, message: &str) -> Problem {
        Problem {
            object: Some(shop()),
            origin: Origin::Cluster,
            field: "spec.rules[0]".to_owned(),
            reason,
            rule: reason.rule(),
            message: message.to_owned(),
        }
    }

    fn world(problems: &[Problem]) -> (Standing, Reports) {
        let (mut standing, mut reports) = (Standing::default(), Reports::default());
        standing.take(&batch(problems, true));
        reports.begin(BTreeMap::new(), &standing);
        (standing, reports)
    }

    fn batch(problems: &[Problem], is_there: bool) -> Batch {
        let sight = Sight {
            object: shop(),
            uid: "uid".into(),
            version: "1".into(),
            generation: 3,
            addresses: Vec::new(),
        };
        Batch {
            sights: [(shop(), Some(sight))].into(),
            claims: [(shop(), true)].into(),
            problems: problems.iter().map(|problem| (problem.clone(), is_there)).collect(),
            ..Batch::default()
        }
    }

    fn step(standing: &Standing, reports: &mut Reports, time: &str) -> Vec<Change> {
        let due = reports.due(standing, (Instant::now(), time), 9);
        for change in &due {
            reports.settle(change.clone());
        }
        due
    }

    #[test]
    fn u6_report_names_each_problem_with_field_reason_and_rule() {
        let missing = problem(Reason::ServiceNotFound, "Service a does not exist");
        let (standing, mut reports) = world(&[missing]);
        let due = step(&standing, &mut reports, THEN);
        let report = due[0].report.clone().unwrap();
        assert_eq!(report["metadata"]["ownerReferences"][0]["uid"], "uid");
        assert_eq!(report["ingress"], json!({"uid": "uid", "generation": 3}));
        assert_eq!(report["total"], 1);
        let listed = json!([{"field": "spec.rules[0]", "reason": "ServiceNotFound", "rule": "C9",
                             "message": "Service a does not exist"}]);
        assert_eq!(report["problems"], listed);
        let states: Vec<_> = report["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|condition| {
                (condition["type"].as_str().unwrap(), condition["status"].as_str().unwrap())
            })
            .collect();
        assert_eq!(states, [("Accepted", "True"), ("ResolvedRefs", "False")]);
        assert_eq!(step(&standing, &mut reports, LATER), [], "equal is not written");
    }

    #[test]
    fn u6_report_goes_with_the_last_problem() {
        let missing = problem(Reason::ServiceNotFound, "Service a does not exist");
        let (mut standing, mut reports) = world(std::slice::from_ref(&missing));
        step(&standing, &mut reports, THEN);
        let more = problem(Reason::InvalidAnnotation, "bad");
        let news = standing.take(&batch(std::slice::from_ref(&more), true));
        reports.touch(&news.touched);
        let due = step(&standing, &mut reports, LATER);
        let conditions = due[0].report.as_ref().unwrap()["conditions"].clone();
        assert_eq!(conditions[0]["lastTransitionTime"], LATER);
        assert_eq!(conditions[1]["lastTransitionTime"], THEN, "it has not changed");

        let news = standing.take(&batch(&[missing, more], false));
        reports.touch(&news.touched);
        assert_eq!(
            step(&standing, &mut reports, LATER),
            [Change { ingress: shop(), report: None }]
        );
        assert!(!reports.has_more());
    }

    #[test]
    fn what_another_process_has_left_is_put_right() {
        let (standing, mut reports) = (Standing::default(), Reports::default());
        assert!(reports.is_unknown());
        reports.begin([(shop(), json!({"total": 1}))].into(), &standing);
        assert_eq!(step(&standing, &mut reports, THEN), [Change { ingress: shop(), report: None }]);
        reports.end();
        assert!(reports.is_unknown());
    }

    #[test]
    fn report_of_a_thousand_problems_has_an_end() {
        let all: Vec<Problem> = (0..1000)
            .map(|index| {
                problem(Reason::InvalidAnnotation, &format!("{index}{}", "é".repeat(9000)))
            })
            .collect();
        let (standing, mut reports) = world(&all);
        let due = step(&standing, &mut reports, THEN);
        let report = due[0].report.clone().unwrap();
        assert_eq!(report["total"], 1000);
        assert_eq!(report["problems"].as_array().unwrap().len(), LISTED);
        assert!(report.to_string().len() < 400_000);
    }
}
