//! What of the configuration holds for upstream connections.

use crate::config::{Limits, Timeouts};

/// One version of the timeouts and limits; a request keeps the one it began with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Policy {
    pub timeouts: Timeouts,
    pub limits: Limits,
}
