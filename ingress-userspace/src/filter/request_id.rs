//! The id of a request: the client's `X-Request-ID` when it is fit for logs and backends, else one
//! of ours. Each request has one, whatever becomes of it, also one whose head
//! cannot be read.

use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over.
const LONGEST: usize = 128;

/// Printable ASCII. Ours and UUIDs are held in place, without an allocation.
pub type RequestId = SmallVec<[u8; 36]>;

/// The id of the request with these header fields, as the client has sent them.
pub fn of(headers: &HeaderMap) -> RequestId {
    let mut ids = headers.get_all(X_REQUEST_ID).iter();
    match (ids.next(), ids.next()) {
        (Some(id), None) if is_sane(id) => RequestId::from_slice(id.as_bytes()),
        _ => RequestId::from_slice(&made()),
    }
}

/// A request id of the client that is safe in logs and headers of any backend.
fn is_sane(id: &HeaderValue) -> bool {
    (1..=LONGEST).contains(&id.len())
        && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(b))
}

/// 32 hex digits, as nginx's `$request_id`.
fn made() -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut bits = fastrand::u128(..);
    std::array::from_fn(|_| {
        let digit = DIGITS[(bits & 15) as usize];
        bits >>= 4;
        digit
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(sent: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for id in sent {
            headers.append(X_REQUEST_ID, HeaderValue::from_str(id).expect("a value"));
        }
        String::from_utf8(of(&headers).into_vec()).expect("ASCII")
    }

    #[test]
    fn ids_are_kept_when_sane_and_made_otherwise() {
        let longest = "a".repeat(LONGEST);
        for kept in ["0af7651916cd43dd", "trace/1:2_3.4-5+6=7@8", &longest] {
            assert_eq!(id(&[kept]), kept);
        }
        let too_long = "a".repeat(LONGEST + 1);
        for bad in
            [&[][..], &[""], &["a b"], &["a\"b"], &[&too_long], &["a,b"], &["a;b"], &["a", "b"]]
        {
            let id = id(bad);
            assert_eq!(id.len(), 32, "{bad:?}");
            assert!(id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        }
        assert_ne!(id(&[]), id(&[]));
    }
}
