//! One conversation with the kernel's routing netlink, in the network namespace of the caller.

use std::io;

use rtnetlink::Handle;
use rtnetlink::packet_core::ErrorMessage;

#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    #[error("cannot open a netlink socket: {0}")]
    Open(io::Error),
    #[error("the netlink socket closed before the answer came")]
    Closed,
    #[error("{0}")]
    Refused(io::Error),
    #[error("{0}")]
    Protocol(String),
}

/// Asks on a connection of its own, which ends with the answer.
pub(super) async fn ask<T>(
    question: impl AsyncFnOnce(Handle) -> Result<T, rtnetlink::Error>,
) -> Result<T, NetlinkError> {
    let (connection, handle, _messages) =
        rtnetlink::new_connection().map_err(NetlinkError::Open)?;
    tokio::select! {
        biased;
        answer = question(handle) => Ok(answer?),
        () = connection => Err(NetlinkError::Closed),
    }
}

// === impl NetlinkError ===

impl NetlinkError {
    /// The error number with which the kernel refused.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused(error) | Self::Open(error) => error.raw_os_error(),
            Self::Closed | Self::Protocol(_) => None,
        }
    }
}

impl From<rtnetlink::Error> for NetlinkError {
    fn from(error: rtnetlink::Error) -> Self {
        match error {
            rtnetlink::Error::NetlinkError(ErrorMessage { code: Some(code), .. }) => {
                Self::Refused(io::Error::from_raw_os_error(code.get().saturating_neg()))
            }
            other => Self::Protocol(other.to_string()),
        }
    }
}
