use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use super::*;

const DRAIN: Duration = Duration::from_secs(3);

fn hello() -> Hello {
    Hello::new(true).unwrap()
}

fn hold(directory: &Path) -> Holder {
    Claim::begin(directory).unwrap().stage().unwrap().show().unwrap()
}

/// What a process that serves answers, on a thread with a runtime of its own.
fn serving(
    directory: &Path,
    mut answer: impl FnMut(Request) -> bool + Send + 'static,
) -> thread::JoinHandle<()> {
    let mut holder = hold(directory);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        while answer(runtime.block_on(holder.request())) {}
    })
}

fn lent(count: usize) -> (Vec<Lent>, Vec<SocketAddr>) {
    let lent: Vec<Lent> = (0..count)
        .map(|worker| Lent { worker, listener: TcpListener::bind("127.0.0.1:0").unwrap() })
        .collect();
    let addresses = lent.iter().map(|lent| lent.listener.local_addr().unwrap()).collect();
    (lent, addresses)
}

fn offer(listeners: Vec<Lent>) -> Offer {
    Offer { listeners, drain: DRAIN, lock: None }
}

#[test]
fn the_first_process_meets_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let claim = Claim::begin(&directory.path().join("made")).unwrap();
    assert!(claim.meet(&hello()).unwrap().is_none());
    drop(claim.stage().unwrap().show().unwrap());
    // A socket that a dead process left is nobody too.
    let stale = tempfile::tempdir().unwrap();
    drop(channel::listen(&socket_path(stale.path())).unwrap());
    assert!(Claim::begin(stale.path()).unwrap().meet(&hello()).unwrap().is_none());
}

#[test]
fn of_two_processes_that_start_the_second_says_who_is_first() {
    let directory = tempfile::tempdir().unwrap();
    let first = Claim::begin(directory.path()).unwrap();
    let own = i32::try_from(std::process::id()).unwrap();
    match Claim::begin(directory.path()) {
        Err(HandoverError::Starting { pid }) => assert_eq!(pid, Some(own)),
        other => panic!("{other:?}"),
    }
    drop(first);
    Claim::begin(directory.path()).unwrap();
}

#[test]
fn only_the_owner_may_connect() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let _holder = hold(directory.path());
    for file in [SOCKET, LOCK] {
        let mode = std::fs::metadata(directory.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn listeners_live_on_in_the_successor() {
    let directory = tempfile::tempdir().unwrap();
    // More than one message holds.
    let (listeners, addresses) = lent(crate::net::sys::DESCRIPTORS + 3);
    let waiting: Vec<TcpStream> =
        addresses.iter().map(|address| TcpStream::connect(address).unwrap()).collect();
    let mut listeners = Some(listeners);
    let mut begun = false;
    let (words, word) = std::sync::mpsc::channel();
    let serving = serving(directory.path(), move |request| match request {
        Request::Lend { hello: of, answer, .. } => {
            assert_eq!(of, hello());
            let listeners = listeners.take().unwrap();
            answer.send(Ok(offer(listeners))).unwrap();
            true
        }
        Request::Begun => {
            begun = true;
            true
        }
        Request::Ready { answer, serves } => {
            words.send(serves).unwrap();
            assert!(begun);
            answer.send(true).unwrap();
            false
        }
        other => panic!("{other:?}"),
    });
    let claim = Claim::begin(directory.path()).unwrap();
    let mut predecessor = claim.meet(&hello()).unwrap().unwrap();
    assert_eq!(predecessor.pid(), i32::try_from(std::process::id()).unwrap());
    let taken = predecessor.take_listeners();
    predecessor.begun();
    let leaving = predecessor.ready().unwrap();
    serving.join().unwrap();
    assert_eq!(leaving.pid(), i32::try_from(std::process::id()).unwrap());
    leaving.serves();
    word.recv().unwrap().blocking_recv().unwrap();
    assert_eq!(taken.len(), addresses.len());
    for ((number, lent), client) in taken.iter().enumerate().zip(&waiting) {
        assert_eq!((lent.worker, lent.listener.local_addr().unwrap()), (number, addresses[number]));
        let (_, peer) = lent.listener.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    }
}

#[test]
fn a_successor_that_gives_up_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let serving = serving(directory.path(), |request| match request {
        Request::Lend { answer, .. } => {
            answer.send(Ok(offer(lent(1).0))).unwrap();
            true
        }
        Request::Abandoned => false,
        other => panic!("{other:?}"),
    });
    let claim = Claim::begin(directory.path()).unwrap();
    drop(claim.meet(&hello()).unwrap().unwrap());
    serving.join().unwrap();
}

/// What it asks for is offered, and its conversation is cut once it has begun.
#[test]
fn a_successor_that_is_cut_off_cannot_take_over() {
    let directory = tempfile::tempdir().unwrap();
    let mut to_cut = None;
    let serving = serving(directory.path(), move |request| match request {
        Request::Lend { answer, cut, .. } => {
            answer.send(Ok(offer(lent(1).0))).unwrap();
            to_cut = Some(cut);
            true
        }
        Request::Begun => {
            to_cut.take().unwrap().now();
            true
        }
        // On its way before that: it gets no answer.
        Request::Ready { .. } => true,
        Request::Abandoned => {
            // It serves on, and can be found.
            true
        }
        Request::Replace { .. } => false,
    });
    let claim = Claim::begin(directory.path()).unwrap();
    let predecessor = claim.meet(&hello()).unwrap().unwrap();
    predecessor.begun();
    let refused = predecessor.ready().unwrap_err();
    assert!(matches!(refused, HandoverError::Silent { .. }), "{refused}");
    let _ = replace(directory.path());
    serving.join().unwrap();
}

/// Its word was on the way when it was given up.
#[test]
fn a_successor_that_is_late_does_not_get_the_place_and_its_end_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut to_cut = None;
    let (asked, is_asked) = std::sync::mpsc::channel();
    let serving = serving(directory.path(), move |request| match request {
        Request::Lend { answer, cut, .. } => {
            answer.send(Ok(offer(lent(1).0))).unwrap();
            to_cut = Some(cut);
            true
        }
        Request::Ready { answer, .. } => {
            answer.send(false).unwrap();
            asked.send(to_cut.take().unwrap()).unwrap();
            true
        }
        Request::Abandoned => false,
        other => panic!("{other:?}"),
    });
    let claim = Claim::begin(directory.path()).unwrap();
    let predecessor = claim.meet(&hello()).unwrap().unwrap();
    thread::scope(|scope| {
        let ready = scope.spawn(|| predecessor.ready());
        let cut = is_asked.recv().unwrap();
        // Nothing was told before its end.
        assert!(!serving.is_finished());
        cut.now();
        let refused = ready.join().unwrap().unwrap_err();
        assert!(matches!(refused, HandoverError::Silent { .. }), "{refused}");
    });
    serving.join().unwrap();
}

/// Its place is given away: nobody else takes it back.
#[test]
fn a_successor_that_ends_before_it_serves_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let (words, word) = std::sync::mpsc::channel();
    let serving = serving(directory.path(), move |request| match request {
        Request::Lend { answer, .. } => {
            answer.send(Ok(offer(lent(1).0))).unwrap();
            true
        }
        Request::Ready { answer, serves } => {
            words.send(serves).unwrap();
            answer.send(true).unwrap();
            false
        }
        other => panic!("{other:?}"),
    });
    let claim = Claim::begin(directory.path()).unwrap();
    drop(claim.meet(&hello()).unwrap().unwrap().ready().unwrap());
    serving.join().unwrap();
    assert!(word.recv().unwrap().blocking_recv().is_err());
}

#[test]
fn sockets_that_nobody_has_seen_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let names = || {
        let entries = std::fs::read_dir(directory.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    // One of a process that was killed, and something that is none.
    for name in ["handover.4000000", "other.17"] {
        std::fs::write(directory.path().join(name), "").unwrap();
    }
    let staged = Claim::begin(directory.path()).unwrap().stage().unwrap();
    let own = format!("handover.{}", std::process::id());
    assert_eq!(names(), [own.as_str(), LOCK, "other.17"]);
    drop(staged);
    assert_eq!(names(), [LOCK, "other.17"]);
    let _holder = hold(directory.path());
    assert_eq!(names(), [LOCK, SOCKET, "other.17"]);
}

#[test]
fn a_refusal_comes_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let serving = serving(directory.path(), |request| match request {
        Request::Lend { answer, .. } => {
            answer.send(Err("for a reason".to_owned())).unwrap();
            true
        }
        Request::Replace { answer } => {
            answer.send(Err("for another".to_owned())).unwrap();
            false
        }
        other => panic!("{other:?}"),
    });
    let claim = Claim::begin(directory.path()).unwrap();
    let refused = claim.meet(&hello()).unwrap_err().to_string();
    assert!(refused.ends_with("refuses: for a reason"), "{refused}");
    let refused = replace(directory.path()).unwrap_err().to_string();
    assert!(refused.ends_with("refuses: for another"), "{refused}");
    serving.join().unwrap();
}

#[test]
fn another_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _holder = hold(directory.path());
    let channel = channel::Channel::connect(&socket_path(directory.path()), None).unwrap();
    channel.send(&Message::Hello { version: VERSION + 1, hello: hello() }).unwrap();
    match channel.receive().unwrap() {
        Some((Message::Refused { reason }, _)) => assert!(reason.contains("version"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_process_that_is_told_to_stop_meanwhile_gives_way() {
    let directory = tempfile::tempdir().unwrap();
    let serving = serving(directory.path(), |request| match request {
        Request::Lend { answer, .. } => {
            answer.send(Ok(offer(lent(1).0))).unwrap();
            // It answers nothing more.
            false
        }
        other => panic!("{other:?}"),
    });
    let claim = Claim::begin(directory.path()).unwrap();
    let predecessor = claim.meet(&hello()).unwrap().unwrap();
    serving.join().unwrap();
    predecessor.ready().unwrap();
}

#[test]
fn a_process_that_drains_already_is_nobody() {
    let directory = tempfile::tempdir().unwrap();
    drop(hold(directory.path()));
    let claim = Claim::begin(directory.path()).unwrap();
    assert!(claim.meet(&hello()).unwrap().is_none());
    let refused = replace(directory.path()).unwrap_err().to_string();
    assert!(refused.ends_with("it is about to end"), "{refused}");
}

#[test]
fn nobody_to_replace_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(replace(directory.path()), Err(HandoverError::Nobody(_))));
}

#[test]
fn a_living_process_that_closes_the_connection_is_not_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let listener = channel::listen(&socket_path(directory.path())).unwrap();
    let serving = thread::spawn(move || {
        // As one that cannot start a thread for the conversation; it is asked again.
        drop(channel::Channel::accept(&listener).unwrap());
        drop(channel::Channel::accept(&listener).unwrap());
        let channel = channel::Channel::accept(&listener).unwrap();
        channel.receive().unwrap();
        channel.send(&Message::Offer { listeners: 0, drain: DRAIN }).unwrap();
        // It lives on and does not hear that its successor is ready.
        channel.receive().unwrap();
        drop(channel);
        listener
    });
    let claim = Claim::begin(directory.path()).unwrap();
    let predecessor = claim.meet(&hello()).unwrap().unwrap();
    let refused = predecessor.ready().unwrap_err();
    assert!(matches!(refused, HandoverError::Silent { .. }), "{refused}");
    drop(serving.join().unwrap());
    assert!(claim.meet(&hello()).unwrap().is_none());
}
