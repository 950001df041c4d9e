//! The process that served before, from its offer to its end.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::channel::Channel;
use super::claim::{PAUSE, TRIES, connect};
use super::{HandoverError, Lent, Message};

/// How much longer than its own limit a draining process may take before it is killed.
const COURTESY: Duration = Duration::from_secs(10);

/// The process that serves. Dropping it before [`Predecessor::ready`] leaves it serving.
#[derive(Debug)]
pub struct Predecessor {
    pub(super) channel: Channel,
    pub(super) pid: i32,
    pub(super) drain: Duration,
    pub(super) listeners: Vec<Lent>,
    pub(super) lock: Option<OwnedFd>,
    pub(super) directory: PathBuf,
}

/// A process that has given its place away and drains.
#[derive(Debug)]
pub struct Leaving {
    channel: Channel,
    pid: i32,
    drain: Duration,
}

/// How a draining process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    ByItself,
    /// It was still there long after its own limit.
    Killed,
    /// The same, but it is in a process namespace that we do not see.
    OutOfReach,
}

// === impl Predecessor ===

impl Predecessor {
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its listeners; none the second time.
    pub fn take_listeners(&mut self) -> Vec<Lent> {
        std::mem::take(&mut self.listeners)
    }

    /// Its lock of what both use, if it has one; none the second time.
    pub fn take_lock(&mut self) -> Option<OwnedFd> {
        self.lock.take()
    }

    /// To be said before anything that the predecessor owns is changed: it will put it right when
    /// we do not become ready.
    pub fn begun(&self) {
        // One that has ended needs to know nothing.
        let _ = self.channel.send(&Message::Begun);
    }

    /// To be said when everything is in place. Returns when the predecessor accepts no more.
    ///
    /// # Errors
    ///
    /// When it is alive and does not answer: then the place is not ours.
    pub fn ready(self) -> Result<Leaving, HandoverError> {
        let Self { channel, pid, drain, directory, .. } = self;
        let answer = channel.send(&Message::Ready).and_then(|()| channel.receive());
        let source = match answer {
            Ok(Some((Message::Yielded, _))) => return Ok(Leaving { channel, pid, drain }),
            Ok(Some(_)) => io::Error::other("not a word of leaving"),
            Ok(None) if has_ended(&directory) => return Ok(Leaving { channel, pid, drain }),
            Ok(None) => io::ErrorKind::UnexpectedEof.into(),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe && has_ended(&directory) => {
                return Ok(Leaving { channel, pid, drain });
            }
            Err(error) => error,
        };
        Err(HandoverError::Silent { pid, source })
    }
}

// === impl Leaving ===

impl Leaving {
    /// To be said when nothing can keep us from serving any more. It does not end well before.
    pub fn serves(&self) {
        // One that has ended waits for nothing.
        let _ = self.channel.send(&Message::Serves);
    }

    /// Waits for its end; kills it when that does not come.
    pub fn wait(self) -> Left {
        let _ = self.channel.set_patient(Some(self.drain + COURTESY));
        loop {
            match self.channel.receive() {
                Ok(None) => return Left::ByItself,
                Ok(Some(_)) => {}
                Err(_) if self.pid > 0 => {
                    // Its end of the connection is open: the number is still its own.
                    let killed = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
                    return if killed.is_ok() { Left::Killed } else { Left::OutOfReach };
                }
                Err(_) => return Left::OutOfReach,
            }
        }
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }
}

/// Whether nobody listens any more in the place of a process that has closed its connection.
fn has_ended(directory: &Path) -> bool {
    for _ in 0..TRIES {
        if matches!(connect(directory, Some(PAUSE)), Ok(None)) {
            return true;
        }
        std::thread::sleep(PAUSE);
    }
    false
}
