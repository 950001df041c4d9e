//! How connections end: timeouts, limits, drain, clients that leave, upstreams that break.

use super::*;

#[tokio::test(start_paused = true)]
async fn r8_a_head_that_stops_is_408_and_silence_is_closed_silently() {
    local(async {
        let start = Instant::now();
        let mut begun = Talk::new();
        begun.send("GET / HT").await;
        let answer = begun.rest().await;
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert_eq!(start.elapsed().as_secs(), 60);
        assert_eq!(begun.failures(Failure::HeaderTimeout), 1);

        let start = Instant::now();
        let mut silent = Talk::new();
        assert_eq!(silent.rest().await, "");
        assert_eq!(start.elapsed().as_secs(), 60);
        assert_eq!(silent.failures(Failure::HeaderTimeout), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn r8_a_head_that_drips_has_the_same_time() {
    local(async {
        let start = Instant::now();
        let mut talk = Talk::new();
        for byte in get("/").as_bytes().iter().take(13) {
            talk.send([*byte]).await;
            sleep(Duration::from_secs(5)).await;
        }
        assert!(talk.rest().await.starts_with("HTTP/1.1 408"));
        assert!(start.elapsed().as_secs() <= 67);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_the_keep_alive_time() {
    local(async {
        let mut talk = Talk::new();
        talk.ask(&get("/")).await;
        sleep(Duration::from_secs(74)).await;
        talk.ask(&get("/")).await;
        let start = Instant::now();
        assert_eq!(talk.rest().await, "");
        assert_eq!(start.elapsed().as_secs(), 75);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_line_too_much_after_a_body_begins_no_request() {
    local(async {
        let mut talk = Talk::new();
        talk.send(post("/", "Content-Length: 2\r\n", "hi\r\n")).await;
        talk.until("ok\n").await;
        sleep(Duration::from_secs(70)).await;
        // Alone, in two pieces, and before the next request.
        for empty in ["\r\n", "\r", "\n"] {
            talk.send(empty).await;
            sleep(Duration::from_millis(1)).await;
        }
        talk.ask(&format!("\r\n{}", get("/"))).await;
        let start = Instant::now();
        talk.send("\r\n").await;
        assert_eq!(talk.rest().await, "", "silence is closed silently");
        assert_eq!(start.elapsed().as_secs(), 75);
        assert_eq!(talk.failures(Failure::HeaderTimeout), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_line_too_much_does_not_keep_a_draining_connection() {
    local(async {
        let mut talk = Talk::new();
        talk.send(post("/slow", "Content-Length: 2\r\n", "hi\r\n")).await;
        sleep(Duration::from_secs(1)).await;
        talk.state.context.drain.cancel();
        let rest = talk.rest().await;
        assert!(rest.contains("connection: close\r\n"), "{rest}");
        assert_eq!(answers(&rest), 1, "{rest}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_last_request_of_a_connection_says_close() {
    local(async {
        let mut talk = Talk::with(|settings| settings.limits.keep_alive_requests = 2);
        assert!(!talk.ask(&get("/")).await.contains("connection: close"));
        talk.send(get("/") + &get("/never")).await;
        assert!(talk.rest().await.contains("connection: close\r\n"));
        assert_eq!(talk.seen(), ["GET /", "GET /"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn drain_finishes_the_request_and_ends_idle_connections() {
    local(async {
        let mut running = Talk::new();
        running.send(get("/slow")).await;
        let mut idle = Talk::new();
        idle.ask(&get("/")).await;
        sleep(Duration::from_secs(1)).await;
        running.state.context.drain.cancel();
        idle.state.context.drain.cancel();
        idle.state.context.farewell.cancel();
        let start = Instant::now();
        assert_eq!(idle.rest().await, "");
        assert_eq!(start.elapsed(), Duration::ZERO);
        let answer = running.rest().await;
        assert!(answer.contains("connection: close\r\n") && answer.ends_with("ok\n"), "{answer}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn drain_answers_what_was_pipelined_and_says_close_at_last() {
    local(async {
        let mut talk = Talk::new();
        talk.send(get("/slow") + &get("/one") + &get("/two")).await;
        sleep(Duration::from_millis(1)).await;
        talk.state.context.drain.cancel();
        let answers = talk.rest().await;
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
        assert_eq!(answers.matches("connection: close\r\n").count(), 1, "{answers}");
        assert_eq!(talk.seen(), ["GET /slow", "GET /one", "GET /two"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_told_by_its_last_answer_while_there_is_time() {
    local(async {
        let mut talk = Talk::new();
        talk.ask(&get("/")).await;
        talk.state.context.drain.cancel();
        sleep(Duration::from_secs(5)).await;
        talk.send(get("/")).await;
        assert!(talk.rest().await.contains("connection: close\r\n"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn drain_still_serves_a_client_that_has_just_connected() {
    local(async {
        let mut talk = Talk::new();
        talk.state.context.drain.cancel();
        sleep(Duration::from_millis(10)).await;
        talk.send(get("/")).await;
        assert!(talk.rest().await.ends_with("ok\n"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_is_dropped_when_its_client_leaves() {
    local(async {
        let mut talk = Talk::new();
        talk.send(get("/slow")).await;
        sleep(Duration::from_secs(1)).await;
        let start = Instant::now();
        drop(talk.io);
        talk.server.await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(talk.state.counters.failures[Failure::ClientGone.index()].value(), 1);
        assert_eq!(talk.state.counters.answers[3].value(), 1, "499");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_endless_answer_ends_when_its_client_leaves() {
    local(async {
        let mut talk = Talk::new();
        talk.send(get("/endless")).await;
        talk.until("one\r\n").await;
        let start = Instant::now();
        drop(talk.io);
        talk.server.await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(talk.state.counters.failures[Failure::ClientGone.index()].value(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_given_up() {
    local(async {
        let mut talk = Talk::on(duplex(1000), |_| {});
        talk.send(get("/large")).await;
        let start = Instant::now();
        (&mut talk.server).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 60);
        assert_eq!(talk.failures(Failure::ClientGone), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_before_its_first_byte_is_502() {
    local(async {
        let mut talk = Talk::new();
        // The second body is shorter than its length.
        for path in ["/breaks-at-once", "/sized"] {
            talk.send(get(path)).await;
            let answer = talk.until("502 Bad Gateway\n").await;
            assert_eq!(answers(&answer), 1, "{answer}");
            talk.ask(&get("/")).await;
        }
        assert_eq!(talk.failures(Failure::UpstreamClosed), 2);
        assert_eq!(talk.state.counters.answers[4].value(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_later_never_looks_complete() {
    local(async {
        let mut chunked = Talk::new();
        chunked.send(get("/breaks")).await;
        let answer = chunked.rest().await;
        assert!(answer.ends_with("\r\n\r\n3\r\none\r\n"), "{answer}");
        assert_eq!(chunked.failures(Failure::UpstreamClosed), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_half_read_request_of_a_client_that_leaves_is_no_request() {
    local(async {
        let mut talk = Talk::new();
        talk.send("GET / HTTP/1.1\r\nHos").await;
        drop(talk.io);
        talk.server.await.unwrap();
        assert!(talk.seen.borrow().is_empty());
    })
    .await;
}
