//! The API server for programs in this machine's own network namespace.
//!
//! `up` opens a socket on 127.0.0.1 here and starts this with it on the control host: a socket
//! stays in the namespace that it was made in. So nothing of this machine's network is changed.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result};

use super::plan::{API_PORT, Host};

/// Serves the listening socket that is our standard input; does not return.
///
/// # Errors
/// Standard input is no listening socket.
pub(super) fn run() -> Result<ExitCode> {
    let socket = io::stdin().as_fd().try_clone_to_owned().context("take the listening socket")?;
    let listener = TcpListener::from(socket);
    let target = SocketAddr::new(Host::Control.addresses().v4.into(), API_PORT);
    loop {
        let (client, _) = listener.accept().context("accept")?;
        thread::spawn(move || {
            if let Err(error) = carry(client, target) {
                eprintln!("{target}: {error}");
            }
        });
    }
}

/// Both directions until both have ended.
fn carry(client: TcpStream, target: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(target)?;
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let there = thread::spawn(move || copy(from_client, to_server));
    copy(server, client);
    // A panicked copy has closed its sockets.
    there.join().ok();
    Ok(())
}

/// A reset of one side ends the other, as an end does.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let ended = io::copy(&mut from, &mut to);
    let how = if ended.is_ok() { Shutdown::Write } else { Shutdown::Both };
    to.shutdown(how).ok();
}
