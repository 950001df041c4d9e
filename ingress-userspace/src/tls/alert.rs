//! The one alert that rustls does not send.

use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Record of type alert, legacy version 1.2, two bytes: fatal, `unrecognized_name` (RFC 6066 3).
/// rustls answers `access_denied` when its resolver has no certificate, which clients cannot tell
/// from a refused client certificate.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Nothing has been sent on the connection yet, so the alert goes out in clear.
pub(super) async fn unrecognized_name<T: AsyncWrite + Unpin>(io: &mut T) {
    // A client that has gone does not want to know.
    if io.write_all(&UNRECOGNIZED_NAME).await.is_ok() {
        let _ = io.shutdown().await;
    }
}
