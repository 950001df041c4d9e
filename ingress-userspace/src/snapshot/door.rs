//! The agent's side: a Unix socket at which its proxy comes in, is told snapshots and settings, and
//! hands over its listening sockets.
//!
//! Each connection has two threads, because talking blocks; what has to be decided goes to the
//! control runtime as an [`Event`]. The one that tells compares what it told last with the newest
//! there is, so that a proxy that is slow skips versions and nothing queues up. A connection that
//! fails is ended and concerns nobody else.

mod talk;

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Gid, chown};
use tokio::sync::mpsc;

use super::Publisher;
use super::wire::{Listeners, Settings};
use crate::config::Config;

const EVENTS: usize = 64;

/// Where the proxy comes in, and who it is.
#[derive(Debug, Clone)]
pub struct Place {
    pub path: PathBuf,
    /// The proxy's; nobody else is let in.
    pub user: u32,
    pub group: u32,
}

#[derive(Debug)]
pub struct Door {
    shared: Arc<Shared>,
    events: mpsc::Receiver<Event>,
    path: PathBuf,
    stop: Arc<AtomicBool>,
    /// One agent for each socket.
    _lock: Flock<fs::File>,
}

/// What a proxy does.
#[derive(Debug)]
pub enum Event {
    /// It serves, and these are its sockets: checked, each with its worker.
    Listeners {
        session: Session,
        told: Listeners,
        sockets: Vec<(usize, TcpListener)>,
    },
    /// No request that comes from now on is answered by an older version.
    Served {
        session: Session,
        version: u64,
    },
    /// The settings of this number are in force.
    Following {
        session: Session,
        number: u64,
    },
    /// It wants no connections any more; answered by [`Session::let_go`].
    Leaving {
        session: Session,
    },
    Gone {
        session: Session,
    },
}

/// A connection of a proxy.
#[derive(Debug, Clone)]
pub struct Session {
    number: u64,
    orders: Arc<Orders>,
    publisher: Publisher,
}

#[derive(Debug, Default)]
struct Orders {
    superseded: AtomicBool,
    left: AtomicBool,
    ended: AtomicBool,
}

#[derive(Debug)]
struct Shared {
    publisher: Publisher,
    settings: Mutex<Settings>,
    /// Of the listener groups that a proxy should join.
    ports: Mutex<Vec<u16>>,
    load: Option<OwnedFd>,
    user: u32,
    open: AtomicUsize,
    sessions: AtomicU64,
    events: mpsc::Sender<Event>,
}

// === impl Door ===

impl Door {
    /// Opens the socket: mode 0660 for the proxy's group, in a directory that is made with 0750 when
    /// it is not there. `load`: the array in which workers publish their load.
    ///
    /// # Errors
    ///
    /// When the socket cannot be made, or another agent has it.
    pub fn open(
        place: &Place,
        publisher: Publisher,
        config: &Config,
        load: Option<OwnedFd>,
    ) -> io::Result<Self> {
        if let Some(directory) = place.path.parent().filter(|directory| !directory.exists()) {
            fs::DirBuilder::new().recursive(true).mode(0o750).create(directory)?;
            chown(directory, None, Some(Gid::from_raw(place.group)))?;
        }
        let lock = lock(&place.path)?;
        let listener = listen(place)?;
        let (sender, events) = mpsc::channel(EVENTS);
        let shared = Arc::new(Shared {
            publisher,
            settings: Mutex::new(Settings::new(1, false, config)),
            ports: Mutex::default(),
            load,
            user: place.user,
            open: AtomicUsize::new(0),
            sessions: AtomicU64::new(0),
            events: sender,
        });
        let stop = Arc::new(AtomicBool::new(false));
        let accepting = (shared.clone(), stop.clone());
        let named = thread::Builder::new().name("proxy-door".to_owned());
        named.spawn(move || talk::accept(&listener, &accepting.0, &accepting.1))?;
        Ok(Self { shared, events, path: place.path.clone(), stop, _lock: lock })
    }

    /// Cancel-safe.
    pub async fn event(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    /// Tells every proxy; the number comes back with [`Event::Following`].
    pub fn set_config(&self, config: &Config, widen: bool) -> u64 {
        let number = {
            let mut settings = guard(&self.shared.settings);
            *settings = Settings::new(settings.number + 1, widen, config);
            settings.number
        };
        self.shared.publisher.bell().ring();
        number
    }

    /// The loopback ports of the sockets that are in the socket map: a proxy that comes joins their
    /// groups, so that SYN cookies stay valid.
    pub fn set_ports(&self, ports: Vec<u16>) {
        *guard(&self.shared.ports) = ports;
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.shared.publisher.bell().ring();
        // Wakes the thread that accepts.
        let _ = UnixStream::connect(&self.path);
    }
}

fn lock(path: &Path) -> io::Result<Flock<fs::File>> {
    let path = path.with_extension("lock");
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
        nix::errno::Errno::EWOULDBLOCK => {
            let text = format!("another agent holds {}", path.display());
            io::Error::new(io::ErrorKind::AddrInUse, text)
        }
        other => other.into(),
    })
}

fn listen(place: &Place) -> io::Result<UnixListener> {
    // Made beside its place, so that nobody meets it before it has its mode.
    let beside = place.path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&beside);
    let listener = UnixListener::bind(&beside)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o660))?;
    chown(&beside, None, Some(Gid::from_raw(place.group)))?;
    fs::rename(&beside, &place.path)?;
    Ok(listener)
}

fn guard<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Session ===

impl Session {
    /// The proxy is to drain: another one has its place.
    pub fn supersede(&self) {
        self.order(&self.orders.superseded);
    }

    /// No new connection comes to the proxy any more.
    pub fn let_go(&self) {
        self.order(&self.orders.left);
    }

    fn order(&self, what: &AtomicBool) {
        what.store(true, Ordering::Release);
        self.publisher.bell().ring();
    }
}

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
