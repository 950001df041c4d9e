//! The Unix socket: made beside its place and renamed into it.
//!
//! A rename replaces whatever socket is there, a stale one of a killed process as well as that of a
//! running predecessor, and no client ever meets a place without a socket. So the newest process
//! answers. At its end a process removes the socket only while it is still its own.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{Gid, Group, chown};
use socket2::{Domain, SockAddr, Socket, Type};

const BACKLOG: i32 = 64;

/// A listening socket at its place in the file system.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

// === impl Place ===

impl Place {
    /// `group` may use it beside the owner.
    pub(super) fn take(path: &Path, group: Option<&str>) -> io::Result<Self> {
        let gid = group.map(resolve).transpose()?;
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is something that is no socket; it is left alone",
                ));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let staged = staged(path);
        remove_if_there(&staged)?;
        let placed = place(&staged, path, gid);
        if placed.is_err() {
            // The first error counts.
            let _ = fs::remove_file(&staged);
        }
        placed
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if is_ours {
            // A successor that renames at this very moment is asked for its socket again by name.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn place(staged: &Path, path: &Path, gid: Option<Gid>) -> io::Result<Place> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(staged)?)?;
    // Nobody can connect before it listens, so nobody meets other rights than these.
    let given = gid.map(|gid| chown(staged, None, Some(gid)));
    let mode = match given {
        Some(Ok(())) => 0o660,
        // The owner, and with it every probe, needs it all the same.
        Some(Err(error @ Errno::EPERM)) => {
            tracing::error!(
                socket = %path.display(),
                "only for its owner, not for admin.group: {error}. This process has to be in that \
                 group (SupplementaryGroups= of its unit) or to have CAP_CHOWN"
            );
            0o600
        }
        Some(Err(error)) => return Err(error.into()),
        None => 0o600,
    };
    fs::set_permissions(staged, fs::Permissions::from_mode(mode))?;
    let made = fs::symlink_metadata(staged)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    fs::rename(staged, path)?;
    Ok(Place { listener: socket.into(), path: path.to_owned(), identity: (made.dev(), made.ino()) })
}

/// In the same directory, with a name that no other process uses.
fn staged(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    path.with_file_name(name)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn resolve(group: &str) -> io::Result<Gid> {
    if let Ok(number) = group.parse() {
        return Ok(Gid::from_raw(number));
    }
    let found = Group::from_name(group)?;
    let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("no group {group:?}"));
    Ok(found.ok_or_else(unknown)?.gid)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_may_connect_unless_a_group_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("below/admin.sock");
        let _first = Place::take(&path, None).unwrap();
        assert_eq!(mode(&path), 0o600);
        let own = nix::unistd::getegid().to_string();
        let _second = Place::take(&path, Some(&own)).unwrap();
        assert_eq!(mode(&path), 0o660);
        let error = Place::take(&path, Some("no-such-group")).unwrap_err();
        assert!(error.to_string().contains("no-such-group"), "{error}");
    }

    #[test]
    fn stale_socket_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(UnixStream::connect(&path).is_err());
        let _place = Place::take(&path, None).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn newest_process_answers_and_the_older_one_leaves_its_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let older = Place::take(&path, None).unwrap();
        let newer = Place::take(&path, None).unwrap();
        drop(older);
        UnixStream::connect(&path).unwrap();
        newer.listener.set_nonblocking(false).unwrap();
        newer.listener.accept().unwrap();
        drop(newer);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        fs::write(&path, "precious").unwrap();
        let error = Place::take(&path, None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
