//! What of the configuration holds for upstream connections.

use crate::config::{Limits, Timeouts};
use crate::routing::UpstreamTimeouts;

/// One version of the timeouts and limits; a request keeps the one it began with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Policy {
    pub timeouts: Timeouts,
    pub limits: Limits,
}

// === impl Policy ===

impl Policy {
    /// With the timeouts of a route in place of those that it gives.
    pub(super) fn with(&self, own: UpstreamTimeouts) -> Self {
        let mut policy = *self;
        let timeouts = &mut policy.timeouts;
        timeouts.upstream_connect = own.connect.unwrap_or(timeouts.upstream_connect);
        timeouts.upstream_send = own.send.unwrap_or(timeouts.upstream_send);
        timeouts.upstream_read = own.read.unwrap_or(timeouts.upstream_read);
        policy
    }
}
