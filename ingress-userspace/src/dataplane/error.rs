//! What can go wrong between this process and the kernel, and what to do about it.

use std::error::Error;
use std::fmt::Write;
use std::io;
use std::path::PathBuf;

use super::plan::PlanError;
use crate::net::netlink::NetlinkError;

#[derive(Debug, thiserror::Error)]
pub enum DataplaneError {
    #[error(
        "this genkan was built without kernel programs: build it without GENKAN_BPF_SKIP, or run \
         with --no-bpf"
    )]
    NotBuilt,
    #[error(
        "{} is not on a BPF file system, and mounting one failed: {source}. Mount it with: \
         mount -t bpf bpf /sys/fs/bpf",
        path.display()
    )]
    PinFileSystem { path: PathBuf, source: io::Error },
    #[error("cannot {attempt}: {reason}")]
    Kernel { attempt: String, reason: String },
    #[error("cannot {attempt}: {source}")]
    Io { attempt: String, source: io::Error },
    #[error("cannot {attempt}: {source}")]
    Netlink { attempt: String, source: NetlinkError },
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(
        "another process has taken the kernel side over: it is its {theirs}th owner, this was its \
         {ours}th"
    )]
    Superseded { ours: u64, theirs: u64 },
    #[error("what is pinned in {} is in use by {by}: {advice}", path.display())]
    Held { path: PathBuf, by: String, advice: &'static str },
    #[error("VIP {address} finds no place in the kernel's table: {reason}")]
    TableFull { address: std::net::IpAddr, reason: &'static str },
}

// === impl DataplaneError ===

impl DataplaneError {
    /// A refusal of the kernel, with what would help where it is known.
    pub(super) fn kernel(attempt: impl Into<String>, error: &(dyn Error + 'static)) -> Self {
        let mut reason = chain(error);
        if matches!(errno(error), Some(libc::EPERM | libc::EACCES)) && !reason.contains("verifier")
        {
            reason.push_str(
                ". This needs root, or the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
            );
        }
        Self::Kernel { attempt: attempt.into(), reason }
    }

    pub(super) fn io(attempt: impl Into<String>, source: io::Error) -> Self {
        Self::Io { attempt: attempt.into(), source }
    }

    pub(super) fn netlink(attempt: impl Into<String>, source: NetlinkError) -> Self {
        Self::Netlink { attempt: attempt.into(), source }
    }
}

/// The error and its causes in one line. Texts that repeat their cause are not repeated.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            // Writing to a string does not fail.
            let _ = write!(text, ": {next}");
        }
        cause = error.source();
    }
    text
}

/// The error number somewhere in the causes.
pub(super) fn errno(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return io.raw_os_error();
        }
        cause = error.source();
    }
    None
}
