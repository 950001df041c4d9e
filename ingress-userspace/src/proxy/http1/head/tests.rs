use proptest::prelude::*;
use rstest::rstest;

use super::*;

/// What a stream of bytes is read as: heads until more bytes are needed, or a failure.
fn read_all(pieces: &[&[u8]], limits: &Limits) -> Result<(Vec<String>, Vec<u8>), Failure> {
    let (mut buffer, mut reader) = (BytesMut::new(), Reader::default());
    let mut heads = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(head) = reader.read(&mut buffer, limits)? {
            heads.push(format!("{head:?}"));
        }
    }
    Ok((heads, buffer.to_vec()))
}

fn read(bytes: &[u8]) -> Result<Head, Failure> {
    let mut buffer = BytesMut::from(bytes);
    let head = Reader::default().read(&mut buffer, &Limits::default())?;
    Ok(head.unwrap_or_else(|| panic!("incomplete: {:?}", String::from_utf8_lossy(bytes))))
}

fn with_fields(fields: &str) -> Result<Head, Failure> {
    read(format!("POST /p HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n").as_bytes())
}

fn status<T>(result: Result<T, Failure>) -> u16 {
    result.map_or_else(|failure| failure.status().as_u16(), |_| 200)
}

#[test]
fn reads_a_request() {
    let head = read(
        b"GET /a/b?c=d HTTP/1.1\r\nHost: a.example:8080\r\nX-One:  two words\t\r\nX-One: 2\r\n\
          X-Empty:\r\nX-Text: \xe4\r\n\r\n",
    )
    .unwrap();
    assert_eq!((head.method, head.version), (Method::GET, Version::HTTP_11));
    assert_eq!(head.uri, "/a/b?c=d");
    assert_eq!(head.headers[HOST], "a.example:8080");
    let ones: Vec<_> = head.headers.get_all("x-one").iter().collect();
    assert_eq!(ones, ["two words", "2"]);
    assert_eq!(head.headers["x-empty"], "");
    assert_eq!(head.headers["x-text"].as_bytes(), b"\xe4");
    assert_eq!(head.framing, Framing::Length(0));
    assert!(head.keep_alive && !head.expects_continue);
}

#[test]
fn takes_one_empty_line_before_a_request() {
    assert_eq!(status(read(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")), 200);
    assert_eq!(status(read(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")), 400);
}

#[rstest]
#[case::lf_after_request_line("GET / HTTP/1.1\nHost: a\r\n\r\n")]
#[case::lf_after_field("GET / HTTP/1.1\r\nHost: a\n\r\n")]
#[case::lf_at_end("GET / HTTP/1.1\r\nHost: a\r\n\n")]
#[case::lf_first("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")]
#[case::cr_in_request_line("GET /\rHTTP/1.1\r\nHost: a\r\n\r\n")]
#[case::cr_before_line_end("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n")]
#[case::cr_in_value("GET / HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n")]
#[case::cr_in_name("GET / HTTP/1.1\r\nHost: a\r\nX\rY: b\r\n\r\n")]
#[case::nul_in_target("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n")]
#[case::nul_in_name("GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n")]
#[case::nul_in_value("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n")]
#[case::control_in_value("GET / HTTP/1.1\r\nHost: a\r\nX: \x0b\r\n\r\n")]
#[case::delete_in_value("GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n")]
#[case::folded_by_space("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n")]
#[case::folded_by_tab("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n")]
#[case::space_before_first_field("GET / HTTP/1.1\r\n Host: a\r\n\r\n")]
#[case::space_before_colon("GET / HTTP/1.1\r\nHost : a\r\n\r\n")]
#[case::tab_before_colon("GET / HTTP/1.1\r\nHost: a\r\nX\t: b\r\n\r\n")]
#[case::empty_name("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n")]
#[case::no_colon("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n")]
#[case::bad_name_character("GET / HTTP/1.1\r\nHost: a\r\nX(y): b\r\n\r\n")]
#[case::name_not_ascii("GET / HTTP/1.1\r\nHost: a\r\n\u{e4}: b\r\n\r\n")]
#[case::two_spaces_before_target("GET  / HTTP/1.1\r\nHost: a\r\n\r\n")]
#[case::two_spaces_before_version("GET /  HTTP/1.1\r\nHost: a\r\n\r\n")]
#[case::space_after_version("GET / HTTP/1.1 \r\nHost: a\r\n\r\n")]
#[case::tab_for_space("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n")]
#[case::space_in_target("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n")]
#[case::no_version("GET /\r\nHost: a\r\n\r\n")]
#[case::lower_case_version("GET / http/1.1\r\nHost: a\r\n\r\n")]
#[case::long_version("GET / HTTP/1.10\r\nHost: a\r\n\r\n")]
#[case::no_target("GET HTTP/1.1\r\nHost: a\r\n\r\n")]
#[case::bad_method("G(T / HTTP/1.1\r\nHost: a\r\n\r\n")]
#[case::fragment("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n")]
#[case::target_not_ascii("GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n")]
#[case::relative_target("GET a/b HTTP/1.1\r\nHost: a\r\n\r\n")]
#[case::authority_target("GET a.example:80 HTTP/1.1\r\nHost: a\r\n\r\n")]
#[case::asterisk_of_get("GET * HTTP/1.1\r\nHost: a\r\n\r\n")]
#[case::other_scheme("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n")]
#[case::no_authority("GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n")]
#[case::user_in_authority("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n")]
#[case::user_and_password_in_authority("GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n")]
#[case::tls_hello("\x16\x03\x01\x02\0")]
fn refuses_what_is_not_one_request(#[case] bytes: &str) {
    assert_eq!(status(read(bytes.as_bytes())), 400, "{bytes:?}");
}

#[rstest]
#[case("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505)]
#[case("PRI * HTTP/2.0\r\n\r\n", 505)]
#[case("GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505)]
#[case("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505)]
#[case("CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501)]
#[case("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200)]
#[case("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", 200)]
#[case("GET / HTTP/1.0\r\n\r\n", 200)]
#[case("GET /[]{}|^\"<>\\ HTTP/1.1\r\nHost: a\r\n\r\n", 400)]
fn methods_and_versions(#[case] bytes: &str, #[case] expected: u16) {
    assert_eq!(status(read(bytes.as_bytes())), expected, "{bytes:?}");
}

#[rstest]
#[case::missing("", 400)]
#[case::repeated("Host: a\r\nHost: a\r\n", 400)]
#[case::different("Host: a\r\nHost: b\r\n", 400)]
#[case::empty("Host:\r\n", 400)]
#[case::list("Host: a, b\r\n", 400)]
#[case::space("Host: a b\r\n", 400)]
#[case::user("Host: u@a\r\n", 400)]
#[case::path("Host: a/b\r\n", 400)]
#[case::not_ascii("Host: \u{e4}.example\r\n", 400)]
#[case::percent("Host: a%2eb\r\n", 400)]
#[case::port_not_a_number("Host: a:x\r\n", 400)]
#[case::port_too_long("Host: a:123456\r\n", 400)]
#[case::port_twice("Host: a:1:2\r\n", 400)]
#[case::open_bracket("Host: [::1\r\n", 400)]
#[case::no_address_in_brackets("Host: [a.example]\r\n", 400)]
#[case::text_behind_bracket("Host: [::1]a\r\n", 400)]
#[case::name("Host: a.example\r\n", 200)]
#[case::trailing_dot("Host: a.example.\r\n", 200)]
#[case::underscore("Host: a_b.example\r\n", 200)]
#[case::port("Host: a.example:8080\r\n", 200)]
#[case::empty_port("Host: a.example:\r\n", 200)]
#[case::v4("Host: 192.0.2.1\r\n", 200)]
#[case::v6("Host: [2001:db8::1]:80\r\n", 200)]
fn h7_host_of_http_1_1(#[case] fields: &str, #[case] expected: u16) {
    let bytes = format!("GET / HTTP/1.1\r\n{fields}\r\n");
    assert_eq!(status(read(bytes.as_bytes())), expected, "{fields:?}");
}

#[test]
fn h7_http_1_0_may_come_without_host_but_not_with_two() {
    assert!(!read(b"GET / HTTP/1.0\r\n\r\n").unwrap().headers.contains_key(HOST));
    assert_eq!(status(read(b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n")), 400);
}

#[rstest]
#[case("http://B.example:81/x?y", "/x?y", "B.example:81")]
#[case("https://b.example", "/", "b.example")]
#[case("HTTP://b.example/", "/", "b.example")]
#[case("http://b.example?y", "/?y", "b.example")]
fn h7_authority_of_an_absolute_target_wins(
    #[case] target: &str,
    #[case] path: &str,
    #[case] host: &str,
) {
    let head = read(format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n").as_bytes());
    let head = head.unwrap();
    assert_eq!(head.uri.to_string(), path);
    assert_eq!(head.uri.path_and_query().unwrap().as_str(), path);
    assert_eq!(head.headers[HOST], host);
    assert_eq!(head.headers.get_all(HOST).iter().count(), 1);
    let without_host = format!("GET {target} HTTP/1.1\r\n\r\n");
    assert_eq!(status(read(without_host.as_bytes())), 400);
}

#[rstest]
#[case("0", Some(0))]
#[case("5", Some(5))]
#[case("18446744073709551615", Some(u64::MAX))]
#[case("18446744073709551616", None)]
#[case("99999999999999999999999", None)]
#[case("", None)]
#[case("+5", None)]
#[case("-5", None)]
#[case("5 5", None)]
#[case("5,5", None)]
#[case("5, 5", None)]
#[case("5_000", None)]
#[case("0x5", None)]
#[case("05", None)]
#[case("00", None)]
#[case("5.0", None)]
#[case("five", None)]
fn content_length_is_one_plain_number(#[case] value: &str, #[case] expected: Option<u64>) {
    let result = with_fields(&format!("Content-Length: {value}\r\n"));
    match expected {
        Some(length) => assert_eq!(result.unwrap().framing, Framing::Length(length)),
        None => assert_eq!(status(result), 400, "{value:?}"),
    }
}

#[rstest]
#[case("Transfer-Encoding: chunked\r\n", 200)]
#[case("Transfer-Encoding: Chunked\r\n", 200)]
#[case("Transfer-Encoding:\tchunked \r\n", 200)]
#[case("Transfer-Encoding: gzip, chunked\r\n", 501)]
#[case("Transfer-Encoding: gzip\r\n", 400)]
#[case("Transfer-Encoding: chunked, gzip\r\n", 400)]
#[case("Transfer-Encoding: identity\r\n", 400)]
#[case("Transfer-Encoding: chunked, identity\r\n", 400)]
#[case("Transfer-Encoding: identity, chunked\r\n", 400)]
#[case("Transfer-Encoding: chunked, chunked\r\n", 400)]
#[case("Transfer-Encoding: chunked,\r\n", 400)]
#[case("Transfer-Encoding: ,chunked\r\n", 400)]
#[case("Transfer-Encoding: \x0bchunked\r\n", 400)]
#[case("Transfer-Encoding: \"chunked\"\r\n", 400)]
#[case("Transfer-Encoding: xchunked\r\n", 400)]
#[case("Transfer-Encoding: chunked;q=1\r\n", 400)]
#[case("Transfer-Encoding:\r\n", 400)]
#[case("Transfer-Encoding:\r\n chunked\r\n", 400)]
#[case("Transfer-Encoding : chunked\r\n", 400)]
#[case("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400)]
#[case("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 400)]
#[case("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400)]
#[case("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400)]
#[case("Content-Length: 5\r\nTransfer-Encoding: x\r\n", 400)]
#[case("Content-Length: 5\r\nContent-Length: 5\r\n", 400)]
#[case("Content-Length: 5\r\nContent-Length: 6\r\n", 400)]
fn framing_has_one_reading(#[case] fields: &str, #[case] expected: u16) {
    assert_eq!(status(with_fields(fields)), expected, "{fields:?}");
}

#[test]
fn transfer_encoding_in_http_1_0_is_refused() {
    let bytes = b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(status(read(bytes)), 400);
}

#[rstest]
#[case("Expect: 100-continue\r\n", Some(true))]
#[case("Expect: 100-Continue\r\n", Some(true))]
#[case("Expect: 100-continue, x\r\n", None)]
#[case("Expect: 100-continue\r\nExpect: 100-continue\r\n", None)]
#[case("Expect: y 100-continue\r\n", None)]
#[case("Expect:\r\n", None)]
#[case("", Some(false))]
fn only_100_continue_can_be_expected(#[case] fields: &str, #[case] expected: Option<bool>) {
    let result = with_fields(fields);
    match expected {
        Some(expects) => {
            let head = result.unwrap();
            assert_eq!(head.expects_continue, expects);
            assert!(!head.headers.contains_key(EXPECT));
        }
        None => assert_eq!(status(result), 417, "{fields:?}"),
    }
}

#[test]
fn http_1_0_has_no_expectations() {
    let head = read(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").unwrap();
    assert!(!head.expects_continue);
}

#[rstest]
#[case("HTTP/1.1", "", true)]
#[case("HTTP/1.1", "Connection: close\r\n", false)]
#[case("HTTP/1.1", "Connection: Upgrade, CLOSE\r\n", false)]
#[case("HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n", false)]
#[case("HTTP/1.0", "", false)]
#[case("HTTP/1.0", "Connection: Keep-Alive\r\n", true)]
#[case("HTTP/1.0", "Connection: keep-alive, close\r\n", false)]
fn keep_alive_is_what_the_client_says(
    #[case] version: &str,
    #[case] fields: &str,
    #[case] expected: bool,
) {
    let bytes = format!("GET / {version}\r\nHost: a\r\n{fields}\r\n");
    assert_eq!(read(bytes.as_bytes()).unwrap().keep_alive, expected, "{version} {fields:?}");
}

fn small() -> Limits {
    Limits { request_line: 40, request_headers: 60, request_header_count: 4, ..Limits::default() }
}

#[test]
fn limits_hold_to_the_byte() {
    // "GET /" and " HTTP/1.1" are 14 bytes of the 40.
    for (length, expected) in [(26, 200), (27, 414)] {
        let head = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length));
        assert_eq!(status(read_all(&[head.as_bytes()], &small())), expected, "{length}");
    }
    // "Host: a\r\n" and "X: \r\n" are 14 bytes of the 60.
    for (length, expected) in [(46, 200), (47, 431)] {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(length));
        assert_eq!(status(read_all(&[head.as_bytes()], &small())), expected, "{length}");
    }
    for (count, expected) in [(3, 200), (4, 431)] {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count));
        assert_eq!(status(read_all(&[head.as_bytes()], &small())), expected, "{count}");
    }
}

#[test]
fn limits_hold_before_the_line_is_complete() {
    let line = vec![b'x'; 100];
    assert_eq!(status(read_all(&[&line], &small())), 414);
    let fields = [b"GET / HTTP/1.1\r\n", &line[..]].concat();
    assert_eq!(status(read_all(&[&fields], &small())), 431);
}

/// Streams near valid ones: every rule is broken now and then.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        8 => Just(&b"GET /a HTTP/1.1\r\n"[..]),
        1 => Just(&b"POST http://b/ HTTP/1.0\r\n"[..]),
        6 => Just(&b"Host: a\r\n"[..]),
        2 => Just(&b"Content-Length: 0\r\n"[..]),
        1 => Just(&b"Transfer-Encoding: chunked\r\n"[..]),
        8 => Just(&b"\r\n"[..]),
        1 => Just(&b"\n"[..]),
        1 => Just(&b"\r"[..]),
        1 => Just(&b" "[..]),
        1 => Just(&b"\0"[..]),
        1 => Just(&b"X-Long: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"[..]),
    ];
    let usual = Just(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
    let parts = prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat());
    prop::collection::vec(prop_oneof![usual, parts], 1..4).prop_map(|requests| requests.concat())
}

proptest! {
    #[test]
    fn the_result_does_not_depend_on_the_reads(
        bytes in stream(),
        mut cuts in prop::collection::vec(0usize..400, 0..12),
    ) {
        cuts.iter_mut().for_each(|cut| *cut = (*cut).min(bytes.len()));
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([bytes.len()]) {
            pieces.push(&bytes[from..cut]);
            from = cut;
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        let whole = read_all(&[&bytes], &small());
        prop_assert_eq!(&read_all(&pieces, &small()), &whole);
        prop_assert_eq!(&read_all(&single, &small()), &whole);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_all(&[&bytes], &small());
    }
}
