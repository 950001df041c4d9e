use proptest::prelude::*;
use rstest::rstest;

use http::HeaderName;

use super::*;

#[derive(Debug, Default, PartialEq)]
struct Read {
    data: Vec<u8>,
    trailers: Option<HeaderMap>,
    rest: Vec<u8>,
}

/// Data, trailers when the body is complete, and what is left behind it.
fn read_all(pieces: &[&[u8]], limits: &Limits) -> Result<Read, Failure> {
    let (mut buffer, mut reader) = (BytesMut::new(), Reader::new());
    let mut read = Read::default();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while read.trailers.is_none() {
            match reader.read(&mut buffer, limits)? {
                Step::More => break,
                Step::Data(data) => read.data.extend_from_slice(&data),
                Step::End(trailers) => read.trailers = Some(trailers),
            }
        }
    }
    read.rest = buffer.to_vec();
    Ok(read)
}

fn read(bytes: &str) -> Result<Read, Failure> {
    read_all(&[bytes.as_bytes()], &Limits::default())
}

#[test]
fn reads_chunks_and_leaves_the_next_request() {
    let read = read("5\r\nhello\r\nA;name=\"v\"\r\n0123456789\r\n00\r\n\r\nGET").unwrap();
    assert_eq!(read.data, b"hello0123456789");
    assert_eq!(read.trailers, Some(HeaderMap::new()));
    assert_eq!(read.rest, b"GET");
}

#[rstest]
#[case::empty_size("\r\n")]
#[case::not_hexadecimal("g\r\n")]
#[case::prefixed("0x5\r\nhello\r\n")]
#[case::plus("+5\r\nhello\r\n")]
#[case::minus("-5\r\nhello\r\n")]
#[case::underscore("1_0\r\n")]
#[case::space_before(" 5\r\nhello\r\n")]
#[case::space_after("5 \r\nhello\r\n")]
#[case::tab_after("5\t;x\r\nhello\r\n")]
#[case::overflow("10000000000000005\r\nhello\r\n")]
#[case::beyond_i64("8000000000000000\r\nhello\r\n")]
#[case::many_zeros("0000000000000005\r\nhello\r\n")]
#[case::line_feed_only("5\nhello\r\n")]
#[case::carriage_return_only("5\rhello\r\n")]
#[case::carriage_return_in_extension("5;a\rb\r\nhello\r\n")]
#[case::line_feed_in_extension("5;a\nb\r\nhello\r\n")]
#[case::nul_in_extension("5;a\0\r\nhello\r\n")]
#[case::no_line_end_after_data("5\r\nhello5\r\nhello\r\n")]
#[case::line_feed_after_data("5\r\nhello\n0\r\n\r\n")]
#[case::data_longer("5\r\nhello!\r\n")]
#[case::two_line_ends("5\r\nhello\r\n\r\n0\r\n\r\n")]
#[case::last_chunk_without_carriage_return("0\n\r\n")]
#[case::end_without_carriage_return("0\r\n\n")]
#[case::trailer_without_colon("0\r\nx\r\n\r\n")]
#[case::trailer_with_space_in_name("0\r\nx : y\r\n\r\n")]
#[case::folded_trailer("0\r\nx: y\r\n z\r\n\r\n")]
#[case::line_feed_in_trailer("0\r\nx: y\nz: a\r\n\r\n")]
#[case::carriage_return_in_trailer("0\r\nx: y\rz: a\r\n\r\n")]
#[case::content_length_in_trailer("0\r\nContent-Length: 5\r\n\r\n")]
#[case::transfer_encoding_in_trailer("0\r\nTransfer-Encoding: chunked\r\n\r\n")]
#[case::host_in_trailer("0\r\nHost: a\r\n\r\n")]
#[case::connection_in_trailer("0\r\nConnection: close\r\n\r\n")]
fn refuses_what_is_not_chunked(#[case] bytes: &str) {
    let failure = read(bytes).unwrap_err();
    assert_eq!(failure.status(), 400, "{bytes:?}");
    assert!(failure.closes());
}

#[test]
fn an_endless_size_line_is_refused_before_it_ends() {
    assert_eq!(read(&format!("5;{}", "x".repeat(300))).unwrap_err().status(), 400);
    assert_eq!(read(&"0".repeat(300)).unwrap_err().status(), 400);
}

#[test]
fn extensions_of_a_whole_body_are_bounded() {
    let chunk = format!("1;{}\r\nx\r\n", "e".repeat(200));
    assert_eq!(read(&chunk.repeat(50)).unwrap().data.len(), 50);
    assert_eq!(read(&chunk.repeat(100)).unwrap_err().status(), 400);
}

#[test]
fn trailers_are_kept_but_not_those_that_a_head_must_have() {
    let read = read(
        "0\r\nChecksum: 1\r\nAuthorization: x\r\nCookie: y\r\nX-Forwarded-For: z\r\n\
         X_Real_IP: z\r\nGrpc-Status: 0\r\n\r\n",
    )
    .unwrap();
    let trailers = read.trailers.unwrap();
    let names: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["checksum", "grpc-status"]);
}

#[test]
fn trailers_have_the_limits_of_a_head() {
    let limits = Limits { request_headers: 50, request_header_count: 3, ..Limits::default() };
    let read = |text: String| read_all(&[text.as_bytes()], &limits);
    let status = |text| read(text).map_or_else(|failure| failure.status().as_u16(), |_| 200);
    assert_eq!(status(format!("0\r\n{}\r\n", "x: y\r\n".repeat(3))), 200);
    assert_eq!(status(format!("0\r\n{}\r\n", "x: y\r\n".repeat(4))), 431);
    // "x: " and the line end are 5 bytes.
    assert_eq!(status(format!("0\r\nx: {}\r\n\r\n", "y".repeat(45))), 200);
    assert_eq!(status(format!("0\r\nx: {}\r\n\r\n", "y".repeat(48))), 431);
    assert_eq!(status(format!("0\r\nx: {}", "y".repeat(100))), 431);
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        8 => Just(&b"5\r\nhello\r\n"[..]),
        4 => Just(&b"3;ext=1\r\nabc\r\n"[..]),
        3 => Just(&b"0\r\n\r\n"[..]),
        2 => Just(&b"0\r\ntrailer: x\r\n\r\n"[..]),
        1 => Just(&b"\n"[..]),
        1 => Just(&b"\r"[..]),
        1 => Just(&b"ffffffffffffffffff\r\n"[..]),
        1 => Just(&b"0\r\nlong: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"[..]),
        1 => Just(&b" "[..]),
    ];
    prop::collection::vec(part, 0..10).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn the_result_does_not_depend_on_the_reads(bytes in stream(), size in 1usize..9) {
        let limits = Limits { request_headers: 30, ..Limits::default() };
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        prop_assert_eq!(read_all(&pieces, &limits), read_all(&[&bytes], &limits));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&String::from_utf8_lossy(&bytes));
    }
}
