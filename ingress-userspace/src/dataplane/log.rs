//! Debug logging of the kernel programs, forwarded to the process's own log.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use aya::Ebpf;
use aya_log::EbpfLogger;
use tokio::io::unix::AsyncFd;

use super::DataplaneError;
use crate::net::sys;

/// Log records of the kernel programs. [`KernelLog::forward`] must run for them to appear.
pub struct KernelLog {
    logger: EbpfLogger<Forward>,
    filled: AsyncFd<OwnedFd>,
}

/// Hands records of the `log` crate to `tracing`.
struct Forward;

// === impl KernelLog ===

impl KernelLog {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, DataplaneError> {
        let logger = EbpfLogger::init_with_logger(ebpf, Forward).map_err(|error| {
            DataplaneError::kernel("read the log of the kernel programs", &error)
        })?;
        let filled = logger.as_fd().try_clone_to_owned().and_then(sys::readable);
        let filled = filled.map_err(|error| {
            DataplaneError::io("wait for the log of the kernel programs", error)
        })?;
        Ok(Self { logger, filled })
    }

    /// Forwards records until it is dropped.
    pub async fn forward(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.filled.readable().await?;
            ready.clear_ready();
            self.logger.flush();
        }
    }
}

// === impl Forward ===

impl log::Log for Forward {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        tracing::debug!(target: "genkan::ebpf", "{}", record.args());
    }

    fn flush(&self) {}
}
