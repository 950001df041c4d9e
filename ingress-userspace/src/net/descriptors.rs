//! File descriptors of this process: how many there may be, and when they become scarce.
//!
//! The kernel gives the lowest free number, so a number says how many are in use at least; nothing
//! has to be counted.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Of so many parts of all descriptors, the last one is for running requests: their connections to
/// endpoints, and what the control side opens.
const PARTS: u64 = 4;

#[derive(Debug, Clone, Copy)]
pub struct Descriptors {
    /// Numbers from this one on are kept back.
    reserved: u64,
}

/// Allows as many descriptors as the hard limit does. Returns how many.
pub fn raise_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

// === impl Descriptors ===

impl Descriptors {
    pub fn of_process() -> io::Result<Self> {
        let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
        Ok(Self::within(limit))
    }

    fn within(limit: u64) -> Self {
        Self { reserved: limit - limit / PARTS }
    }

    /// Whether this descriptor is of the part that is kept back.
    pub fn are_scarce(self, descriptor: &impl AsRawFd) -> bool {
        u64::try_from(descriptor.as_raw_fd()).is_ok_and(|number| number >= self.reserved)
    }

    /// Whether the next one would not be; asks the kernel. `any`: one that is open.
    pub fn have_room(self, any: &impl AsFd) -> bool {
        any.as_fd().try_clone_to_owned().is_ok_and(|next| !self.are_scarce(&next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_quarter_is_kept_back() {
        let file = tempfile::tempfile().unwrap();
        let number = u64::try_from(file.as_raw_fd()).unwrap();
        let all = Descriptors::within(u64::MAX);
        assert!(!all.are_scarce(&file) && all.have_room(&file));
        assert!(Descriptors::within(number).are_scarce(&file));
        assert!(!Descriptors::within(4 * (number + 1)).are_scarce(&file));
        assert!(!Descriptors::within(number).have_room(&file));
    }

    #[test]
    fn the_alert_comes_before_connections_wait() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/alerts/genkan.yaml");
        let alerts = std::fs::read_to_string(path).unwrap();
        let (_, rest) = alerts.split_once("process_open_fds / process_max_fds > 0.").unwrap();
        let tenths: u64 = rest.split(' ').next().unwrap().parse().unwrap();
        assert!((1..10).contains(&tenths), "one digit is expected");
        assert!(tenths * 100 < Descriptors::within(1000).reserved, "{tenths}");
    }
}
