//! What an upstream error means for the client.

use crate::proxy::error::Failure;
use crate::upstream::Error;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::NoEndpoint(reason) => Self::NoEndpoint(reason),
            Error::Connect => Self::Connect,
            Error::ConnectTimeout => Self::ConnectTimeout,
            Error::Tls => Self::UpstreamTls,
            Error::SendTimeout => Self::SendTimeout,
            Error::ReadTimeout => Self::ReadTimeout,
            Error::Closed => Self::UpstreamClosed,
            Error::BadResponse(reason) => Self::BadResponse(reason),
            Error::RequestBody(reason) => {
                reason.downcast_ref::<Self>().copied().unwrap_or(Self::ClientGone)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_request_body_is_answered_with_its_own_reason() {
        let failure = |reason: Failure| Failure::from(Error::RequestBody(Box::new(reason)));
        assert_eq!(failure(Failure::BodyTooLarge), Failure::BodyTooLarge);
        assert_eq!(failure(Failure::BodyTimeout), Failure::BodyTimeout);
        let foreign = Error::RequestBody("a client that is gone".into());
        assert_eq!(Failure::from(foreign), Failure::ClientGone);
    }
}
