//! What is done to a request and its answer between route and endpoint. Pure functions on values:
//! no connection, no clock, no settings beyond their arguments.

pub mod annotations;
pub mod headers;
pub mod redirect;
pub mod target;

pub use annotations::apply;
pub use headers::{Origin, from_upstream, to_upstream};
