//! How answers look on the wire.

use super::*;

#[tokio::test(start_paused = true)]
async fn answers_have_length_date_and_server_and_the_connection_goes_on() {
    local(async {
        let mut talk = Talk::new();
        for n in 1..=3 {
            let answer = talk.ask(&get(&format!("/{n}"))).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            for field in ["content-length: 3\r\n", "server: genkan\r\n", "date: "] {
                assert_eq!(answer.matches(field).count(), 1, "{answer}");
            }
            assert!(!answer.contains("transfer-encoding") && !answer.contains("connection"));
        }
        assert_eq!(talk.seen(), ["GET /1", "GET /2", "GET /3"]);
        assert_eq!(talk.state.counters.answers[1].value(), 3);
        assert_eq!(talk.state.counters.sent.value(), 9);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order() {
    local(async {
        let mut talk = Talk::new();
        let post = post("/2", "Content-Length: 4\r\n", "body");
        talk.send(format!("{}{post}{}{}", get("/slow"), get("/no-content"), get("/4"))).await;
        let text = talk.rest().await;
        assert_eq!(answers(&text), 4);
        assert_eq!(talk.seen(), ["GET /slow", "POST /2 body", "GET /no-content", "GET /4"]);
        let statuses: Vec<_> =
            text.match_indices("HTTP/1.1 ").map(|(at, _)| &text[at + 9..at + 12]).collect();
        assert_eq!(statuses, ["200", "200", "204", "200"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn fields_of_the_connection_are_ours_and_server_and_date_theirs() {
    local(async {
        let mut talk = Talk::new();
        let answer = talk.ask(&get("/own-fields")).await;
        for theirs in ["x-other: kept\r\n", "server: theirs\r\n", "date: Thu, 01 Jan 1970"] {
            assert!(answer.contains(theirs), "{answer}");
        }
        for gone in ["connection", "keep-alive", "transfer-encoding", "upgrade", "genkan"] {
            assert!(!answer.contains(gone), "{gone} in {answer}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn head_204_and_304_have_no_body() {
    local(async {
        let mut talk = Talk::new();
        talk.send("HEAD /sized HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let head = talk.until("\r\n\r\n").await;
        assert!(head.contains("content-length: 77\r\n"), "{head}");
        talk.send(get("/no-content")).await;
        let no_content = talk.until("\r\n\r\n").await;
        assert!(no_content.starts_with("HTTP/1.1 204"), "{no_content}");
        assert!(!no_content.contains("content-length"), "{no_content}");
        talk.send(get("/not-modified")).await;
        let not_modified = talk.until("\r\n\r\n").await;
        assert!(not_modified.contains("content-length: 3\r\n"), "{not_modified}");
        talk.send("HEAD /fails HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let failed = talk.until("\r\n\r\n").await;
        assert!(failed.contains("404") && failed.contains("content-length: 14\r\n"), "{failed}");
        // Nothing of a body has come: the next answer begins at once.
        assert!(talk.ask(&get("/")).await.starts_with("HTTP/1.1 200"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_of_unknown_length_is_chunked_with_its_trailers() {
    local(async {
        let mut talk = Talk::new();
        talk.send(get("/stream")).await;
        let answer = talk.until("\r\n\r\n3\r\none\r\n").await;
        assert!(answer.contains("transfer-encoding: chunked\r\n"), "{answer}");
        assert!(!answer.contains("content-length"), "{answer}");
        let rest = talk.until("\r\n\r\n").await;
        assert_eq!(rest, "12\r\ntwotwotwotwotwotwo\r\n0\r\nchecksum: 1\r\n\r\n");
        talk.ask(&get("/")).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn http_1_0_gets_no_chunks() {
    local(async {
        let mut talk = Talk::new();
        talk.send("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        let answer = talk.rest().await;
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nonetwotwotwotwotwotwo"), "{answer}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn http_1_0_is_kept_alive_only_when_asked() {
    local(async {
        let mut talk = Talk::new();
        let kept = talk.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        assert!(kept.contains("connection: keep-alive\r\n"), "{kept}");
        talk.send("GET / HTTP/1.0\r\n\r\nGET /never HTTP/1.0\r\n\r\n").await;
        let closed = talk.rest().await;
        assert!(closed.contains("connection: close\r\n"), "{closed}");
        assert_eq!(talk.seen(), ["GET /", "GET /"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_large_body_arrives_whole_at_a_slow_client() {
    local(async {
        let mut talk = Talk::on(duplex(1000), |_| {});
        talk.send(get("/large")).await;
        let answer = talk.rest().await;
        assert!(answer.contains("content-length: 1048576\r\n"));
        assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), 1 << 20);
        assert_eq!(talk.state.counters.sent.value(), 1 << 20);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn our_own_answers_keep_the_connection_unless_the_framing_is_lost() {
    local(async {
        let mut talk = Talk::new();
        talk.send(get("/fails")).await;
        let answer = talk.until("404 Not Found\n").await;
        assert!(!answer.contains("connection: close"), "{answer}");
        talk.ask(&get("/")).await;
        assert_eq!(talk.failures(Failure::NoRoute), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn grpc_calls_get_our_failures_as_grpc_status() {
    local(async {
        let mut talk = Talk::new();
        talk.send(post("/fails", "Content-Type: application/grpc\r\n", "")).await;
        let answer = talk.until("\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("grpc-status: 12\r\n"), "{answer}");
    })
    .await;
}
