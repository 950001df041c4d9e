//! Request bodies: continue, limits, timeouts, early answers.

use super::*;

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn bodies_arrive_whole_in_either_framing() {
    local(async {
        let mut talk = Talk::new();
        talk.ask(&post("/1", "Content-Length: 5\r\n", "hello")).await;
        let chunks = "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nChecksum: 1\r\n\r\n";
        talk.ask(&post("/2", "Transfer-Encoding: chunked\r\n", chunks)).await;
        for method in ["GET", "DELETE"] {
            talk.ask(&format!("{method} /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"))
                .await;
        }
        let expected = ["POST /1 hello", "POST /2 hello world +1", "GET /3 x", "DELETE /3 x"];
        assert_eq!(talk.seen(), expected);
        assert_eq!(talk.state.counters.received.value(), 18);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn continue_is_said_when_the_body_is_wanted() {
    local(async {
        let mut talk = Talk::new();
        let fields = "Content-Length: 5\r\nExpect: 100-continue\r\n";
        talk.send(post("/", fields, "")).await;
        assert_eq!(talk.until("\r\n\r\n").await, CONTINUE);
        talk.send("hello").await;
        assert!(talk.until("ok\n").await.starts_with("HTTP/1.1 200"));
        assert_eq!(talk.seen(), ["POST / hello"]);
        talk.ask(&get("/again")).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn continue_is_not_said_to_a_client_that_already_sends_or_has_no_body() {
    local(async {
        let mut talk = Talk::new();
        let expect = "Expect: 100-continue\r\n";
        talk.send(post("/1", &format!("Content-Length: 5\r\n{expect}"), "hello")).await;
        assert!(talk.until("ok\n").await.starts_with("HTTP/1.1 200"));
        talk.send(post("/2", expect, "")).await;
        assert!(talk.until("ok\n").await.starts_with("HTTP/1.1 200"));
        talk.send(format!("POST /3 HTTP/1.0\r\nContent-Length: 2\r\n{expect}\r\n")).await;
        talk.send("hi").await;
        assert!(talk.rest().await.starts_with("HTTP/1.1 200"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_body_replaces_continue_and_closes() {
    local(async {
        for path in ["/unread", "/unread-fails"] {
            let mut talk = Talk::new();
            let fields = "Content-Length: 5\r\nExpect: 100-continue\r\n";
            talk.send(post(path, fields, "")).await;
            let answer = talk.rest().await;
            assert_eq!(answers(&answer), 1, "{answer}");
            assert!(answer.contains("connection: close\r\n"), "{answer}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_short_rest_of_an_unread_body_is_read() {
    local(async {
        let mut talk = Talk::new();
        talk.ask(&post("/unread", "Content-Length: 1000\r\n", &"x".repeat(10))).await;
        talk.send("x".repeat(990) + &get("/next")).await;
        assert!(talk.until("ok\n").await.starts_with("HTTP/1.1 200"));
        assert_eq!(talk.seen(), ["POST /unread", "GET /next"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_long_unread_body_ends_the_connection_but_the_answer_arrives() {
    local(async {
        for framing in ["Content-Length: 900000\r\n", "Transfer-Encoding: chunked\r\n"] {
            let mut talk = Talk::new();
            talk.send(post("/unread", framing, "")).await;
            let answer = talk.until("ok\n").await;
            assert!(answer.contains("connection: close\r\n"), "{answer}");
            // What still comes is taken and not understood as a request.
            talk.send(get("/smuggled")).await;
            assert_eq!(talk.rest().await, "");
            assert_eq!(talk.seen(), ["POST /unread"]);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn r8_a_body_beyond_the_limit_is_413() {
    local(async {
        let limit = |settings: &mut Settings| settings.limits.request_body = 10;
        let mut declared = Talk::with(limit);
        declared.send(post("/", "Content-Length: 11\r\n", "")).await;
        let answer = declared.rest().await;
        assert!(answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert!(declared.seen().is_empty());

        let mut expected = Talk::with(limit);
        let fields = "Content-Length: 11\r\nExpect: 100-continue\r\n";
        expected.send(post("/", fields, "")).await;
        assert!(expected.rest().await.starts_with("HTTP/1.1 413"));

        let mut chunked = Talk::with(limit);
        let chunks = "6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n";
        chunked.send(post("/", "Transfer-Encoding: chunked\r\n", chunks)).await;
        assert!(chunked.rest().await.starts_with("HTTP/1.1 413"));
        assert!(chunked.seen().is_empty());
        assert_eq!(chunked.failures(Failure::BodyTooLarge), 1);

        let mut exact = Talk::with(limit);
        exact.ask(&post("/", "Content-Length: 10\r\n", "0123456789")).await;
        let mut unlimited = Talk::with(|settings| settings.limits.request_body = 0);
        unlimited.ask(&post("/", "Content-Length: 11\r\n", "hello world")).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn r8_a_body_that_stops_is_408() {
    local(async {
        for framing in ["Content-Length: 10\r\n", "Transfer-Encoding: chunked\r\n"] {
            let mut talk = Talk::new();
            let start = Instant::now();
            talk.send(post("/", framing, "5\r\nhe")).await;
            sleep(Duration::from_secs(50)).await;
            // The timeout is between two reads.
            talk.send("l").await;
            let answer = talk.rest().await;
            assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
            assert_eq!(start.elapsed().as_secs(), 110, "60 s after the last byte");
            assert!(talk.seen().is_empty());
            assert_eq!(talk.failures(Failure::BodyTimeout), 1);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_within_its_body_is_counted() {
    local(async {
        let mut talk = Talk::new();
        talk.send(post("/", "Content-Length: 10\r\n", "hello")).await;
        drop(talk.io);
        talk.server.await.unwrap();
        assert!(talk.seen.borrow().is_empty());
        assert_eq!(talk.state.counters.failures[Failure::ClientGone.index()].value(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_is_read_only_as_fast_as_it_is_wanted() {
    local(async {
        let mut talk = Talk::on(duplex(1024), |_| {});
        talk.send(post("/unread", "Content-Length: 900000\r\n", "")).await;
        // Nobody reads but the lingering close, which has an end.
        let sent = timeout(Duration::from_secs(1), talk.io.write_all(&[b'x'; 64])).await;
        assert!(sent.is_ok());
        assert!(talk.rest().await.starts_with("HTTP/1.1 200"));
    })
    .await;
}
