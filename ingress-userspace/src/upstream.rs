//! Connections to the pods: choosing an endpoint, pooling, sending a request, receiving the answer.
//!
//! One set for each worker; nothing here is shared between threads. In: a request that is ready to
//! be sent and the cluster it goes to. Out: the answer with a body that is read while the
//! connection is driven, or an [`Error`]. Knows nothing of routes, clients or statuses.

mod io;

pub use io::{Io, Tunnel};
