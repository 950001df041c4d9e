use std::time::Duration;

use super::*;
use crate::model::{Kind, Origin, Reason, Sight};
use crate::status::plan::batch::Batch;

/// A recorder with what stands.
#[derive(Default)]
struct World {
    standing: Standing,
    recorder: Recorder,
}

impl World {
    fn writing() -> Self {
        let mut world = Self::default();
        world.set_writing(true);
        world
    }

    fn take(&mut self, batch: &Batch) {
        let news = self.standing.take(batch);
        self.recorder.take(&news, &self.standing);
    }

    fn set_writing(&mut self, is_writing: bool) {
        self.recorder.set_writing(is_writing, &self.standing);
    }

    fn due(&mut self, now: Instant, limit: usize) -> Vec<Note> {
        self.recorder.due(now, limit)
    }

    fn dropped(&self) -> u64 {
        self.recorder.dropped()
    }
}

fn ingress(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Ingress, "default", name)
}

fn problem(object: &ObjectRef, reason: Reason, message: &str) -> Problem {
    Problem {
        object: Some(object.clone()),
        origin: Origin::Cluster,
        field: "spec.rules[0]".to_owned(),
        reason,
        rule: reason.rule(),
        message: message.to_owned(),
    }
}

/// Ours, with these problems.
fn batch(object: &ObjectRef, problems: &[Problem]) -> Batch {
    let sight = Sight {
        object: object.clone(),
        uid: "uid".into(),
        version: "1".into(),
        generation: 1,
        addresses: Vec::new(),
    };
    Batch {
        sights: [(object.clone(), Some(sight))].into(),
        claims: [(object.clone(), true)].into(),
        problems: problems.iter().map(|problem| (problem.clone(), true)).collect(),
        ..Batch::default()
    }
}

fn texts(recorder: &mut World) -> Vec<String> {
    recorder.due(Instant::now(), 1000).into_iter().map(|note| note.text).collect()
}

#[test]
fn u6_a_problem_is_told_once_for_each_change() {
    let (shop, mut recorder) = (ingress("shop"), World::writing());
    let missing = problem(&shop, Reason::ServiceNotFound, "Service a does not exist");
    recorder.take(&batch(&shop, std::slice::from_ref(&missing)));
    let notes = recorder.due(Instant::now(), 10);
    assert_eq!(notes.len(), 1);
    let Note { object, uid, is_warning, reason, text, count, .. } = &notes[0];
    assert_eq!((object, &**uid, *is_warning, *count), (&shop, "uid", true, 1));
    assert_eq!(*reason, "ServiceNotFound");
    assert_eq!(text, "spec.rules[0]: Service a does not exist (C9)");
    // It stands: nothing is told.
    recorder.take(&batch(&shop, std::slice::from_ref(&missing)));
    assert_eq!(texts(&mut recorder), [""; 0]);
    // It goes and comes back: the same Event, a second time.
    let gone = Batch { problems: [(missing.clone(), false)].into(), ..Batch::default() };
    recorder.take(&gone);
    assert_eq!(texts(&mut recorder), [""; 0]);
    recorder.take(&batch(&shop, &[missing]));
    let again = recorder.due(Instant::now(), 10);
    assert_eq!((&again[0].name, again[0].count), (&notes[0].name, 2));
}

#[test]
fn s30_objects_of_others_get_no_events() {
    let (theirs, mut recorder) = (ingress("theirs"), World::writing());
    let bad = problem(&theirs, Reason::InvalidAnnotation, "what");
    let mut foreign = batch(&theirs, &[bad]);
    foreign.claims.insert(theirs.clone(), false);
    recorder.take(&foreign);
    assert_eq!(texts(&mut recorder), [""; 0]);
    let slice = ObjectRef::new(Kind::EndpointSlice, "default", "kubernetes");
    recorder.take(&batch(&slice, &[problem(&slice, Reason::InvalidEndpoint, "the API server")]));
    assert_eq!(texts(&mut recorder), [""; 0]);
    // K1: it becomes ours, with what stands against it.
    recorder.take(&Batch { claims: [(theirs, true)].into(), ..Batch::default() });
    assert_eq!(texts(&mut recorder).len(), 1);
}

#[test]
fn u2_whoever_begins_to_write_tells_what_stands() {
    let (shop, mut recorder) = (ingress("shop"), World::default());
    let missing = problem(&shop, Reason::ServiceNotFound, "Service a does not exist");
    recorder.take(&batch(&shop, &[missing]));
    assert_eq!(texts(&mut recorder), [""; 0], "another process writes");
    recorder.set_writing(true);
    let notes = recorder.due(Instant::now(), 10);
    let mut other = World::writing();
    other.take(&batch(
        &shop,
        &[problem(&shop, Reason::ServiceNotFound, "Service a does not exist")],
    ));
    assert_eq!(other.due(Instant::now(), 10)[0].name, notes[0].name, "one Event for both");
    recorder.set_writing(true);
    assert_eq!(texts(&mut recorder), [""; 0]);
}

#[test]
fn u6_many_problems_of_one_kind_are_a_number() {
    let (shop, mut recorder) = (ingress("shop"), World::writing());
    let all: Vec<Problem> = (0..40)
        .map(|index| problem(&shop, Reason::ServiceNotFound, &format!("{index:02}")))
        .collect();
    recorder.take(&batch(&shop, &all));
    let texts = texts(&mut recorder);
    assert_eq!(texts.len(), SINGLE);
    assert_eq!(texts[SINGLE - 1], "and 36 more of the same kind");
}

#[test]
fn u6_a_flood_of_problems_is_no_flood_of_events() {
    let (shop, mut recorder, now) = (ingress("shop"), World::writing(), Instant::now());
    for round in 0..100 {
        let one = problem(&shop, Reason::InvalidAnnotation, &round.to_string());
        recorder.take(&batch(&shop, &[one]));
    }
    assert_eq!(recorder.due(now, 1000).len(), 25, "of one object");
    assert_eq!(recorder.dropped(), 75);
    let later = now + Duration::from_secs(300);
    recorder.take(&batch(&shop, &[problem(&shop, Reason::InvalidAnnotation, "late")]));
    assert_eq!(recorder.due(later, 1000).len(), 1, "one in five minutes");

    for index in 0..1000 {
        let object = ingress(&format!("shop-{index}"));
        let one = problem(&object, Reason::InvalidAnnotation, "bad");
        recorder.take(&batch(&object, &[one]));
    }
    let later = later + Duration::from_secs(60);
    assert_eq!(recorder.due(later, 1000).len(), 200, "of all");
    assert!(recorder.recorder.has_more());
    assert_eq!(recorder.due(later + Duration::from_secs(1), 1000).len(), 10);
}

#[test]
fn texts_and_names_are_those_that_the_api_server_takes() {
    let long = ingress(&"n".repeat(253));
    let mut recorder = World::writing();
    recorder.take(&batch(&long, &[problem(&long, Reason::InvalidAnnotation, &"é".repeat(2000))]));
    let note = &recorder.due(Instant::now(), 10)[0];
    assert!(note.text.len() <= LONGEST && note.text.ends_with('…'), "{}", note.text.len());
    assert!(note.name.len() <= 253, "{}", note.name.len());
}
