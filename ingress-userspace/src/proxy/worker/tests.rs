use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::*;
use crate::config::{Config, PortProtocol, Timeouts};
use crate::net::listen::listen_direct;
use crate::net::load::LoadBoard;
use crate::proxy::Failure;
use crate::snapshot::Publisher;

const PATIENCE: Duration = Duration::from_secs(10);

struct Running {
    handle: WorkerHandle,
    address: SocketAddr,
    board: LoadBoard,
    runtime: Runtime,
}

impl Running {
    fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let opened = CancellationToken::new();
        opened.cancel();
        Self::gated(opened, change)
    }

    fn gated(opened: CancellationToken, change: impl FnOnce(&mut Settings)) -> Self {
        let listener = listen_direct("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut settings = Settings::from(&Config::default());
        settings.ports.insert(address, PortProtocol::Http);
        change(&mut settings);
        let board = LoadBoard::heap(1);
        let publisher = Publisher::new(1);
        let handle = spawn(WorkerParts {
            index: 0,
            cpu: None,
            listeners: vec![listener],
            opened,
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            snapshots: publisher.subscribe(0),
            load: board.slot(0),
            counters: Arc::default(),
            tls: tls::Acceptor::new(publisher.head()).unwrap(),
            upstream_tls: Arc::new(ClientTls::new(rustls::RootCertStore::empty())),
            access_log: None,
            filters: filter::Shared::default(),
        });
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { handle: handle.unwrap(), address, board, runtime }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn counters(&self) -> &Counters {
        self.handle.counters()
    }

    fn exited(&mut self) -> Exit {
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, self.handle.exited()).await })
            .unwrap()
    }
}

fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: nowhere.example\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n\r\n404 Not Found\n") {
        let mut piece = [0; 512];
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..n]);
    }
    String::from_utf8(answer).unwrap()
}

fn closed(stream: &mut TcpStream) -> bool {
    // A refused connection is closed or reset, depending on what it has sent.
    matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_))
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "{what}: not in time");
        std::thread::yield_now();
    }
}

#[test]
fn serves_connections_and_publishes_their_number() {
    let worker = Running::start(|_| {});
    let (mut first, mut second) = (worker.connect(), worker.connect());
    assert!(ask(&mut first).starts_with("HTTP/1.1 404 Not Found\r\n"));
    assert!(ask(&mut second).starts_with("HTTP/1.1 404"));
    assert!(ask(&mut first).starts_with("HTTP/1.1 404"));
    assert_eq!(worker.board.connections(), [2]);
    // Counted when the answer is out.
    eventually("the answers are counted", || worker.counters().answers[3].value() == 3);
    drop((first, second));
    eventually("connections end", || worker.board.connections() == [0]);
    assert_eq!(worker.counters().connections.value(), 2);
}

#[test]
fn connections_wait_until_the_worker_may_accept() {
    let opened = CancellationToken::new();
    let worker = Running::gated(opened.clone(), |_| {});
    let mut early = worker.connect();
    early.write_all(b"GET / HTTP/1.1\r\nHost: nowhere.example\r\n\r\n").unwrap();
    assert_eq!(worker.counters().connections.value(), 0);
    opened.cancel();
    let mut answer = [0; 12];
    early.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");
}

#[test]
fn a_connection_to_an_unknown_local_address_is_closed_and_counted() {
    let worker = Running::start(|settings| settings.ports.clear());
    assert!(closed(&mut worker.connect()));
    assert_eq!(worker.counters().unknown_destination.value(), 1);
    assert_eq!(worker.counters().connections.value(), 0);
}

#[test]
fn beyond_the_connection_limit_the_newest_is_refused() {
    let worker = Running::start(|settings| settings.limits.connections = 1);
    let mut first = worker.connect();
    ask(&mut first);
    assert!(closed(&mut worker.connect()));
    assert_eq!(worker.counters().failures[Failure::Overloaded.index()].value(), 1);
    ask(&mut first);
}

#[test]
fn a_drained_worker_ends_idle_connections_and_exits() {
    let mut worker = Running::start(|_| {});
    let mut idle = worker.connect();
    ask(&mut idle);
    worker.handle.drain();
    assert!(closed(&mut idle));
    assert_eq!(worker.exited(), Exit::Drained);
    assert!(TcpStream::connect(worker.address).is_err());
}

#[test]
fn a_request_that_runs_longer_than_the_drain_time_is_cut() {
    let mut worker = Running::start(|settings| {
        settings.timeouts = Timeouts { drain: Duration::ZERO, ..settings.timeouts };
    });
    let mut slow = worker.connect();
    slow.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    eventually("the connection opens", || worker.board.connections() == [1]);
    worker.handle.drain();
    assert_eq!(worker.exited(), Exit::Drained);
}

#[test]
fn a_panic_of_the_thread_is_reported() {
    let mut worker = Running::start(|_| {});
    worker.handle.inject_panic();
    assert_eq!(worker.exited(), Exit::Panicked);
    assert!(TcpStream::connect(worker.address).is_err());
}

#[test]
fn a_client_that_does_not_speak_tls_is_counted() {
    let worker = Running::start(|settings| {
        settings.ports.values_mut().for_each(|protocol| *protocol = PortProtocol::Https);
    });
    let mut client = worker.connect();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    eventually("the handshake fails", || worker.counters().handshake_failures.value() == 1);
}
