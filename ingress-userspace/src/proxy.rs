//! The data side: workers that accept connections, read requests strictly, route and forward them.
//!
//! A request travels `worker → accept → (tls) → http1 | http2 → request → upstream` and back through
//! `respond`; every answer of our own comes from the table in [`error`]. A worker is one thread
//! with one current-thread runtime; nothing on the request path is shared with another worker
//! except the snapshot head, which is read without a lock.

mod accept;
pub mod access_log;
pub mod body;
pub mod context;
pub mod counters;
pub mod error;
pub mod http1;
pub mod http2;
pub mod request;
pub mod respond;
pub mod settings;
mod trailer;
pub mod upgrade;
pub mod worker;

pub use body::{ReplyBody, RequestBody};
pub use context::ProxyContext;
pub use error::{Failure, Side};
pub use request::{Connection, Outcome, Reply};
pub use settings::Settings;
pub use worker::WorkerState;
