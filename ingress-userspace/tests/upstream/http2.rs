//! Endpoints that are spoken to in HTTP/2, where many clients share a connection.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_endpoints_serve_many_requests_on_one_connection() {
    let (edge, backend) = (Edge::start(), Backend::h2c("grpc"));
    edge.service("grpc", Some("kubernetes.io/h2c"), &[backend.address()]).ingress(HOST, "grpc", "");
    backend.on("/slow", Answer::echo().with_delay(Duration::from_millis(100)));
    let asked: Vec<_> =
        (0..32).map(|_| tokio::spawn(ask(edge.http(), get(HOST, "/slow")))).collect();
    for got in asked {
        assert_eq!(got.await.unwrap().status, 200);
    }
    assert_eq!(backend.connections(), 1);
    let seen = backend.last_request();
    assert_eq!(seen.uri.authority().unwrap(), HOST);
    assert!(!seen.headers.contains_key("host"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http2_connection_that_ended_is_replaced() {
    let (edge, backend) = (Edge::start(), Backend::h2c("grpc"));
    edge.service("grpc", Some("kubernetes.io/h2c"), &[backend.address()]).ingress(HOST, "grpc", "");
    assert_eq!(ask(edge.http(), get(HOST, "/")).await.status, 200);
    let address = backend.address();
    drop(backend);
    let _again = Backend::bind("grpc", genkan::testing::backend::Protocol::H2c, address).unwrap();
    assert_eq!(ask(edge.http(), get(HOST, "/")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_endpoints_time_out_as_well() {
    let edge =
        Edge::builder().config(|c| c.timeouts.upstream_read = Duration::from_millis(100)).start();
    let backend = Backend::h2c("grpc");
    edge.service("grpc", Some("kubernetes.io/h2c"), &[backend.address()]).ingress(HOST, "grpc", "");
    backend.on("/slow", Answer::echo().with_delay(Duration::from_secs(30)));
    assert_eq!(ask(edge.http(), get(HOST, "/slow")).await.status, 504);
    backend.on("/stall", Answer::fault(Fault::StallAfter(10_000)));
    let mut sender = client::http1(edge.http()).await;
    if let Ok(response) = sender.send_request(get(HOST, "/stall")).await {
        assert!(client::read(response).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_do_not_read_leave_the_others_their_answers() {
    let (edge, backend) = (Edge::start(), Backend::h2c("grpc"));
    edge.service("grpc", Some("kubernetes.io/h2c"), &[backend.address()]).ingress(HOST, "grpc", "");
    backend.on("/big", Answer::size(64 << 20));
    let mut idle = Vec::new();
    for _ in 0..24 {
        let mut sender = client::http1(edge.http()).await;
        let response = sender.send_request(get(HOST, "/big")).await.unwrap();
        idle.push((sender, response));
    }
    // Their windows are full by now, or fill while we ask.
    for _ in 0..20 {
        let asked = tokio::time::timeout(client::PATIENCE, ask(edge.http(), get(HOST, "/")));
        assert_eq!(asked.await.expect("not stalled").status, 200);
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_wait_for_a_connection_give_up_in_time() {
    let edge = Edge::builder()
        .config(|c| c.timeouts.upstream_connect = Duration::from_millis(300))
        .start();
    // It takes connections and never says that it speaks HTTP/2 over TLS.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    edge.service("silent", None, &[silent.local_addr().unwrap()]);
    edge.apply(&format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: silent\n  \
         annotations: {{genkan.io/backend-protocol: GRPCS}}\nspec:\n  rules:\n  - host: {HOST}\n    \
         http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: \
         {{name: silent, port: {{number: 80}}}}}}}}]}}\n"
    ));
    let asked: Vec<_> = (0..20).map(|_| tokio::spawn(ask(edge.http(), get(HOST, "/")))).collect();
    for got in asked {
        let got = tokio::time::timeout(client::PATIENCE / 2, got).await.expect("in time");
        assert_eq!(got.unwrap().status, 504);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_on_which_a_request_ran_out_of_time_is_not_used_again() {
    let edge =
        Edge::builder().config(|c| c.timeouts.upstream_read = Duration::from_millis(200)).start();
    let backend = Backend::h2c("grpc");
    edge.service("grpc", Some("kubernetes.io/h2c"), &[backend.address()]).ingress(HOST, "grpc", "");
    backend.on("/slow", Answer::echo().with_delay(Duration::from_secs(30)));
    assert_eq!(ask(edge.http(), get(HOST, "/")).await.status, 200);
    assert_eq!(ask(edge.http(), get(HOST, "/slow")).await.status, 504);
    assert_eq!(backend.connections(), 1);
    assert_eq!(ask(edge.http(), get(HOST, "/")).await.status, 200);
    assert_eq!(backend.connections(), 2);
}
