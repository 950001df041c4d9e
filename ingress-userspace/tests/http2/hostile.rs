//! Clients that use the protocol against us.

use super::*;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A connection with a stream window of this size, on which nothing else is said.
async fn with_window(
    site: &Site,
    window: u32,
) -> (h2::client::SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(window)
        .handshake(site.raw().await)
        .await
        .unwrap();
    (sender, tokio::spawn(connection))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_a_window_is_let_go_also_at_the_last_piece() {
    let site = Site::with(|c| c.timeouts.client_send = Duration::from_millis(400));
    site.backend.on("/piece", Answer::bytes("one piece"));
    for (host, path) in [(HOST, "/piece"), ("nobody.example", "/")] {
        let (mut sender, connection) = with_window(&site, 0).await;
        let uri = format!("https://{host}{path}");
        let ask = Request::get(uri).body(()).unwrap();
        let (answer, _) = sender.send_request(ask, true).unwrap();
        let answer = answer.await.unwrap();
        let ended = tokio::time::timeout(client::PATIENCE, connection).await;
        assert!(ended.is_ok(), "{host}{path}: the connection is closed");
        drop(answer);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_ignores_the_goodbye_gets_no_more_than_its_streams() {
    const REQUESTS: usize = 5;
    const STREAMS: usize = 10;
    let site = Site::with(|c| {
        c.limits.keep_alive_requests = REQUESTS as u64;
        c.limits.http2_streams = STREAMS as u32;
    });
    let mut stream = site.raw().await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    // It answers no PING and looks at no GOAWAY, and asks one request after the other.
    let mut asked = 0u32;
    let ended = async {
        let (mut read, mut write) = tokio::io::split(stream);
        let reading = async move {
            let mut sink = [0; 4096];
            while read.read(&mut sink).await.is_ok_and(|count| count > 0) {}
        };
        let asking = async {
            let mut block = vec![0x82, 0x87, 0x84, 0x41, u8::try_from(HOST.len()).unwrap()];
            block.extend_from_slice(HOST.as_bytes());
            loop {
                let length = u8::try_from(block.len()).unwrap();
                let id = (2 * asked + 1).to_be_bytes();
                let mut frame = vec![0, 0, length, 1, 5];
                frame.extend_from_slice(&id);
                frame.extend_from_slice(&block);
                if write.write_all(&frame).await.is_err() {
                    break;
                }
                asked += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::join!(reading, asking);
    };
    tokio::time::timeout(client::PATIENCE, ended).await.expect("the connection is closed");
    let served = site.backend.requests().len();
    // The connection looks after each turn, in which it takes what waits in the socket, at most as
    // many as may be open at a time: once up to the limit, then what may have been on its way, then
    // what was one too many.
    let most = (REQUESTS - 1 + STREAMS) + STREAMS + STREAMS;
    assert!((REQUESTS..=most).contains(&served), "{served} requests were served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_cannot_say_who_the_client_is() {
    let site = Site::towards(Backend::h2c("pod"), Some("kubernetes.io/h2c"), |_| {});
    let post = |fields: &[(&'static str, &'static str)]| {
        let trailers = fields.iter().map(|&(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
        });
        let frames = [Frame::data(Bytes::from("data")), Frame::trailers(trailers.collect())];
        let frames = futures_util::stream::iter(frames.map(Ok::<_, std::io::Error>));
        let body: Body = BodyExt::boxed(StreamBody::new(frames));
        request(Method::POST, "/t").header("te", "trailers").body(body).unwrap()
    };
    let forged = [("x-sum", "7"), ("x-forwarded-for", "10.0.0.1"), ("x-real-ip", "10.0.0.1")];
    assert_eq!(site.ask(post(&forged)).await.status, 200);
    let trailers = site.backend.last_request().trailers.unwrap();
    assert_eq!(trailers.len(), 1);
    assert_eq!(trailers["x-sum"], "7");
    assert_eq!(site.ask(post(&[("host", "b.example")])).await.status, 400);
}

#[tokio::test]
async fn cookies_of_a_browser_are_one_field() {
    let site = Site::with(|c| c.limits.request_header_count = 20);
    let mut ask = request(Method::GET, "/");
    for number in 0..40 {
        ask = ask.header("cookie", format!("c{number}=1"));
    }
    assert_eq!(site.ask(ask.body(full("")).unwrap()).await.status, 200);
    let seen = site.backend.last_request();
    assert_eq!(seen.headers.get_all("cookie").iter().count(), 1);
}

#[tokio::test]
async fn our_own_answer_to_head_has_no_body() {
    let site = Site::new();
    let (mut sender, connection) = h2::client::handshake(site.raw().await).await.unwrap();
    let connection = tokio::spawn(connection);
    let head = Request::head("https://nobody.example/").body(()).unwrap();
    let answer = sender.send_request(head, true).unwrap().0.await.unwrap();
    assert_eq!(answer.status(), 404);
    assert!(answer.headers().contains_key("content-length"));
    assert!(answer.body().is_end_stream());
    connection.abort();
}

#[tokio::test]
async fn connect_of_a_grpc_client_opens_no_tunnel() {
    let site = Site::new();
    let connect = Request::connect("a.example:443").header("content-type", "application/grpc");
    assert_eq!(site.ask(connect.body(full("")).unwrap()).await.status, 501);
}
