//! Connections to endpoints are kept, bounded, replaced, and never cost a request.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_serves_many_requests() {
    let (edge, backend) = edge_and_backend();
    let mut sender = client::http1(edge.http()).await;
    for _ in 0..20 {
        sender.ready().await.unwrap();
        client::read(sender.send_request(get(HOST, "/")).await.unwrap()).await.unwrap();
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_used_for_its_share_of_requests_only() {
    let edge = Edge::builder().config(|c| c.limits.upstream_requests = 5).start();
    let backend = Backend::http1("pod");
    edge.route(HOST, &backend);
    for _ in 0..20 {
        ask(edge.http(), get(HOST, "/")).await;
    }
    assert_eq!(backend.connections(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_idle_connections_than_allowed_are_kept() {
    let edge = Edge::builder().config(|c| c.limits.upstream_idle = 4).start();
    let backend = Backend::http1("pod");
    edge.route(HOST, &backend);
    backend.on("/slow", Answer::echo().with_delay(Duration::from_millis(200)));
    let asked: Vec<_> =
        (0..16).map(|_| tokio::spawn(ask(edge.http(), get(HOST, "/slow")))).collect();
    for got in asked {
        assert_eq!(got.await.unwrap().status, 200);
    }
    assert_eq!(backend.connections(), 16);
    eventually("the surplus is closed", || backend.open_connections() <= 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_are_closed_after_their_time() {
    let edge =
        Edge::builder().config(|c| c.timeouts.upstream_idle = Duration::from_millis(500)).start();
    let backend = Backend::http1("pod");
    edge.route(HOST, &backend);
    ask(edge.http(), get(HOST, "/")).await;
    assert_eq!(backend.open_connections(), 1);
    backend.wait_for_open_connections(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_died_idle_is_replaced() {
    let (edge, backend) = edge_and_backend();
    ask(edge.http(), get(HOST, "/")).await;
    let address = backend.address();
    drop(backend);
    let again = Backend::bind("pod", genkan::testing::backend::Protocol::Http1, address).unwrap();
    let post = Request::post("/").header("host", HOST).body(full("x")).unwrap();
    assert_eq!(ask(edge.http(), post).await.status, 200);
    assert_eq!(again.requests().len(), 1);
}

/// Serves one request per connection, then closes without an answer when the next one comes.
fn closing_late() -> (SocketAddr, Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = requests.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let counted = counted.clone();
            std::thread::spawn(move || {
                for number in 0..2 {
                    let mut head = Vec::new();
                    let mut byte = [0];
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read(&mut byte) {
                            Ok(1) => head.push(byte[0]),
                            _ => return,
                        }
                    }
                    counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    if number == 0 {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
                    }
                }
            });
        }
    });
    (address, requests)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_lost_on_a_stale_connection_is_sent_once_more_if_that_is_safe() {
    let edge = Edge::start();
    let (address, requests) = closing_late();
    edge.service("late", None, &[address]).ingress(HOST, "late", "");
    let seen = || requests.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(ask(edge.http(), get(HOST, "/")).await.status, 200);
    // On the kept connection it is lost, on the new one answered.
    assert_eq!(ask(edge.http(), get(HOST, "/again")).await.status, 200);
    assert_eq!(seen(), 3);
    let post = Request::post("/").header("host", HOST).body(full("")).unwrap();
    assert_eq!(ask(edge.http(), post).await.status, 502);
    assert_eq!(seen(), 4, "a POST is not repeated");
    assert_eq!(ask(edge.http(), get(HOST, "/")).await.status, 200);
    let put = Request::put("/").header("host", HOST).body(full("body")).unwrap();
    assert_eq!(ask(edge.http(), put).await.status, 502);
    assert_eq!(seen(), 6, "a request with a body is not repeated");
}
