//! One conversation: a sequenced-packet Unix socket, a message and its descriptors at a time.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, getsockopt, sendmsg, sockopt};
use socket2::{Domain, SockAddr, Socket, Type};

use super::Message;
use crate::net::sys;

/// More than any message needs.
const LONGEST: usize = 16 << 10;

#[derive(Debug)]
pub(super) struct Channel {
    socket: Socket,
}

/// Ends a conversation from beside the thread that has it.
#[derive(Debug)]
pub struct Cut(Socket);

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    /// 0 when it is in a process namespace that we do not see.
    pub(super) pid: i32,
    pub(super) user: u32,
}

/// A listening socket that only its owner may connect to.
pub(super) fn listen(path: &Path) -> io::Result<Socket> {
    use std::os::unix::fs::PermissionsExt;
    let _ = std::fs::remove_file(path);
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET.cloexec(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    socket.listen(16)?;
    Ok(socket)
}

// === impl Cut ===

impl Cut {
    pub fn now(self) {
        // A conversation that is over needs no end.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

// === impl Channel ===

impl Channel {
    pub(super) fn connect(path: &Path, patience: Option<Duration>) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET.cloexec(), None)?;
        socket.set_read_timeout(patience)?;
        // Also for the connection itself: it waits where a process that hangs accepts no more.
        socket.set_write_timeout(patience)?;
        socket.connect(&SockAddr::unix(path)?)?;
        Ok(Self { socket })
    }

    pub(super) fn accept(listener: &Socket) -> io::Result<Self> {
        let (socket, _) = listener.accept()?;
        Ok(Self { socket })
    }

    pub(super) fn peer(&self) -> io::Result<Peer> {
        let credentials = getsockopt(&self.socket, sockopt::PeerCredentials)?;
        Ok(Peer { pid: credentials.pid(), user: credentials.uid() })
    }

    pub(super) fn cut(&self) -> io::Result<Cut> {
        Ok(Cut(self.socket.try_clone()?))
    }

    /// Waits for as long as it takes from here on.
    pub(super) fn set_patient(&self, patience: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(patience)
    }

    pub(super) fn send(&self, message: &Message) -> io::Result<()> {
        self.send_with(message, &[])
    }

    /// At most [`sys::DESCRIPTORS`] descriptors.
    pub(super) fn send_with(
        &self,
        message: &Message,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        let raw: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let rights = if raw.is_empty() { &[][..] } else { &rights[..] };
        let parts = [IoSlice::new(&text)];
        sendmsg::<()>(self.socket.as_raw_fd(), &parts, rights, MsgFlags::MSG_NOSIGNAL, None)?;
        Ok(())
    }

    /// `None`: the other side is gone.
    pub(super) fn receive(&self) -> io::Result<Option<(Message, Vec<OwnedFd>)>> {
        let mut buffer = vec![0; LONGEST];
        loop {
            match sys::receive(self.socket.as_fd(), &mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
                Ok((0, _)) => return Ok(None),
                Ok((length, descriptors)) => {
                    return Ok(Some((serde_json::from_slice(&buffer[..length])?, descriptors)));
                }
            }
        }
    }
}
