//! The connections of an agent's door: who is let in, what it is told, what it says.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{SockType, getsockopt, sockopt};

use super::{Event, Orders, Session, Shared, guard};
use crate::routing::replica::Original;
use crate::snapshot::frame::{FrameError, Reader, Writer};
use crate::snapshot::wire::{FromAgent, FromProxy, VERSIONS};

/// For the first word.
const GREETING: Duration = Duration::from_secs(10);
/// For a proxy that does not read.
const PATIENCE: Duration = Duration::from_secs(30);
/// One that serves, one that comes, and some that have not noticed that they are gone.
const CONNECTIONS: usize = 8;
/// After a connection that could not be accepted.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) fn accept(listener: &UnixListener, shared: &Arc<Shared>, stop: &Arc<AtomicBool>) {
    loop {
        let accepted = listener.accept();
        if stop.load(Ordering::Acquire) {
            return;
        }
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("a proxy could not be let in: {error}");
                thread::sleep(PAUSE);
                continue;
            }
        };
        let (shared, stop) = (shared.clone(), stop.clone());
        let named = thread::Builder::new().name("proxy-hears".to_owned());
        let spawned = named.spawn(move || {
            if shared.open.fetch_add(1, Ordering::AcqRel) < CONNECTIONS {
                if let Err(error) = talk(stream, &shared, &stop) {
                    tracing::warn!("the connection of a proxy has ended: {error}");
                }
            } else {
                tracing::warn!("a proxy was not let in: {CONNECTIONS} are here already");
            }
            shared.open.fetch_sub(1, Ordering::AcqRel);
        });
        if let Err(error) = spawned {
            tracing::warn!("a proxy could not be let in: {error}");
        }
    }
}

/// One connection, from its first word to its end.
fn talk(
    stream: UnixStream,
    shared: &Arc<Shared>,
    stop: &Arc<AtomicBool>,
) -> Result<(), FrameError> {
    let user = getsockopt(&stream, sockopt::PeerCredentials).map_err(io::Error::from)?.uid();
    if user != shared.user {
        let text = format!("its user is {user}, not {}", shared.user);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text).into());
    }
    stream.set_read_timeout(Some(GREETING))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let stream = Arc::new(stream);
    let (mut reader, mut writer) = (Reader::new(stream.clone()), Writer::new(stream.clone()));
    match reader.next()? {
        Some(FromProxy::Hello { versions, program }) => match VERSIONS.common(versions) {
            Some(version) => {
                welcome(&mut writer, shared, version)?;
                tracing::info!(program, version, "a proxy has come");
            }
            None => {
                let why = format!(
                    "the agent ({}) speaks versions {VERSIONS} of the protocol, the proxy \
                     ({program}) {versions}",
                    env!("CARGO_PKG_VERSION")
                );
                writer.send_with(&FromAgent::Refused { why: why.clone() }, &[])?;
                return Err(io::Error::other(why).into());
            }
        },
        Some(_) => return Err(io::Error::other("its first word is no greeting").into()),
        None => return Ok(()),
    }
    stream.set_read_timeout(None)?;
    let session = Session {
        number: shared.sessions.fetch_add(1, Ordering::AcqRel) + 1,
        orders: Arc::default(),
        publisher: shared.publisher.clone(),
    };
    let telling = {
        let (session, shared, stop) = (session.clone(), shared.clone(), stop.clone());
        let named = thread::Builder::new().name("proxy-tells".to_owned());
        named.spawn(move || {
            if let Err(error) = tell(&session, &shared, &stop, writer) {
                tracing::warn!("a proxy is told nothing more: {error}");
            }
            // The other thread hears of it.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        })?
    };
    let heard = hear(&session, shared, &mut reader);
    session.order(&session.orders.ended);
    let _ = telling.join();
    let _ = shared.events.blocking_send(Event::Gone { session });
    heard
}

fn welcome(writer: &mut Writer, shared: &Shared, version: u32) -> Result<(), FrameError> {
    let program = env!("CARGO_PKG_VERSION").to_owned();
    let ports = guard(&shared.ports).clone();
    let load: Vec<_> = shared.load.iter().map(AsFd::as_fd).collect();
    writer.send_with(&FromAgent::Welcome { version, program, ports }, &load)
}

fn tell(
    session: &Session,
    shared: &Shared,
    stop: &AtomicBool,
    mut writer: Writer,
) -> Result<(), FrameError> {
    let Orders { superseded, left, ended } = &*session.orders;
    let mut original = Original::default();
    let (mut heard, mut number) = (None, 0);
    let (mut has_superseded, mut has_left) = (false, false);
    loop {
        heard = Some(shared.publisher.bell().wait(heard));
        if ended.load(Ordering::Acquire) || stop.load(Ordering::Acquire) {
            return Ok(());
        }
        let settings = guard(&shared.settings).clone();
        if settings.number != number {
            number = settings.number;
            writer.put(&FromAgent::Settings(settings))?;
        }
        let head = shared.publisher.current();
        if head.version != 0 && head.version != original.version() {
            let mut sent = Ok(());
            original.tell(&head, &mut |message| {
                if sent.is_ok() {
                    sent = writer.put(&FromAgent::Snapshot(message));
                }
            });
            sent?;
        }
        for (order, told, message) in [
            (superseded, &mut has_superseded, FromAgent::Superseded),
            (left, &mut has_left, FromAgent::Left),
        ] {
            if order.load(Ordering::Acquire) && !*told {
                *told = true;
                writer.put(&message)?;
            }
        }
        writer.flush()?;
    }
}

fn hear(session: &Session, shared: &Shared, reader: &mut Reader) -> Result<(), FrameError> {
    while let Some(message) = reader.next()? {
        let session = session.clone();
        let event = match message {
            FromProxy::Served { version } => Event::Served { session, version },
            FromProxy::Following { number } => Event::Following { session, number },
            FromProxy::Leaving => Event::Leaving { session },
            FromProxy::Listeners(told) => {
                let descriptors = reader.take_descriptors(told.workers.len())?;
                let workers = told.workers.iter().map(|&worker| worker as usize);
                let sockets = workers.zip(descriptors.into_iter().map(listener));
                let sockets = sockets
                    .map(|(worker, socket)| Ok((worker, socket?)))
                    .collect::<io::Result<_>>()?;
                Event::Listeners { session, told, sockets }
            }
            FromProxy::Confused { why } => {
                return Err(io::Error::other(format!("the proxy begins anew: {why}")).into());
            }
            FromProxy::Hello { .. } => {
                return Err(io::Error::other("a second greeting").into());
            }
        };
        if shared.events.blocking_send(event).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// The sender has fewer rights than we have, so nothing is believed: a listening TCP socket on a
/// loopback address, or nothing.
fn listener(descriptor: OwnedFd) -> io::Result<TcpListener> {
    let is_stream = getsockopt(&descriptor, sockopt::SockType).is_ok_and(|t| t == SockType::Stream);
    let listens = getsockopt(&descriptor, sockopt::AcceptConn).unwrap_or(false);
    let socket = TcpListener::from(descriptor);
    let is_local = socket.local_addr().is_ok_and(|address| address.ip().is_loopback());
    if is_stream && listens && is_local {
        Ok(socket)
    } else {
        Err(io::Error::other("a descriptor that is no listening TCP socket of a loopback address"))
    }
}
