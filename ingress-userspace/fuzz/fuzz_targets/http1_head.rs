//! The head reader gives the same for every split of the bytes, and never panics.
#![no_main]

use bytes::BytesMut;
use genkan::config::Limits;
use genkan::proxy::Failure;
use genkan::proxy::http1::head::Reader;
use libfuzzer_sys::fuzz_target;

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<(Vec<String>, BytesMut), Failure> {
    let limits = Limits {
        request_line: 64,
        request_headers: 256,
        request_header_count: 8,
        ..Limits::default()
    };
    let (mut buffer, mut reader) = (BytesMut::new(), Reader::default());
    let mut heads = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(head) = reader.read(&mut buffer, &limits)? {
            heads.push(format!("{head:?}"));
        }
    }
    Ok((heads, buffer))
}

fuzz_target!(|bytes: &[u8]| {
    let [size, bytes @ ..] = bytes else { return };
    let size = usize::from(*size).max(1);
    assert_eq!(read(bytes.chunks(size)), read([bytes].into_iter()));
});
