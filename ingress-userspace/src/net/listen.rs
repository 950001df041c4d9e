//! Listening sockets of the workers.
//!
//! Steered: every worker listens on one loopback port per family, and all listeners of a family
//! are one SO_REUSEPORT group, because SYN cookies are valid per group: `dispatch` may choose
//! another worker for the final ACK than for the SYN. Direct (`--no-bpf`): the VIP's own ports.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait for `accept` on one listener; `net.core.somaxconn` bounds it.
const BACKLOG: i32 = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    V4,
    V6,
}

/// The listeners of all workers for one family: a loopback port that is held as long as this
/// value lives, also while no worker listens on it.
#[derive(Debug)]
pub struct ListenerGroup {
    family: Family,
    address: SocketAddr,
    /// Bound, never listening: it is in no lookup and takes no connection.
    _reservation: Socket,
}

// === impl Family ===

impl Family {
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    fn loopback(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::LOCALHOST.into(),
            Self::V6 => Ipv6Addr::LOCALHOST.into(),
        }
    }
}

// === impl ListenerGroup ===

impl ListenerGroup {
    /// A new group on a free port of the family's loopback address.
    pub fn reserve(family: Family) -> io::Result<Self> {
        Self::bind(family, 0)
    }

    /// The group of a predecessor with the same user, so that SYN cookies given by its listeners
    /// stay valid.
    pub fn join(family: Family, port: u16) -> io::Result<Self> {
        Self::bind(family, port)
    }

    pub fn family(&self) -> Family {
        self.family
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// One more listener of the group: a worker's first, or that of its replacement.
    pub fn listen(&self) -> io::Result<TcpListener> {
        listening(bound(self.address)?)
    }

    fn bind(family: Family, port: u16) -> io::Result<Self> {
        let reservation = bound(SocketAddr::new(family.loopback(), port))?;
        let address = local_address(&reservation)?;
        Ok(Self { family, address, _reservation: reservation })
    }
}

/// A listener on the address of a VIP itself; every worker opens its own.
///
/// The address need not be local yet. Fails with `AddrInUse` when a socket without SO_REUSEPORT or
/// of another user has the port.
pub fn listen_direct(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = shared_socket(address)?;
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
    }
    socket.bind(&address.into())?;
    listening(socket)
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = shared_socket(address)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn shared_socket(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Address: a restart must not wait for connections of the last run in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    Ok(socket)
}

fn listening(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("a TCP socket has an address"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn listeners_of_a_group_share_the_port_of_their_family() {
        for family in Family::ALL {
            let group = ListenerGroup::reserve(family).unwrap();
            let (first, second) = (group.listen().unwrap(), group.listen().unwrap());
            assert_eq!(first.local_addr().unwrap(), group.address());
            assert_eq!(second.local_addr().unwrap(), group.address());
            assert!(group.address().ip().is_loopback());
            assert_eq!(Family::of(group.address().ip()), family);
        }
    }

    #[test]
    fn a_replaced_listener_joins_the_group() {
        let group = ListenerGroup::reserve(Family::V4).unwrap();
        drop(group.listen().unwrap());
        let refused = TcpStream::connect(group.address()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let listener = group.listen().unwrap();
        TcpStream::connect(group.address()).unwrap();
        listener.set_nonblocking(false).unwrap();
        listener.accept().unwrap();
    }

    #[test]
    fn a_successor_joins_by_the_port() {
        let group = ListenerGroup::reserve(Family::V6).unwrap();
        let successor = ListenerGroup::join(Family::V6, group.address().port()).unwrap();
        assert_eq!(successor.address(), group.address());
        successor.listen().unwrap();
    }

    #[test]
    fn direct_listeners_of_all_workers_share_the_port_of_the_vip() {
        let first = listen_direct("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        listen_direct(address).unwrap();
        let foreign = TcpListener::bind(address).unwrap_err();
        assert_eq!(foreign.kind(), io::ErrorKind::AddrInUse);
        // An address that no interface has.
        listen_direct("192.0.2.7:0".parse().unwrap()).unwrap();
        listen_direct("[2001:db8::7]:0".parse().unwrap()).unwrap();
    }

    #[test]
    fn accepting_does_not_block() {
        let group = ListenerGroup::reserve(Family::V4).unwrap();
        let listener = group.listen().unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
