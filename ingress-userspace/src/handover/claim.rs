//! The side of the process that starts: it claims the place, asks who serves for it, and is found in
//! the end.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use super::channel::Channel;
use super::holder::Holder;
use super::predecessor::Predecessor;
use super::{HandoverError, Hello, LOCK, Lent, Message, PATIENCE, VERSION, socket_path};

/// How often a process that serves is asked again when it closes the connection, and when.
pub(super) const TRIES: usize = 20;
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// The right to start in a runtime directory. Held by one process at a time.
#[derive(Debug)]
pub struct Claim {
    directory: PathBuf,
    _lock: Flock<File>,
}

/// A process that others will find: nothing is left to do but to show it.
#[derive(Debug)]
pub struct Staged {
    holder: Holder,
    socket: Unseen,
    /// Until others find this process, none may start.
    claim: Claim,
}

/// A socket beside its place. It goes, unless it has got there.
#[derive(Debug)]
struct Unseen(PathBuf);

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
        self.remove_leftovers();
        let socket = socket_path(&self.directory).with_extension(std::process::id().to_string());
        let socket = Unseen(socket);
        match Holder::listen(&socket.0) {
            Ok(holder) => Ok(Staged { holder, socket, claim: self }),
            Err(source) => {
                let path = socket.0.clone();
                Err(HandoverError::Directory { attempt: "listen on", path, source })
            }
        }
    }

    /// Sockets of processes that were killed before others could find them. None of them lives: it
    /// would have the claim.
    fn remove_leftovers(&self) {
        let socket = socket_path(&self.directory);
        for entry in std::fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let numbered = path.extension().and_then(|number| number.to_str()?.parse::<u32>().ok());
            if numbered.is_some() && path.file_stem() == socket.file_stem() {
                drop(Unseen(path));
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
        match std::fs::rename(&socket.0, &path) {
            Ok(()) => Ok(holder),
            Err(source) => Err(HandoverError::Directory { attempt: "listen on", path, source }),
        }
    }
}

// === impl Unseen ===

impl Drop for Unseen {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
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

pub(super) fn connect(
    directory: &Path,
    patience: Option<Duration>,
) -> Result<Option<Channel>, HandoverError> {
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
