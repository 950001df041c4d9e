//! A successor is started by a process in between, which goes away before the place is given.
//!
//! The new process then is a child of the service manager, as the first one was. A service manager
//! that is told of a main process that is somebody else's child does not wait for it when it ends
//! the service: systemd kills such a process right after it has asked it to drain.
//!
//! Both ends speak lines on a socket pair, which is the standard input of the process between:
//!
//! ```text
//! between   started 4711                       (or: was not started: PROGRAM: reason)
//! holder                       leave           the process between ends, the successor stays
//! holder                       kill
//! between   ended with exit status: 2          after that it ends as well
//! ```

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, Lines};

/// Hidden: no operator calls it.
const COMMAND: &str = "launch";

const LEAVE: &str = "leave";
const KILL: &str = "kill";
const STARTED: &str = "started ";
/// Between two looks at the successor.
const PAUSE: Duration = Duration::from_millis(20);

/// The process between, as the holder of the place sees it.
#[derive(Debug)]
pub struct Launcher {
    process: Child,
    orders: UnixStream,
    words: Lines<tokio::io::BufReader<tokio::net::UnixStream>>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Launch {
    Started(i32),
    /// There is no successor, or none any more.
    Ended(String),
}

// === impl Launcher ===

impl Launcher {
    /// Starts `program` with the arguments, the environment and the outputs of this process.
    ///
    /// # Errors
    ///
    /// When this program itself cannot be started again.
    pub fn start(program: &Path, arguments: impl Iterator<Item = OsString>) -> io::Result<Self> {
        let (orders, theirs) = UnixStream::pair()?;
        let words = orders.try_clone()?;
        words.set_nonblocking(true)?;
        let words = tokio::io::BufReader::new(tokio::net::UnixStream::from_std(words)?).lines();
        // This very program: what is on disk may be another version with other words.
        let process = Command::new("/proc/self/exe")
            .arg(COMMAND)
            .arg(program)
            .args(arguments)
            .env_remove("WATCHDOG_PID")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        Ok(Self { process, orders, words })
    }

    /// What has become of the successor. Cancel-safe.
    pub async fn next(&mut self) -> Launch {
        match self.words.next_line().await {
            Ok(Some(line)) => match line.strip_prefix(STARTED).and_then(|pid| pid.parse().ok()) {
                Some(pid) => Launch::Started(pid),
                None => Launch::Ended(line),
            },
            Ok(None) => Launch::Ended("was lost with the process that has started it".to_owned()),
            Err(error) => Launch::Ended(format!("was lost: {error}")),
        }
    }

    /// Its end is told by [`Self::next`].
    pub fn kill(&mut self) {
        let _ = writeln!(&self.orders, "{KILL}");
    }

    /// The successor is on its own from here on. Returns when it has lost its parent, which takes
    /// no longer than the end of a process that waits for this word.
    pub fn leave(mut self) {
        let _ = writeln!(&self.orders, "{LEAVE}");
        let _ = self.process.wait();
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        let _ = self.orders.shutdown(Shutdown::Both);
        let _ = self.process.try_wait();
    }
}

/// The process between: starts `program`, and ends with it or when it is told to leave.
///
/// # Errors
///
/// When nobody listens who could be told.
pub fn launch(program: &Path, arguments: &[OsString]) -> io::Result<()> {
    let holder = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let started = Command::new(program).args(arguments).stdin(Stdio::null()).spawn();
    let mut successor = match started {
        Ok(successor) => successor,
        Err(error) => return writeln!(&holder, "was not started: {}: {error}", program.display()),
    };
    writeln!(&holder, "{STARTED}{}", successor.id())?;
    match tend(&mut successor, &orders_of(holder.try_clone()?))? {
        Some(status) => writeln!(&holder, "ended with {status}"),
        None => Ok(()),
    }
}

/// The successor's end; none when it goes on alone.
fn tend(successor: &mut Child, orders: &Receiver<String>) -> io::Result<Option<ExitStatus>> {
    loop {
        match orders.recv_timeout(PAUSE) {
            Ok(order) if order == KILL => successor.kill()?,
            // A holder that is gone gives its place away as well.
            Ok(_) | Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(status) = successor.try_wait()? {
            return Ok(Some(status));
        }
    }
}

fn orders_of(holder: UnixStream) -> Receiver<String> {
    let (sender, orders) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(holder).lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    orders
}
