//! The chunk reader gives the same data for every split of the bytes, and never panics.
#![no_main]

use bytes::BytesMut;
use genkan::config::Limits;
use genkan::proxy::Failure;
use genkan::proxy::http1::chunk::{Reader, Step};
use libfuzzer_sys::fuzz_target;

/// Data, trailers at the end of the body, and what is left behind it.
type Read = (Vec<u8>, Option<String>, BytesMut);

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Read, Failure> {
    let limits = Limits { request_headers: 128, request_header_count: 4, ..Limits::default() };
    let (mut buffer, mut reader) = (BytesMut::new(), Reader::new());
    let (mut data, mut end) = (Vec::new(), None);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while end.is_none() {
            match reader.read(&mut buffer, &limits)? {
                Step::More => break,
                Step::Data(piece) => data.extend_from_slice(&piece),
                Step::End(trailers) => end = Some(format!("{trailers:?}")),
            }
        }
    }
    Ok((data, end, buffer))
}

fuzz_target!(|bytes: &[u8]| {
    let [size, bytes @ ..] = bytes else { return };
    let size = usize::from(*size).max(1);
    assert_eq!(read(bytes.chunks(size)), read([bytes].into_iter()));
});
