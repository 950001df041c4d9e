use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::SystemTime;

use bytes::Bytes;
use http::{Method, StatusCode};
use tempfile::TempDir;

use super::client::{Client, ClientError};
use super::status::{Page, Problem, Readiness, Status, Traffic, VipTraffic, Worker};
use super::*;
use crate::config::Config;
use crate::config::admin::AdminSocket;
use crate::model::{self, Kind, ObjectRef, Origin, Reason};
use crate::routing::fixture::{ingress, ready_service, upserts};
use crate::routing::{Compiler, Settings};
use crate::testing::deadline::eventually;
use crate::testing::openmetrics;

const DEADLINE: Duration = Duration::from_secs(30);

/// An administration without a process around it.
struct Site {
    admin: Option<Admin>,
    control: Option<JoinHandle<()>>,
    directory: TempDir,
    listen: Option<std::net::SocketAddr>,
}

struct Plain(Arc<Snapshot>);

impl Node for Plain {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.0.clone()
    }

    fn workers(&self) -> Vec<Worker> {
        vec![Worker {
            index: 0,
            cpu: 0,
            pinned: true,
            connections: 1,
            accepted: 2,
            requests: 3,
            served: 1,
            silent: 0.1,
            panics: 0,
            replaced: 0,
        }]
    }

    fn traffic(&self) -> Traffic {
        Traffic { requests: 3, ..Traffic::default() }
    }

    fn vips(&self) -> BTreeMap<Arc<str>, VipTraffic> {
        let answers = [("2xx".into(), 2), ("4xx".into(), 1)].into();
        let traffic = VipTraffic { requests: 3, answers, ..VipTraffic::default() };
        [("edge".into(), traffic)].into()
    }

    fn unrouted(&self) -> Sum {
        Sum { statuses: vec![(404, 3)], ..Sum::default() }
    }

    fn metrics(&self, out: &mut Exposition) {
        out.gauge("genkan_worker_connections", "Of a worker.").number(&[("worker", "0")], 1);
    }
}

// === impl Site ===

impl Site {
    /// A control side that answers, or one that never does.
    fn start(patience: Duration, answers: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listen = free_address();
        let config = AdminConfig {
            socket: AdminSocket::At(directory.path().join("admin.sock")),
            group: None,
            listen: Some(listen),
        };
        let (admin, asks) = Admin::start_with(&config, patience).unwrap();
        let control = Some(control_side(asks, answers));
        Self { admin: Some(admin), control, directory, listen: Some(listen) }
    }

    fn serving() -> Self {
        let site = Self::start(DEADLINE, true);
        site.show(100);
        site
    }

    /// The process serves this many hosts.
    fn show(&self, hosts: usize) {
        let mut compiler = Compiler::new(Settings::default());
        let ingresses = (0..hosts).map(|host| {
            let name = format!("h{host:05}.example");
            ingress(&format!("i{host:05}")).prefix(&name, "/", "s:80").object()
        });
        let objects = ready_service("s", "10.0.0.1").into_iter().chain(ingresses);
        let snapshot = compiler.apply(upserts(objects), 0).snapshot;
        if hosts > 1_000 {
            let mut number = 0;
            snapshot.each_route(|_, route| {
                number += 1;
                if number % 5 == 0 {
                    route.tally.of(0, 1).answered(200);
                    route.tally.of(0, 1).duration.observe(Duration::from_millis(1));
                }
            });
        }
        self.admin.as_ref().unwrap().show(Plain(Arc::new(snapshot)));
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("admin.sock")
    }

    fn client(&self) -> Client {
        Client::new(&self.socket(), DEADLINE)
    }

    /// One exchange over TCP, with the head as given; the status line.
    fn by_address(&self, head: &str) -> String {
        let mut stream = connect(self.listen.unwrap());
        write!(stream, "{head}\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.lines().next().unwrap_or_default().to_owned()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.admin.take());
        self.control.take().unwrap().join().unwrap();
    }
}

/// Runs until the administration ends.
fn control_side(asks: Asks, answers: bool) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut receiver = asks.receiver.unwrap();
        let mut unanswered = Vec::new();
        while let Some(ask) = receiver.blocking_recv() {
            match ask {
                Ask::View(answer) if answers => drop(answer.send(view())),
                Ask::Drain(answer) if answers => drop(answer.send(())),
                other => unanswered.push(other),
            }
        }
    })
}

fn view() -> View {
    let problem = model::Problem {
        object: Some(ObjectRef::new(Kind::Ingress, "shop", "cart")),
        origin: Origin::File { path: Arc::new("a.yaml".into()), line: 7 },
        field: "spec.rules[0].host".to_owned(),
        reason: Reason::InvalidObject,
        rule: None,
        message: "no host".to_owned(),
    };
    let configured = Configured {
        file: "genkan.yaml".to_owned(),
        taken: SystemTime::UNIX_EPOCH,
        reloads: 1,
        reloads_failed: 0,
        errors: Vec::new(),
        published: SystemTime::UNIX_EPOCH,
    };
    View {
        config: Arc::new(Config::default()),
        configured,
        problems: Arc::new([problem]),
        draining: false,
        running: vec![true],
        workers_apart: false,
        interfaces: Vec::new(),
        vips: Vec::new(),
        events: 0,
        kernel_error: None,
        source: None,
    }
}

fn free_address() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The address is bound when the thread gets to it.
fn connect(address: std::net::SocketAddr) -> TcpStream {
    let deadline = std::time::Instant::now() + DEADLINE;
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return stream,
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
        }
        std::thread::yield_now();
    }
}

/// What the page asks for once a second.
#[test]
fn the_numbers_of_a_screen_cost_the_bytes_of_a_screen_whatever_the_number_of_routes() {
    let site = Site::start(DEADLINE, true);
    site.show(10_000);
    let ids: Vec<String> = (4_000..4_060)
        .map(|host| format!("route=default%2Fi{host:05}%2Frules%5B0%5D.paths%5B0%5D"))
        .collect();
    let answer = |target: &str| site.client().get(target).unwrap().or_refused().unwrap().body;
    let asked = answer(&format!("/status?lists=routes&{}", ids.join("&")));
    let status: Status = serde_json::from_slice(&asked).unwrap();
    let routes = status.routes.unwrap();
    assert_eq!((routes.total, routes.items.len()), (60, 60));
    assert_eq!(routes.items[0].host.as_deref(), Some("h04000.example"));
    let all = answer("/status?lists=routes");
    println!("{} bytes for 60 routes, {} for a thousand", asked.len(), all.len());
    assert!(asked.len() < 64 << 10, "{}", asked.len());
}

fn status_of(answer: Result<super::client::Answer, ClientError>) -> StatusCode {
    answer.unwrap().status
}

#[test]
fn process_that_starts_is_alive_but_not_ready() {
    let site = Site::start(DEADLINE, true);
    let client = site.client();
    assert_eq!(status_of(client.get("/livez")), StatusCode::OK);
    let ready = client.get("/readyz").unwrap();
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(ready.text().contains("starting"), "{}", ready.text());
    for target in ["/status", "/problems", "/config_dump"] {
        assert_eq!(status_of(client.get(target)), StatusCode::SERVICE_UNAVAILABLE, "{target}");
    }
    site.show(1);
    assert_eq!(status_of(client.get("/readyz")), StatusCode::OK);
    let readiness: Readiness = client.document("/readyz?output=json").unwrap();
    assert!(readiness.ready && readiness.conditions.len() > 4, "{readiness:?}");
}

#[test]
fn status_reads_back_and_its_lists_come_in_pages() {
    let site = Site::serving();
    let client = site.client();
    let status: Status = client.document("/status").unwrap();
    assert_eq!((status.workers.len(), status.traffic.requests), (1, 3));
    assert_eq!(status.configuration.hosts, 100);
    assert_eq!(status.routes.unwrap().items.len(), 100);
    assert_eq!(status.clusters.unwrap().items[0].name, "default/s:80");

    let target = "/status?lists=routes&offset=98&limit=10";
    let status: Status = client.document(target).unwrap();
    assert!(status.clusters.is_none() && status.problems.is_none());
    let routes = status.routes.unwrap();
    let hosts: Vec<_> = routes.items.iter().filter_map(|route| route.host.as_deref()).collect();
    assert_eq!((routes.total, hosts), (100, vec!["h00098.example", "h00099.example"]));

    let status: Status = client.document("/status?host=h00007.example").unwrap();
    assert_eq!(status.routes.unwrap().items[0].ingress, "i00007");
    let problems: Page<Problem> = client.document("/problems").unwrap();
    assert_eq!(
        (problems.items[0].line, problems.items[0].reason.as_ref()),
        (Some(7), "InvalidObject")
    );
    let none: Page<Problem> = client.document("/problems?namespace=other").unwrap();
    assert_eq!(none.total, 0);
    assert_eq!(status_of(client.get("/status?lists=pods")), StatusCode::BAD_REQUEST);
}

#[test]
fn scrape_is_valid_in_both_forms() {
    let site = Site::serving();
    let plain = site.client().get("/metrics").unwrap().or_refused().unwrap().text();
    assert!(plain.contains("# TYPE genkan_requests_total counter\n"), "{plain}");

    let mut stream = connect(site.listen.unwrap());
    let head = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
    let families = openmetrics::parse(body).unwrap();
    assert_eq!(families.sum("genkan_requests_total", &[("status", "404"), ("route", "")]), 3.0);
    assert_eq!(families.sum("genkan_problems", &[("reason", "InvalidObject")]), 1.0);
    assert_eq!(families.sum("genkan_ready", &[]), 1.0);
    assert!(families.sum("process_resident_memory_bytes", &[]) > 0.0);
}

#[test]
fn many_hosts_come_in_pages_and_their_series_as_detailed_as_asked_for() {
    let site = Site::start(DEADLINE, true);
    site.show(10_000);
    let client = site.client();
    let status: Status = client.document("/status").unwrap();
    let routes = status.routes.unwrap();
    assert_eq!((routes.total, routes.items.len()), (10_000, 1_000));
    assert_eq!(status.problems.unwrap().total, 1);
    let scrape = |by: &str| {
        let text = client.get(&format!("/metrics?form=openmetrics&by={by}")).unwrap();
        let text = text.or_refused().unwrap().text();
        (openmetrics::parse(&text).unwrap(), text.len())
    };
    // One request to every fifth host.
    let (full, size) = scrape("route");
    assert_eq!(full.sum("genkan_requests_total", &[("status", "200")]), 2_000.0);
    assert_eq!(full.samples("genkan_requests_total").count(), 2_001);
    println!("a scrape of 2,000 busy Ingresses has {size} bytes");
    for (by, series) in [("ingress", 2_001), ("namespace", 2), ("nothing", 2)] {
        let (less, _) = scrape(by);
        assert_eq!(less.sum("genkan_requests_total", &[]), 2_003.0, "{by}");
        assert_eq!(less.samples("genkan_requests_total").count(), series, "{by}");
    }
    assert_eq!(status_of(client.get("/metrics?by=host")), StatusCode::BAD_REQUEST);
}

#[test]
fn stuck_clients_keep_nobody_out() {
    let site = Site::serving();
    let stuck: Vec<UnixStream> = (0..40)
        .map(|_| {
            let mut stream = UnixStream::connect(site.socket()).unwrap();
            stream.write_all(b"GET /status HTTP/1.1\r\nhost: x\r\n").unwrap();
            stream
        })
        .collect();
    for _ in 0..5 {
        assert_eq!(status_of(site.client().get("/readyz")), StatusCode::OK);
    }
    drop(stuck);
}

#[test]
fn control_side_that_does_not_answer_delays_no_answer_for_long() {
    let site = Site::start(Duration::from_millis(50), false);
    site.show(1);
    let client = site.client();
    // It still serves.
    let ready = client.get("/readyz").unwrap();
    assert_eq!(ready.status, StatusCode::OK);
    assert!(ready.text().contains("[~] control"), "{}", ready.text());
    assert_eq!(status_of(client.get("/livez")), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(status_of(client.get("/status")), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        status_of(client.ask(Method::POST, "/drain", Bytes::new())),
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[test]
fn tcp_only_reads_and_only_for_local_names() {
    let site = Site::serving();
    for (head, status) in [
        ("GET /livez HTTP/1.1\r\nHost: 127.0.0.1:9000", "200"),
        ("GET /livez HTTP/1.1\r\nHost: localhost:9000", "200"),
        ("HEAD /version HTTP/1.1\r\nHost: [::1]:9000", "200"),
        ("GET /status HTTP/1.1\r\nHost: evil.example", "403"),
        ("POST /drain HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0", "403"),
        ("PUT /log HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0", "403"),
    ] {
        let line = site.by_address(head);
        assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {line}");
    }
}

#[test]
fn wrong_questions_get_an_explanation() {
    let site = Site::serving();
    let client = site.client();
    assert_eq!(status_of(client.get("/nothing")), StatusCode::NOT_FOUND);
    assert_eq!(status_of(client.get("/drain")), StatusCode::METHOD_NOT_ALLOWED);
    let body = Bytes::from_static(b"{\"filter\": 7}");
    assert_eq!(status_of(client.ask(Method::PUT, "/log", body)), StatusCode::BAD_REQUEST);
    let gone = Client::new(Path::new("/nonexistent/admin.sock"), DEADLINE).get("/livez");
    assert!(gone.unwrap_err().to_string().contains("admin.socket"), "the reason names the setting");
}

#[test]
fn a_browser_gets_a_page_that_may_load_nothing_and_can_be_searched() {
    let site = Site::serving();
    let mut stream = connect(site.listen.unwrap());
    write!(
        stream,
        "GET /?host=h00003.example&namespace= HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: \
         text/html\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    assert!(
        text.contains("content-security-policy: default-src 'none'; style-src 'self';"),
        "{text}"
    );
    assert!(text.contains("<td>h00003.example</td>") && !text.contains("h00004"), "{text}");
    let style = site.client().get("/page.css").unwrap();
    assert!(style.text().starts_with("body {"));
    let script = site.client().get("/page.js").unwrap();
    assert!(script.text().contains("\"use strict\";"));
}

#[test]
fn address_is_free_for_a_successor_while_the_socket_answers_on() {
    let site = Site::serving();
    let address = site.listen.unwrap();
    let mut kept = connect(address);
    kept.write_all(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_ne!(kept.read(&mut [0; 4096]).unwrap(), 0);
    site.admin.as_ref().unwrap().leave_address();
    eventually("the address is free", || std::net::TcpListener::bind(address).is_ok());
    let mut rest = Vec::new();
    kept.read_to_end(&mut rest).unwrap();
    assert!(site.client().get("/version").unwrap().status.is_success());
}
