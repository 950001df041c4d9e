//! The one table from what went wrong to what the client is told.
//!
//! Each [`Failure`] names its side (for logs and counters), its status, and whether the client
//! connection can go on. No other place chooses a status for an error.

use http::StatusCode;

/// Why a request was not answered by a pod. The texts go to the access log, never to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Failure {
    #[error("bad request: {0}")]
    BadRequest(&'static str),
    #[error("request head not complete in time")]
    HeaderTimeout,
    #[error("request body not sent in time")]
    BodyTimeout,
    #[error("request body larger than limits.request_body")]
    BodyTooLarge,
    #[error("request line larger than limits.request_line")]
    UriTooLong,
    #[error("request header fields larger than limits.request_headers or too many")]
    HeadersTooLarge,
    #[error("expectation not known: only 100-continue is")]
    Expectation,
    #[error("server name and host belong to different certificates policies")]
    Misdirected,
    #[error("transfer coding not known")]
    TransferCoding,
    #[error("method not served")]
    MethodNotServed,
    #[error("HTTP version not served")]
    Version,
    #[error("no route for this host and path")]
    NoRoute,
    #[error("closed by configuration: {0}")]
    Closed(&'static str),
    #[error("source address not admitted by the route")]
    Forbidden,
    #[error("no right user and password")]
    Unauthorized,
    /// The status depends on whom we are compatible with (D11).
    #[error("the route's limit for one client is reached")]
    Limited(StatusCode),
    #[error("too many passwords wait to be checked")]
    PasswordsBusy,
    #[error("too many connections on this worker")]
    Overloaded,
    #[error("client went away")]
    ClientGone,
    #[error("no usable endpoint: {0}")]
    NoEndpoint(&'static str),
    #[error("connection to the endpoint refused or unreachable")]
    Connect,
    #[error("connection to the endpoint timed out")]
    ConnectTimeout,
    #[error("TLS handshake with the endpoint failed")]
    UpstreamTls,
    #[error("endpoint did not take the request in time")]
    SendTimeout,
    #[error("endpoint did not answer in time")]
    ReadTimeout,
    #[error("endpoint closed the connection before a complete answer")]
    UpstreamClosed,
    #[error("endpoint sent an answer that is not HTTP: {0}")]
    BadResponse(&'static str),
    #[error("internal error")]
    Internal,
}

/// Who has to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Client,
    Configuration,
    Upstream,
    Ourselves,
}

// === impl Failure ===

impl Failure {
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::HeaderTimeout | Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::TransferCoding | Self::MethodNotServed => StatusCode::NOT_IMPLEMENTED,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Limited(status) => status,
            Self::Closed(_) | Self::Overloaded | Self::NoEndpoint(_) | Self::PasswordsBusy => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            // nginx's code for the log; nobody is left to read it.
            Self::ClientGone => StatusCode::from_u16(499).expect("499 is a valid status"),
            Self::Connect | Self::UpstreamTls | Self::UpstreamClosed | Self::BadResponse(_) => {
                StatusCode::BAD_GATEWAY
            }
            Self::ConnectTimeout | Self::SendTimeout | Self::ReadTimeout => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub fn side(self) -> Side {
        match self {
            Self::BadRequest(_)
            | Self::HeaderTimeout
            | Self::BodyTimeout
            | Self::BodyTooLarge
            | Self::UriTooLong
            | Self::HeadersTooLarge
            | Self::Expectation
            | Self::Misdirected
            | Self::TransferCoding
            | Self::MethodNotServed
            | Self::Version
            | Self::Forbidden
            | Self::Unauthorized
            | Self::Limited(_)
            | Self::ClientGone => Side::Client,
            Self::NoRoute | Self::Closed(_) => Side::Configuration,
            Self::NoEndpoint(_)
            | Self::Connect
            | Self::ConnectTimeout
            | Self::UpstreamTls
            | Self::SendTimeout
            | Self::ReadTimeout
            | Self::UpstreamClosed
            | Self::BadResponse(_) => Side::Upstream,
            Self::Overloaded | Self::PasswordsBusy | Self::Internal => Side::Ourselves,
        }
    }

    /// Whether an HTTP/1 connection ends with this answer: its framing is not known any more, or
    /// the rest of a body would have to be read first.
    pub fn closes(self) -> bool {
        matches!(
            self,
            Self::BadRequest(_)
                | Self::HeaderTimeout
                | Self::BodyTimeout
                | Self::BodyTooLarge
                | Self::UriTooLong
                | Self::HeadersTooLarge
                | Self::TransferCoding
                | Self::MethodNotServed
                | Self::Version
                | Self::ClientGone
                | Self::Overloaded
                | Self::Internal
        )
    }

    pub const COUNT: usize = 28;

    /// By [`Failure::index`]: labels of metrics, words of the access log.
    pub const LABELS: [&'static str; Self::COUNT] = [
        "bad_request",
        "header_timeout",
        "body_timeout",
        "body_too_large",
        "uri_too_long",
        "headers_too_large",
        "expectation",
        "misdirected",
        "transfer_coding",
        "method_not_served",
        "version",
        "no_route",
        "closed",
        "overloaded",
        "client_gone",
        "no_endpoint",
        "connect",
        "connect_timeout",
        "upstream_tls",
        "send_timeout",
        "read_timeout",
        "upstream_closed",
        "bad_response",
        "internal",
        "forbidden",
        "unauthorized",
        "limited",
        "passwords_busy",
    ];

    /// Dense, for counters.
    pub fn index(self) -> usize {
        match self {
            Self::BadRequest(_) => 0,
            Self::HeaderTimeout => 1,
            Self::BodyTimeout => 2,
            Self::BodyTooLarge => 3,
            Self::UriTooLong => 4,
            Self::HeadersTooLarge => 5,
            Self::Expectation => 6,
            Self::Misdirected => 7,
            Self::TransferCoding => 8,
            Self::MethodNotServed => 9,
            Self::Version => 10,
            Self::NoRoute => 11,
            Self::Closed(_) => 12,
            Self::Overloaded => 13,
            Self::ClientGone => 14,
            Self::NoEndpoint(_) => 15,
            Self::Connect => 16,
            Self::ConnectTimeout => 17,
            Self::UpstreamTls => 18,
            Self::SendTimeout => 19,
            Self::ReadTimeout => 20,
            Self::UpstreamClosed => 21,
            Self::BadResponse(_) => 22,
            Self::Internal => 23,
            Self::Forbidden => 24,
            Self::Unauthorized => 25,
            Self::Limited(_) => 26,
            Self::PasswordsBusy => 27,
        }
    }

    /// One of each kind, in the order of [`Failure::index`].
    pub const ALL: [Self; Self::COUNT] = [
        Self::BadRequest(""),
        Self::HeaderTimeout,
        Self::BodyTimeout,
        Self::BodyTooLarge,
        Self::UriTooLong,
        Self::HeadersTooLarge,
        Self::Expectation,
        Self::Misdirected,
        Self::TransferCoding,
        Self::MethodNotServed,
        Self::Version,
        Self::NoRoute,
        Self::Closed(""),
        Self::Overloaded,
        Self::ClientGone,
        Self::NoEndpoint(""),
        Self::Connect,
        Self::ConnectTimeout,
        Self::UpstreamTls,
        Self::SendTimeout,
        Self::ReadTimeout,
        Self::UpstreamClosed,
        Self::BadResponse(""),
        Self::Internal,
        Self::Forbidden,
        Self::Unauthorized,
        Self::Limited(StatusCode::TOO_MANY_REQUESTS),
        Self::PasswordsBusy,
    ];

    pub fn label(self) -> &'static str {
        Self::LABELS[self.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_own_index_and_label() {
        for (index, failure) in Failure::ALL.into_iter().enumerate() {
            assert_eq!((failure.index(), failure.label()), (index, Failure::LABELS[index]));
        }
    }
}
