use notify::event::{DataChange, Flag, RemoveKind};

use super::*;

fn event(kind: EventKind, path: &str) -> notify::Result<Event> {
    Ok(Event::new(kind).add_path(path.into()))
}

const WRITE: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
const CLOSE: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
const REMOVE: EventKind = EventKind::Remove(RemoveKind::File);

fn paths(due: &Due) -> Vec<&str> {
    due.paths.iter().filter_map(|path| path.to_str()).collect()
}

/// Milliseconds from the start.
struct Clock(Instant);

impl Clock {
    fn at(&self, millis: u64) -> Instant {
        self.0 + Duration::from_millis(millis)
    }

    fn until(&self, at: Option<Instant>) -> Option<u128> {
        at.map(|at| at.duration_since(self.0).as_millis())
    }
}

fn start() -> (Settle, Clock) {
    (Settle::default(), Clock(Instant::now()))
}

#[test]
fn a_closed_file_is_due_after_silence() {
    let (mut settle, clock) = start();
    assert_eq!(settle.wake_at(), None);
    settle.event(&event(WRITE, "a"), clock.at(0));
    settle.event(&event(CLOSE, "a"), clock.at(1));
    assert_eq!(clock.until(settle.wake_at()), Some(11));
    assert_eq!(paths(&settle.due(clock.at(11))), ["a"]);
    assert_eq!(settle.wake_at(), None);
}

#[test]
fn a_stream_of_events_is_cut() {
    let (mut settle, clock) = start();
    for at in 0..200 {
        settle.event(&event(REMOVE, "a"), clock.at(at));
    }
    assert_eq!(clock.until(settle.wake_at()), Some(30));
}

#[test]
fn a_file_that_is_being_written_waits_for_its_end() {
    let (mut settle, clock) = start();
    settle.event(&event(WRITE, "a"), clock.at(0));
    settle.event(&event(REMOVE, "b"), clock.at(0));
    assert!(settle.is_busy(Path::new("a")));
    assert_eq!(paths(&settle.due(clock.at(10))), ["b"]);
    // The program behind `> a` thinks for long.
    settle.event(&event(WRITE, "a"), clock.at(20_000));
    assert_eq!(paths(&settle.due(clock.at(30_000))), [""; 0]);
    assert_eq!(clock.until(settle.wake_at()), Some(50_000));
    settle.event(&event(CLOSE, "a"), clock.at(40_000));
    assert_eq!(paths(&settle.due(clock.at(40_010))), ["a"]);
    assert!(!settle.is_busy(Path::new("a")));
}

#[test]
fn a_file_that_is_never_closed_is_read_in_the_end() {
    let (mut settle, clock) = start();
    settle.event(&event(WRITE, "a"), clock.at(0));
    assert_eq!(paths(&settle.due(clock.at(10))), [""; 0]);
    assert_eq!(clock.until(settle.wake_at()), Some(30_000));
    assert_eq!(paths(&settle.due(clock.at(30_000))), ["a"]);
    assert_eq!(settle.wake_at(), None);
}

#[test]
fn a_file_that_is_doubted_is_believed_after_silence() {
    let (mut settle, clock) = start();
    settle.hold("a".into(), Duration::from_millis(15), clock.at(0));
    assert!(settle.is_busy(Path::new("a")));
    assert_eq!(settle.due(clock.at(14)), Due::default());
    assert_eq!(clock.until(settle.wake_at()), Some(15));
    let due = settle.due(clock.at(15));
    assert_eq!(due.confirmed, BTreeSet::from([PathBuf::from("a")]));
    assert!(due.paths.is_empty() && !settle.is_busy(Path::new("a")));
}

#[test]
fn an_event_on_a_file_that_is_doubted_begins_anew() {
    let (mut settle, clock) = start();
    settle.hold("a".into(), Duration::from_millis(15), clock.at(0));
    settle.event(&event(WRITE, "a"), clock.at(10));
    assert_eq!(settle.due(clock.at(20)), Due::default(), "its writer is not done");
    settle.event(&event(CLOSE, "a"), clock.at(30));
    let due = settle.due(clock.at(40));
    assert_eq!(paths(&due), ["a"]);
    assert!(due.confirmed.is_empty());
}

#[test]
fn what_is_held_does_not_cut_a_batch_short() {
    let (mut settle, clock) = start();
    settle.hold("a".into(), Duration::from_millis(15), clock.at(0));
    settle.event(&event(CLOSE, "b"), clock.at(14));
    assert_eq!(paths(&settle.due(clock.at(15))), [""; 0]);
    assert_eq!(paths(&settle.due(clock.at(24))), ["b"]);
}

#[test]
fn lost_events_mean_everything() {
    let (mut settle, clock) = start();
    let overflow = Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan));
    settle.event(&overflow, clock.at(0));
    assert!(settle.due(clock.at(10)).everything);
    settle.event(&Err(notify::Error::generic("x")), clock.at(20));
    assert!(settle.due(clock.at(30)).everything);
    assert_eq!(settle.due(clock.at(40)), Due::default());
}

#[test]
fn a_new_directory_is_looked_at_twice() {
    let (mut settle, clock) = start();
    settle.event(&event(EventKind::Create(CreateKind::Folder), "d"), clock.at(0));
    assert!(settle.due(clock.at(10)).everything);
    assert_eq!(clock.until(settle.wake_at()), Some(100));
    assert!(settle.due(clock.at(100)).everything);
    assert_eq!(settle.wake_at(), None);
}

#[test]
fn reading_a_file_is_no_change() {
    let (mut settle, clock) = start();
    for kind in [AccessKind::Open(AccessMode::Any), AccessKind::Close(AccessMode::Read)] {
        settle.event(&event(EventKind::Access(kind), "a"), clock.at(0));
    }
    assert_eq!(settle.wake_at(), None);
}
