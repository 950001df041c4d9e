//! The smuggling matrix against the whole connection: a refused request ends the connection, an
//! accepted one is served once, and never is a body served as a request.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends a request with the smuggled one behind it; returns the answers and what was served.
async fn try_smuggling(request: &str) -> (String, Vec<String>) {
    let mut talk = Talk::new();
    talk.send(format!("{request}{SMUGGLED}")).await;
    let text = talk.rest().await;
    (text, talk.seen())
}

#[rstest]
#[case::both("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG", 400)]
#[case::both_reversed("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "5c\r\n", 400)]
#[case::two_lengths("Content-Length: 0\r\nContent-Length: 44\r\n", "", 400)]
#[case::length_list("Content-Length: 0, 44\r\n", "", 400)]
#[case::length_sign("Content-Length: +0\r\n", "", 400)]
#[case::length_space("Content-Length: 0 0\r\n", "", 400)]
#[case::length_before_colon("Content-Length : 0\r\n", "", 400)]
#[case::length_underscore("Content-Length: 0_0\r\n", "", 400)]
#[case::length_hexadecimal("Content-Length: 0x0\r\n", "", 400)]
#[case::length_overflow("Content-Length: 18446744073709551616\r\n", "", 400)]
#[case::coding_twice("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", "0\r\n\r\n", 400)]
#[case::coding_list("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n", 400)]
#[case::coding_identity("Transfer-Encoding: identity\r\n", "", 400)]
#[case::coding_comma("Transfer-Encoding: chunked,\r\n", "0\r\n\r\n", 400)]
#[case::coding_vertical_tab("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n", 400)]
#[case::coding_folded("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n", 400)]
#[case::coding_unknown("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n", 501)]
#[case::bare_line_feed("X: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 400)]
#[case::bare_carriage_return("X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 400)]
#[case::empty_name(": y\r\n", "", 400)]
#[case::nul_in_name("X\0: y\r\n", "", 400)]
#[case::second_host("Host: b.example\r\n", "", 400)]
#[case::expectation("Expect: 200-ok\r\nContent-Length: 44\r\n", "", 417)]
#[case::chunk_line_feed("Transfer-Encoding: chunked\r\n", "0\n\r\n", 400)]
#[case::chunk_overflow("Transfer-Encoding: chunked\r\n", "10000000000000000\r\n", 400)]
#[case::chunk_garbage("Transfer-Encoding: chunked\r\n", "1 x\r\nz\r\n0\r\n\r\n", 400)]
#[case::chunk_without_end("Transfer-Encoding: chunked\r\n", "1\r\nz0\r\n\r\n", 400)]
#[case::trailer_with_length(
    "Transfer-Encoding: chunked\r\n",
    "0\r\nContent-Length: 5\r\n\r\n",
    400
)]
#[case::trailer_with_coding(
    "Transfer-Encoding: chunked\r\n",
    "0\r\nTransfer-Encoding: x\r\n\r\n",
    400
)]
#[tokio::test(start_paused = true)]
async fn r9_a_request_with_two_readings_ends_the_connection(
    #[case] fields: &str,
    #[case] body: &str,
    #[case] status: u16,
) {
    local(async {
        let (text, seen) = try_smuggling(&post("/", fields, body)).await;
        assert_eq!(answers(&text), 1, "{text}");
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        assert!(text.contains("connection: close\r\n"), "{text}");
        assert!(seen.is_empty(), "{seen:?}");
    })
    .await;
}

#[rstest]
#[case("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505)]
#[case("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501)]
#[case(
    "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    400
)]
#[case("GET / HTTP/1.1\n\r\n", 400)]
#[case("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400)]
#[tokio::test(start_paused = true)]
async fn r9_a_bad_request_line_ends_the_connection(#[case] request: &str, #[case] status: u16) {
    local(async {
        let (text, seen) = try_smuggling(request).await;
        assert_eq!(answers(&text), 1, "{text}");
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        assert!(seen.is_empty(), "{seen:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn r8_long_lines_and_many_fields_are_414_and_431() {
    local(async {
        for (request, status) in [
            (get(&format!("/{}", "x".repeat(9 << 10))), 414),
            (post("/", &format!("X: {}\r\n", "y".repeat(33 << 10)), ""), 431),
            (post("/", &"X: y\r\n".repeat(101), ""), 431),
        ] {
            let (text, seen) = try_smuggling(&request).await;
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
            assert_eq!(answers(&text), 1);
            assert!(seen.is_empty());
        }
    })
    .await;
}

#[rstest]
#[case::length("Content-Length: 41\r\n", "GET /hidden HTTP/1.1\r\nHost: b.example\r\n\r\n")]
#[case::chunked(
    "Transfer-Encoding: chunked\r\n",
    "29\r\nGET /hidden HTTP/1.1\r\nHost: b.example\r\n\r\n\r\n0\r\n\r\n"
)]
#[tokio::test(start_paused = true)]
async fn r9_a_body_is_never_a_request(#[case] fields: &str, #[case] body: &str) {
    local(async {
        for path in ["/", "/unread"] {
            let (text, seen) = try_smuggling(&post(path, fields, body)).await;
            assert!(seen[0].starts_with(&format!("POST {path}")), "{seen:?}");
            assert!(seen[1..].iter().all(|request| request == "GET /smuggled"), "{seen:?}");
            assert_eq!(answers(&text), seen.len(), "{text}");
        }
    })
    .await;
}

/// Requests with what has to be served for them.
fn request() -> impl Strategy<Value = (String, String)> {
    let body = "[a-z]{0,20}";
    prop_oneof![
        "[a-z]{1,8}".prop_map(|path| (get(&format!("/{path}")), format!("GET /{path}"))),
        body.prop_map(|body| {
            let fields = format!("Content-Length: {}\r\n", body.len());
            (post("/l", &fields, &body), format!("POST /l {body}").trim_end().to_owned())
        }),
        prop::collection::vec("[a-z]{1,9}", 0..4).prop_map(|pieces| {
            let chunks: String =
                pieces.iter().map(|piece| format!("{:x}\r\n{piece}\r\n", piece.len())).collect();
            let body = format!("{chunks}0\r\n\r\n");
            let served = format!("POST /c {}", pieces.concat());
            (post("/c", "Transfer-Encoding: chunked\r\n", &body), served.trim_end().to_owned())
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn r9_each_request_is_served_once_however_it_is_cut(
        requests in prop::collection::vec(request(), 1..6),
        cuts in prop::collection::vec(1usize..40, 0..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, async {
            let mut talk = Talk::new();
            let bytes: String = requests.iter().map(|(bytes, _)| bytes.as_str()).collect();
            let mut left = bytes.as_bytes();
            for cut in cuts {
                let (piece, rest) = left.split_at(cut.min(left.len()));
                talk.send(piece).await;
                sleep(Duration::from_millis(1)).await;
                left = rest;
            }
            talk.send(left).await;
            let text = talk.rest().await;
            assert_eq!(answers(&text), requests.len());
            let expected: Vec<_> = requests.into_iter().map(|(_, served)| served).collect();
            assert_eq!(talk.seen(), expected);
        });
    }
}
