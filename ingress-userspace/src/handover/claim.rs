//! The side of the process that starts: it claims the place, and takes it over when one serves.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::channel::Channel;
use super::holder::Holder;
use super::{HandoverError, Hello, LOCK, Lent, Message, PATIENCE, VERSION, socket_path};

/// How often a process that serves is asked again when it closes the connection, and when.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);
/// How much longer than its own limit a draining process may take before it is killed.
const COURTESY: Duration = Duration::from_secs(10);

/// The right to start in a runtime directory. Held by one process at a time.
#[derive(Debug)]
pub struct Claim {
    directory: PathBuf,
    _lock: Flock<File>,
}

/// The process that serves. Dropping it before [`Predecessor::ready`] leaves it serving.
#[derive(Debug)]
pub struct Predecessor {
    channel: Channel,
    pid: i32,
    drain: Duration,
    listeners: Vec<Lent>,
    lock: Option<OwnedFd>,
    directory: PathBuf,
}

/// A process that others will find: nothing is left to do but to show it.
#[derive(Debug)]
pub struct Staged {
    holder: Holder,
    socket: PathBuf,
    /// Until others find this process, none may start.
    claim: Claim,
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

// === impl Claim ===

impl Claim {
    /// # Errors
    ///
    /// When another process is starting, or the directory cannot be used.
    pub fn begin(directory: &Path) -> Result<Self, HandoverError> {
        let failed = |attempt, path: &Path| {
            let path = path.to_owned();
            move |source| HandoverError::Directory { attempt, path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)
            .map_err(failed("create the runtime directory", directory))?;
        let path = directory.join(LOCK);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open", &path))?;
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                return Err(HandoverError::Starting { pid: text.trim().parse().ok() });
            }
            Err((_, error)) => return Err(failed("lock", &path)(error.into())),
        };
        // For the message of whoever comes meanwhile.
        let note = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        note.map_err(failed("write", &path))?;
        Ok(Self { directory: directory.to_owned(), _lock: lock })
    }

    /// Whether nobody serves.
    pub fn is_first(&self) -> bool {
        matches!(connect(&self.directory, None), Ok(None))
    }

    /// Asks the process that serves for its listeners; `None` when nobody serves.
    ///
    /// # Errors
    ///
    /// When it refuses or does not answer. It serves on then.
    pub fn meet(&self, hello: &Hello) -> Result<Option<Predecessor>, HandoverError> {
        let mut pid = 0;
        for _ in 0..TRIES {
            let Some(channel) = connect(&self.directory, Some(PATIENCE))? else { return Ok(None) };
            pid = channel.peer().map_or(0, |peer| peer.pid);
            match self.ask(channel, pid, hello)? {
                Answer::Lent(predecessor) => return Ok(Some(predecessor)),
                Answer::Leaving => return Ok(None),
                // One that has ended refuses the next connection.
                Answer::Closed => std::thread::sleep(PAUSE),
            }
        }
        Err(HandoverError::Silent { pid, source: io::ErrorKind::UnexpectedEof.into() })
    }

    fn ask(&self, channel: Channel, pid: i32, hello: &Hello) -> Result<Answer, HandoverError> {
        let silent = |source| HandoverError::Silent { pid, source };
        let hello = Message::Hello { version: VERSION, hello: hello.clone() };
        if channel.send(&hello).is_err() {
            return Ok(Answer::Closed);
        }
        let (count, drain, lock) = match channel.receive().map_err(silent)? {
            Some((Message::Offer { listeners, drain }, mut lock)) => (listeners, drain, lock.pop()),
            Some((Message::Refused { reason }, _)) => {
                return Err(HandoverError::Refused { pid, reason });
            }
            Some((Message::Leaving, _)) => return Ok(Answer::Leaving),
            None => return Ok(Answer::Closed),
            Some(_) => return Err(silent(io::Error::other("not an offer"))),
        };
        let mut listeners = Vec::new();
        while listeners.len() < count {
            match channel.receive().map_err(silent)? {
                Some((Message::Listeners { workers }, lent)) if workers.len() == lent.len() => {
                    let lent = workers.into_iter().zip(lent);
                    listeners.extend(lent.map(|(worker, descriptor)| Lent {
                        worker,
                        listener: TcpListener::from(descriptor),
                    }));
                }
                Some(_) => return Err(silent(io::Error::other("not its listeners"))),
                None => return Ok(Answer::Closed),
            }
        }
        let directory = self.directory.clone();
        Ok(Answer::Lent(Predecessor { channel, pid, drain, listeners, lock, directory }))
    }

    /// All that can fail on the way to a process that others find.
    ///
    /// # Errors
    ///
    /// When the socket cannot be made.
    pub fn stage(self) -> Result<Staged, HandoverError> {
        let socket = socket_path(&self.directory).with_extension(std::process::id().to_string());
        match Holder::listen(&socket) {
            Ok(holder) => Ok(Staged { holder, socket, claim: self }),
            Err(source) => {
                Err(HandoverError::Directory { attempt: "listen on", path: socket, source })
            }
        }
    }
}

// === impl Staged ===

impl Staged {
    /// Becomes the process that others find, and lets the next one start.
    ///
    /// # Errors
    ///
    /// When the socket cannot take the place of the last one.
    pub fn show(self) -> Result<Holder, HandoverError> {
        let Self { holder, socket, claim } = self;
        let path = socket_path(&claim.directory);
        match std::fs::rename(&socket, &path) {
            Ok(()) => Ok(holder),
            Err(source) => Err(HandoverError::Directory { attempt: "listen on", path, source }),
        }
    }
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

/// Asks the process that serves to start its successor; waits until that one serves. Returns its
/// process id.
///
/// # Errors
///
/// When nobody serves, or the successor did not become ready.
pub fn replace(directory: &Path) -> Result<i32, HandoverError> {
    let nobody = || HandoverError::Nobody(directory.to_owned());
    let channel = connect(directory, None)?.ok_or_else(nobody)?;
    let pid = channel.peer().map_or(0, |peer| peer.pid);
    channel.send(&Message::Replace).map_err(|_| nobody())?;
    match channel.receive() {
        Ok(Some((Message::Replaced { pid }, _))) => Ok(pid),
        Ok(Some((Message::Refused { reason }, _))) => Err(HandoverError::Refused { pid, reason }),
        Ok(Some(_)) => {
            Err(HandoverError::Silent { pid, source: io::Error::other("not an answer") })
        }
        Ok(None) => {
            let source = io::ErrorKind::UnexpectedEof.into();
            Err(HandoverError::Silent { pid, source })
        }
        Err(source) => Err(HandoverError::Silent { pid, source }),
    }
}

enum Answer {
    Lent(Predecessor),
    /// It drains already: it is nobody.
    Leaving,
    /// The connection was closed, by its end or for want of something.
    Closed,
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

fn connect(directory: &Path, patience: Option<Duration>) -> Result<Option<Channel>, HandoverError> {
    let path = socket_path(directory);
    match Channel::connect(&path, patience) {
        Ok(channel) => Ok(Some(channel)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(source) => Err(HandoverError::Directory { attempt: "connect to", path, source }),
    }
}
