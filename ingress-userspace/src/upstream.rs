//! Connections to the pods: choosing an endpoint, pooling, sending a request, receiving the answer.
//!
//! One [`Upstreams`] for each worker; nothing here is shared between threads but the TLS client
//! configurations. In: a request that is ready to be sent and the cluster it goes to. Out: the
//! answer, with a body that drives its connection while it is read, or an [`Error`]. Knows nothing
//! of routes, clients or statuses.

mod balance;
mod body;
mod connect;
mod counters;
mod http1;
mod http2;
mod io;
mod local;
mod meter;
mod policy;
mod pool;
mod retry;
mod send;
mod sticky;
mod tls;

pub use body::ResponseBody;
pub use counters::UpstreamCounters;
pub use io::{Io, Tunnel};
pub use local::LocalExecutor;
pub use policy::Policy;
pub use pool::{Outgoing, Upstreams};
pub use send::{Answer, Attempts, Target};
pub use sticky::{Lead, Sticky};
pub use tls::ClientTls;

/// Why there is no answer of an endpoint.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no usable endpoint: {0}")]
    NoEndpoint(&'static str),
    #[error("connection refused or unreachable")]
    Connect,
    #[error("connection not established in time")]
    ConnectTimeout,
    #[error("TLS handshake failed")]
    Tls,
    #[error("request not taken in time")]
    SendTimeout,
    #[error("answer not sent in time")]
    ReadTimeout,
    #[error("connection closed before a complete answer")]
    Closed,
    #[error("answer is not HTTP: {0}")]
    BadResponse(&'static str),
    /// The body of the request failed, so this is not the endpoint's fault; the body's own error.
    #[error("request body failed")]
    RequestBody(#[source] BoxError),
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

// === impl Error ===

impl From<hyper::Error> for Error {
    fn from(error: hyper::Error) -> Self {
        if error.is_parse_too_large() {
            Self::BadResponse(
                "head larger than limits.upstream_headers, or of more than 100 fields",
            )
        } else if error.is_parse() {
            Self::BadResponse("malformed head")
        } else {
            Self::Closed
        }
    }
}
