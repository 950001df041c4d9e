//! The proxy's side: it goes to its agent's socket, follows what it is told, and comes again when
//! the connection ends. What it has is served meanwhile.
//!
//! A thread of its own builds each snapshot and publishes it; everything else goes to the control
//! runtime as a [`Told`].

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt};
use tokio::sync::mpsc;

use super::Publisher;
use super::frame::{FrameError, Reader, Writer};
use super::wire::{FromAgent, FromProxy, Lending, Listeners, Settings, VERSIONS};
use crate::net::sys;
use crate::routing::replica::Replica;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// For the greeting, and for an agent that does not read.
const PATIENCE: Duration = Duration::from_secs(30);
const EVENTS: usize = 64;
/// Bytes of one change: far beyond 100,000 hosts.
const MOST: u64 = 4 << 30;

/// Where the agent is, and who.
#[derive(Debug, Clone)]
pub struct Target {
    pub path: PathBuf,
    /// The agent's user: whoever else has the socket is not listened to.
    pub user: u32,
}

/// What the agent says.
#[derive(Debug)]
pub enum Told {
    /// First of every connection.
    Welcome {
        program: String,
        /// Of the listener groups to join.
        ports: Vec<u16>,
        /// The array in which workers publish their load.
        load: Option<OwnedFd>,
    },
    /// To be answered by [`Sender::following`].
    Settings(Settings),
    /// This version is published. The first of a connection is all there is.
    Served { version: u64, first: bool },
    /// Another proxy has the place.
    Superseded,
    /// The answer to [`Sender::leave`].
    Left,
    /// The connection could not be made, or has ended; another one is tried.
    Lost { why: String },
}

#[derive(Debug)]
pub struct Link {
    told: mpsc::Receiver<Told>,
    publisher: SyncSender<Publisher>,
    sender: Sender,
    stop: Arc<AtomicBool>,
}

/// Talks to the agent while there is a connection.
#[derive(Debug, Clone, Default)]
pub struct Sender {
    writer: Arc<Mutex<Option<Connected>>>,
}

#[derive(Debug)]
struct Connected {
    writer: Writer,
    stream: Arc<UnixStream>,
}

// === impl Link ===

impl Link {
    /// Tries until it succeeds. Nothing is published before [`Self::publish_to`].
    pub fn start(target: Target) -> io::Result<Self> {
        let (events, told) = mpsc::channel(EVENTS);
        let (publisher, publishers) = sync_channel(1);
        let sender = Sender::default();
        let stop = Arc::new(AtomicBool::new(false));
        let follower = Follower {
            target,
            events,
            publishers,
            publisher: None,
            sender: sender.clone(),
            stop: stop.clone(),
        };
        thread::Builder::new().name("agent-link".to_owned()).spawn(move || follower.run())?;
        Ok(Self { told, publisher, sender, stop })
    }

    /// Where snapshots go, from the first one on. To be called once.
    pub fn publish_to(&self, publisher: Publisher) {
        // A second one is not taken.
        let _ = self.publisher.try_send(publisher);
    }

    /// Cancel-safe.
    pub async fn told(&mut self) -> Told {
        match self.told.recv().await {
            Some(told) => told,
            None => std::future::pending().await,
        }
    }

    pub fn sender(&self) -> &Sender {
        &self.sender
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.sender.end();
    }
}

// === impl Sender ===

impl Sender {
    /// Hands listening sockets to the agent, each with its worker. Without a connection nothing
    /// happens: all are handed over with the next one.
    pub fn lend(&self, cpus: &[u32], sockets: &[(usize, &TcpListener)], lending: Lending) {
        for part in sockets.chunks(sys::DESCRIPTORS) {
            let workers = part.iter().map(|(worker, _)| *worker as u32).collect();
            let listeners = Listeners { cpus: cpus.to_vec(), workers, lending };
            let message = FromProxy::Listeners(listeners);
            let sockets: Vec<_> = part.iter().map(|(_, socket)| socket.as_fd()).collect();
            self.send(|writer| writer.send_with(&message, &sockets));
        }
    }

    pub fn following(&self, number: u64) {
        self.say(&FromProxy::Following { number });
    }

    /// False when there is nobody to tell.
    pub fn leave(&self) -> bool {
        self.say(&FromProxy::Leaving)
    }

    fn say(&self, message: &FromProxy) -> bool {
        self.send(|writer| writer.send_with(message, &[]))
    }

    fn send(&self, send: impl FnOnce(&mut Writer) -> Result<(), FrameError>) -> bool {
        let mut place = self.place();
        let Some(connected) = &mut *place else { return false };
        match send(&mut connected.writer) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!("the agent cannot be told: {error}");
                // The thread that reads hears of it and begins anew.
                let _ = connected.stream.shutdown(std::net::Shutdown::Both);
                *place = None;
                false
            }
        }
    }

    fn end(&self) {
        if let Some(connected) = self.place().take() {
            let _ = connected.stream.shutdown(std::net::Shutdown::Both);
        }
    }

    fn place(&self) -> MutexGuard<'_, Option<Connected>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread.
struct Follower {
    target: Target,
    events: mpsc::Sender<Told>,
    publishers: Receiver<Publisher>,
    publisher: Option<Publisher>,
    sender: Sender,
    stop: Arc<AtomicBool>,
}

// === impl Follower ===

impl Follower {
    fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let why = match self.connect() {
                Ok(reader) => {
                    pause = FIRST_PAUSE;
                    let followed = self.follow(reader);
                    self.sender.end();
                    followed.map_or_else(|error| error.to_string(), |()| "it has ended".to_owned())
                }
                Err(error) => error.to_string(),
            };
            if self.stop.load(Ordering::Acquire) || !self.tell(Told::Lost { why }) {
                return;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn connect(&self) -> Result<Reader, FrameError> {
        let stream = UnixStream::connect(&self.target.path)?;
        let user = getsockopt(&stream, sockopt::PeerCredentials).map_err(io::Error::from)?.uid();
        if user != self.target.user {
            let text = format!("the agent's user is {user}, not {}", self.target.user);
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text).into());
        }
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let stream = Arc::new(stream);
        let (mut reader, mut writer) = (Reader::new(stream.clone()), Writer::new(stream.clone()));
        let program = env!("CARGO_PKG_VERSION").to_owned();
        writer.send_with(&FromProxy::Hello { versions: VERSIONS, program }, &[])?;
        match reader.next()? {
            Some(FromAgent::Welcome { program, ports, .. }) => {
                let load = reader.take_descriptors(1).ok().and_then(|mut load| load.pop());
                stream.set_read_timeout(None)?;
                *self.sender.place() = Some(Connected { writer, stream });
                self.tell(Told::Welcome { program, ports, load });
                Ok(reader)
            }
            Some(FromAgent::Refused { why }) => Err(io::Error::other(why).into()),
            Some(_) => Err(io::Error::other("no answer to the greeting").into()),
            None => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    fn follow(&mut self, mut reader: Reader) -> Result<(), FrameError> {
        let mut replica: Option<Replica> = None;
        let mut first = true;
        while let Some(message) = reader.next()? {
            let told = match message {
                FromAgent::Settings(settings) => Told::Settings(settings),
                FromAgent::Superseded => Told::Superseded,
                FromAgent::Left => Told::Left,
                FromAgent::Snapshot(message) => {
                    let Some(publisher) = self.publisher() else { return Ok(()) };
                    let following =
                        replica.get_or_insert_with(|| Replica::after(publisher.current()));
                    let snapshot = match following.apply(message) {
                        Ok(Some(snapshot)) => snapshot,
                        Ok(None) if reader.read_bytes() <= MOST => continue,
                        Ok(None) => {
                            let text = format!("a change of more than {MOST} bytes");
                            return Err(io::Error::other(text).into());
                        }
                        Err(refused) => {
                            self.sender.say(&FromProxy::Confused { why: refused.to_string() });
                            return Err(io::Error::other(refused).into());
                        }
                    };
                    let version = snapshot.version;
                    publisher.publish(snapshot);
                    reader.count_anew();
                    self.sender.say(&FromProxy::Served { version });
                    Told::Served { version, first: std::mem::take(&mut first) }
                }
                FromAgent::Welcome { .. } | FromAgent::Refused { .. } => {
                    return Err(io::Error::other("a second answer to the greeting").into());
                }
            };
            if !self.tell(told) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits for the process to know where snapshots go.
    fn publisher(&mut self) -> Option<Publisher> {
        if self.publisher.is_none() {
            self.publisher = self.publishers.recv().ok();
        }
        self.publisher.clone()
    }

    /// False when nobody wants to know any more.
    fn tell(&self, told: Told) -> bool {
        self.events.blocking_send(told).is_ok()
    }
}
