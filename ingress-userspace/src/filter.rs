//! What is done to a request and its answer between route and endpoint. Pure functions on values:
//! no connection, no clock, no settings beyond their arguments. But for [`limit`] and [`auth`], which
//! keep what the requests of a node have in common.

pub mod annotations;
pub mod auth;
pub mod cors;
pub mod headers;
pub mod limit;
pub mod redirect;
pub mod request_id;
pub mod target;

use std::sync::Arc;

pub use annotations::apply;
pub use headers::{Origin, from_upstream, to_upstream};

/// What the workers of a node keep together.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    pub limiter: Arc<limit::Limiter>,
    pub passwords: Arc<auth::Passwords>,
}
