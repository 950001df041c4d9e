//! The side of the process that serves: it hears who wants its place.
//!
//! Threads of their own talk, because talking blocks; what has to be decided goes to the control
//! runtime as a [`Request`].

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread;
use std::time::Duration;

use socket2::Socket;
use tokio::sync::{mpsc, oneshot};

use super::channel::{Channel, Cut};
use super::{Hello, Lent, Message, VERSION};
use crate::net::sys;

/// After a connection that could not be accepted.
const PAUSE: Duration = Duration::from_secs(1);

/// What another process wants of this one.
#[derive(Debug)]
pub enum Request {
    /// The listeners. Who got them sends the next three; no other successor may get them meanwhile.
    /// After [`Cut::now`] that is [`Request::Abandoned`].
    Lend { hello: Hello, pid: i32, cut: Cut, answer: oneshot::Sender<Result<Offer, String>> },
    /// What this process has in the kernel is being changed by its successor.
    Begun,
    /// The successor has everything: accept no more, then answer, then drain. The answer `false`
    /// keeps the place: the successor hears nothing, and [`Request::Abandoned`] follows its end.
    /// `serves` is its word that it accepts; an error there is its end before.
    Ready { answer: oneshot::Sender<bool>, serves: oneshot::Receiver<()> },
    /// The successor is gone before it was ready.
    Abandoned,
    /// An operator wants this process to start its successor. The answer is the successor's process
    /// id once it serves.
    Replace { answer: oneshot::Sender<Result<i32, String>> },
}

/// What a successor gets.
#[derive(Debug)]
pub struct Offer {
    pub listeners: Vec<Lent>,
    /// How long this process drains at most.
    pub drain: Duration,
    /// A copy of the lock of what both use: the successor has it too from here on.
    pub lock: Option<OwnedFd>,
}

/// Listens for successors.
#[derive(Debug)]
pub struct Holder {
    requests: Option<mpsc::Receiver<Request>>,
}

// === impl Holder ===

impl Holder {
    /// Of a process that nobody can find, because it has no runtime directory.
    pub fn unreachable() -> Self {
        Self { requests: None }
    }

    pub(super) fn listen(path: &Path) -> io::Result<Self> {
        let listener = super::channel::listen(path)?;
        let (sender, requests) = mpsc::channel(4);
        thread::Builder::new()
            .name("handover".to_owned())
            .spawn(move || accept(&listener, &sender))?;
        Ok(Self { requests: Some(requests) })
    }

    /// The next request; never without a runtime directory. Cancel-safe.
    pub async fn request(&mut self) -> Request {
        if let Some(requests) = &mut self.requests {
            if let Some(request) = requests.recv().await {
                return request;
            }
            tracing::error!("no process can take over any more: the socket failed");
            self.requests = None;
        }
        std::future::pending().await
    }
}

fn accept(listener: &Socket, requests: &mpsc::Sender<Request>) {
    loop {
        let channel = match Channel::accept(listener) {
            Ok(channel) => channel,
            Err(error) => {
                // Want of descriptors passes.
                tracing::warn!("another process was not heard: {error}");
                thread::sleep(PAUSE);
                continue;
            }
        };
        let requests = requests.clone();
        let talk = move || {
            if let Err(error) = converse(&channel, &requests) {
                tracing::warn!("conversation with another process: {error}");
            }
        };
        if let Err(error) = thread::Builder::new().name("handover".to_owned()).spawn(talk) {
            tracing::warn!("conversation with another process: {error}");
        }
    }
}

fn converse(channel: &Channel, requests: &mpsc::Sender<Request>) -> io::Result<()> {
    let peer = channel.peer()?;
    let trusted = [0, nix::unistd::geteuid().as_raw()].contains(&peer.user);
    if !trusted {
        return refuse(channel, "it runs as another user");
    }
    match channel.receive()? {
        Some((Message::Hello { version: VERSION, hello }, _)) => {
            lend(channel, requests, hello, peer.pid)
        }
        Some((Message::Hello { version, .. }, _)) => refuse(
            channel,
            &format!("it speaks version {VERSION} of the handover, not {version}; stop it first"),
        ),
        Some((Message::Replace, _)) => {
            let answer = ask(requests, |answer| Request::Replace { answer });
            match answer.unwrap_or_else(|| Err("it is about to end".to_owned())) {
                Ok(pid) => channel.send(&Message::Replaced { pid }),
                Err(reason) => refuse(channel, &reason),
            }
        }
        Some(_) => refuse(channel, "nothing that can be asked for"),
        None => Ok(()),
    }
}

fn lend(
    channel: &Channel,
    requests: &mpsc::Sender<Request>,
    hello: Hello,
    pid: i32,
) -> io::Result<()> {
    let cut = channel.cut()?;
    let offer = ask(requests, |answer| Request::Lend { hello, pid, cut, answer });
    let offer = match offer {
        Some(Ok(offer)) => offer,
        Some(Err(reason)) => return refuse(channel, &reason),
        None => return channel.send(&Message::Leaving),
    };
    let outcome = hand_over(channel, requests, offer);
    if !matches!(outcome, Ok(Some(_))) {
        let _ = requests.blocking_send(Request::Abandoned);
    }
    let mut serves = outcome?;
    // The end of this process closes the channel: the successor waits for that.
    while let Some((message, _)) = channel.receive()? {
        if let (Message::Serves, Some(serves)) = (message, serves.take()) {
            let _ = serves.send(());
        }
    }
    Ok(())
}

/// What to tell when the successor serves; `None`: it does not get the place.
fn hand_over(
    channel: &Channel,
    requests: &mpsc::Sender<Request>,
    offer: Offer,
) -> io::Result<Option<oneshot::Sender<()>>> {
    let lock: Vec<_> = offer.lock.iter().map(AsFd::as_fd).collect();
    let message = Message::Offer { listeners: offer.listeners.len(), drain: offer.drain };
    channel.send_with(&message, &lock)?;
    for some in offer.listeners.chunks(sys::DESCRIPTORS) {
        let workers = some.iter().map(|lent| lent.worker).collect();
        let descriptors: Vec<_> = some.iter().map(|lent| lent.listener.as_fd()).collect();
        channel.send_with(&Message::Listeners { workers }, &descriptors)?;
    }
    // Our copies: the workers and the successor have theirs.
    drop(offer);
    loop {
        match channel.receive()? {
            Some((Message::Begun, _)) => {
                let _ = requests.blocking_send(Request::Begun);
            }
            Some((Message::Ready, _)) => {
                let (told, serves) = oneshot::channel();
                let yielded = ask(requests, |answer| Request::Ready { answer, serves });
                // Without an answer this process is ending already.
                if yielded.unwrap_or(true) {
                    // One that does not hear it has ended: `told` says so.
                    channel.send(&Message::Yielded)?;
                    return Ok(Some(told));
                }
            }
            Some(_) => return Err(io::Error::other("a message out of turn")),
            None => return Ok(None),
        }
    }
}

/// `None`: nobody answers any more.
fn ask<T>(
    requests: &mpsc::Sender<Request>,
    request: impl FnOnce(oneshot::Sender<T>) -> Request,
) -> Option<T> {
    let (answer, answered) = oneshot::channel();
    requests.blocking_send(request(answer)).ok()?;
    answered.blocking_recv().ok()
}

fn refuse(channel: &Channel, reason: &str) -> io::Result<()> {
    channel.send(&Message::Refused { reason: reason.to_owned() })
}
