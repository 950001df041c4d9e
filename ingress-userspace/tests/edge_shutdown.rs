//! What the signals do: everything that a client has begun is finished, nothing new is begun.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use genkan::testing::backend::Answer;
use genkan::testing::deadline::{DEADLINE, eventually};
use genkan::testing::lab::EdgeLab;
use genkan::testing::story::{Connect, Ingress, Load, Request, Session, Story, any_certificate};
use genkan::testing::{require_root, require_tool};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nix::sys::signal::Signal;

const HTTP: SocketAddr = SocketAddr::new(EdgeLab::VIP4, 80);

fn story() -> Option<Load> {
    let mut load = require_root().then(|| Load::new(env!("CARGO_BIN_EXE_genkan"), 1))?;
    load.story.backends[0]
        .on("/slow", Answer::size(256 << 10).with_pace(Duration::from_millis(50)))
        .on("/late", Answer::bytes("late").with_delay(Duration::from_secs(1)));
    load.story.start();
    Some(load)
}

fn connect(story: &Story) -> TcpStream {
    let stream = story.lab.client.run(|| TcpStream::connect_timeout(&HTTP, DEADLINE)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", Load::HOST);
    stream.write_all(request.as_bytes()).unwrap();
}

fn to_the_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn wait_for_request(load: &Load, path: &str) {
    eventually("the pod has the request", || {
        load.story.backends[0].requests().iter().any(|request| request.uri.path() == path)
    });
}

/// SIGTERM, and the log line that follows.
fn stop(load: &mut Load) {
    load.story.process().signal(Signal::SIGTERM);
    load.story.wait_for_log("draining");
}

fn assert_ended_well(load: &mut Load) {
    let status = load.story.process().wait(DEADLINE);
    assert_eq!(status.code(), Some(0), "{}", load.story.log());
}

#[test]
fn sigterm_finishes_requests_and_closes_what_is_idle() {
    let Some(mut load) = story() else { return };
    let mut idle = Session::open(&load.story.lab.client, cpu(), HTTP).unwrap();
    assert_eq!(idle.get(Load::HOST, "/").unwrap(), 200);
    let mut busy = connect(&load.story);
    ask(&mut busy, "/late");
    wait_for_request(&load, "/late");
    stop(&mut load);
    // A request that was faster than the signal is answered.
    let gone = std::iter::repeat_with(|| idle.get(Load::HOST, "/")).find_map(Result::err).unwrap();
    assert!(!matches!(gone.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock), "{gone}");
    let answer = to_the_end(&mut busy);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("late"), "{answer}");
    assert_ended_well(&mut load);
    let log = load.story.log();
    assert!(!log.contains("cut at the end"), "{log}");
}

fn cpu() -> u32 {
    genkan::net::cpu::allowed().unwrap()[0]
}

#[test]
fn what_a_client_has_pipelined_is_answered() {
    let Some(mut load) = story() else { return };
    let mut client = connect(&load.story);
    for path in ["/late", "/one", "/two"] {
        ask(&mut client, path);
    }
    wait_for_request(&load, "/late");
    stop(&mut load);
    let answers = to_the_end(&mut client);
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 3, "{answers}");
    assert_eq!(answers.matches("connection: close\r\n").count(), 1, "{answers}");
    let last = answers.rfind("HTTP/1.1 200 ").unwrap();
    assert!(answers[last..].contains("connection: close\r\n"), "{answers}");
    assert_ended_well(&mut load);
}

#[test]
fn connections_that_wait_to_be_accepted_are_served() {
    let Some(mut load) = story() else { return };
    // Stopped, it accepts nothing: the kernel completes the handshakes.
    load.story.process().signal(Signal::SIGSTOP);
    let mut waiting: Vec<TcpStream> = (0..10).map(|_| connect(&load.story)).collect();
    for client in &mut waiting {
        ask(client, "/");
    }
    load.story.process().signal(Signal::SIGTERM);
    load.story.process().signal(Signal::SIGCONT);
    for client in &mut waiting {
        let answer = to_the_end(client);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert_ended_well(&mut load);
}

#[test]
fn handshakes_in_flight_are_completed() {
    if !require_tool("nft") {
        return;
    }
    const WINDOW: Duration = Duration::from_millis(800);
    let Some(mut load) = story() else { return };
    let client = load.story.lab.client.clone();
    loop {
        client.output(
            "nft",
            &["table inet hold { chain out { type filter hook output priority 0; \
               tcp dport 80 tcp flags & (syn | ack) == ack drop; }; }"],
        );
        let mut waiting: Vec<TcpStream> = (0..5).map(|_| connect(&load.story)).collect();
        let begun = Instant::now();
        load.story.process().signal(Signal::SIGTERM);
        client.output("nft", &["delete table inet hold"]);
        for client in &mut waiting {
            ask(client, "/");
        }
        // A machine that was busy elsewhere has missed the moment.
        if begun.elapsed() < WINDOW {
            for client in &mut waiting {
                let answer = to_the_end(client);
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            }
            break;
        }
        load.story.process().wait(DEADLINE);
        load.story.start();
    }
    assert_ended_well(&mut load);
}

#[test]
fn tls_handshakes_in_flight_are_completed() {
    let Some(mut load) = story() else { return };
    let https = SocketAddr::new(EdgeLab::VIP4, 443);
    let mut stream =
        load.story.lab.client.run(|| TcpStream::connect_timeout(&https, DEADLINE)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let name = rustls::pki_types::ServerName::try_from(Load::HOST).unwrap();
    let mut tls = rustls::ClientConnection::new(any_certificate(&["http/1.1"]), name).unwrap();
    // The first bytes of the ClientHello, the rest when the drain has begun.
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).unwrap();
    stream.write_all(&hello[..10]).unwrap();
    // The worker has the connection when it has answered one that came after it.
    load.story.get(EdgeLab::VIP4, Load::HOST, "/");
    stop(&mut load);
    stream.write_all(&hello[10..]).unwrap();
    let mut stream = rustls::Stream::new(&mut tls, &mut stream);
    write!(stream, "GET / HTTP/1.1\r\nHost: {}\r\n\r\n", Load::HOST).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert_ended_well(&mut load);
}

#[test]
fn http2_is_told_to_go_away_and_finishes_its_streams() {
    let Some(mut load) = story() else { return };
    let client = load.story.lab.client.clone();
    let trust = load.ca.client_config(&["h2"]);
    let (told, tell) = std::sync::mpsc::channel();
    let (stopped, stop_now) = tokio::sync::oneshot::channel();
    let talking = std::thread::spawn(move || {
        client.enter();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let tcp = tokio::net::TcpStream::connect((EdgeLab::VIP4, 443)).await.unwrap();
            let name = Load::HOST.try_into().unwrap();
            let tls = tokio_rustls::TlsConnector::from(trust).connect(name, tcp).await.unwrap();
            let (sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
                    .await
                    .unwrap();
            let connection = tokio::spawn(connection);
            let get = |path: &str| {
                let uri = format!("https://{}{path}", Load::HOST);
                let request = http::Request::get(uri).body(Empty::<bytes::Bytes>::new()).unwrap();
                let mut sender = sender.clone();
                async move { sender.send_request(request).await }
            };
            let slow = get("/slow").await.unwrap();
            told.send(()).unwrap();
            stop_now.await.unwrap();
            // New streams are refused from some moment on; the connection is not.
            while get("/").await.is_ok_and(|answer| answer.status() == 200) {}
            let body = slow.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.len(), 256 << 10);
            drop(sender);
            connection.await.unwrap().unwrap();
        });
    });
    tell.recv().unwrap();
    stop(&mut load);
    stopped.send(()).unwrap();
    talking.join().unwrap();
    assert_ended_well(&mut load);
}

#[test]
fn no_new_connection_comes_during_the_drain() {
    let Some(mut load) = story() else { return };
    let mut busy = connect(&load.story);
    ask(&mut busy, "/slow");
    wait_for_request(&load, "/slow");
    stop(&mut load);
    // Nobody listens: a SYN waits for the next process, which serves it beside the old one.
    eventually("a SYN is not answered", || {
        load.story.connect(EdgeLab::VIP4, 80, Duration::from_millis(500)) == Connect::TimedOut
    });
    let old = load.story.start_successor();
    assert_eq!(load.story.get(EdgeLab::VIP4, Load::HOST, "/").status, 200);
    let answer = to_the_end(&mut busy);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{}", old.output());
    let mut old = old;
    assert_eq!(old.wait(DEADLINE).code(), Some(0), "{}", old.output());
    assert_eq!(load.story.get(EdgeLab::VIP4, Load::HOST, "/").status, 200);
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let Some(mut load) = story() else { return };
    load.story.backends[0].on("/never", Answer::bytes("").with_delay(Duration::from_secs(600)));
    let mut busy = connect(&load.story);
    ask(&mut busy, "/never");
    wait_for_request(&load, "/never");
    stop(&mut load);
    load.story.process().signal(Signal::SIGINT);
    let status = load.story.process().wait(DEADLINE);
    assert_eq!(status.code(), Some(1), "{}", load.story.log());
    assert!(load.story.log().contains("ended before all requests were done"));
}

#[test]
fn a_forced_end_writes_the_lines_of_what_was_answered() {
    let Some(mut load) = story() else { return };
    let file = load.story.config_file().with_file_name("access.log");
    let to = serde_json::json!({"to": file});
    load.story.configure(|config| config.access_log = serde_json::from_value(to).unwrap());
    let lines = || std::fs::read_to_string(&file).unwrap_or_default();
    eventually("requests are logged", || {
        load.story.get(EdgeLab::VIP4, Load::HOST, "/first");
        lines().contains("/first")
    });
    load.story.backends[0].on("/never", Answer::bytes("").with_delay(Duration::from_secs(600)));
    let mut busy = connect(&load.story);
    ask(&mut busy, "/never");
    wait_for_request(&load, "/never");
    // Its line waits for company in the worker when the signals come.
    assert_eq!(load.story.get(EdgeLab::VIP4, Load::HOST, "/last").status, 200);
    load.story.process().signal(Signal::SIGTERM);
    load.story.process().signal(Signal::SIGINT);
    assert_eq!(load.story.process().wait(DEADLINE).code(), Some(1), "{}", load.story.log());
    assert!(lines().contains("/last"), "{}", lines());
}

#[test]
fn sighup_rereads_configuration_and_manifests() {
    let Some(mut load) = require_root().then(|| Load::new(env!("CARGO_BIN_EXE_genkan"), 1)) else {
        return;
    };
    // Behind links, so that no watch sees what is written.
    let elsewhere = tempfile::tempdir().unwrap();
    let (config, manifest) = (elsewhere.path().join("config"), elsewhere.path().join("late.yaml"));
    let text = std::fs::read_to_string(load.story.config_file()).unwrap();
    std::fs::write(&config, &text).unwrap();
    let link = load.story.config_file().with_file_name("linked.yaml");
    std::os::unix::fs::symlink(&config, &link).unwrap();
    load.story.use_config_file(link);
    let ingress = |host: &str| Ingress::new("late").rule(host, "/", "pods").yaml();
    std::fs::write(&manifest, ingress("early.example")).unwrap();
    let link = load.story.manifests.directory().join("linked.yaml");
    std::os::unix::fs::symlink(&manifest, link).unwrap();
    load.story.start();
    load.story.wait_for_status("early.example", "/", 200);

    std::fs::write(&manifest, ingress("late.example")).unwrap();
    std::fs::write(&config, text.replace("\"request_line\": 8192", "\"request_line\": 4000"))
        .unwrap();
    load.story.process().signal(Signal::SIGHUP);
    load.story.wait_for_status("late.example", "/", 200);
    load.story.wait_for_status("early.example", "/", 404);
    let long = format!("/{}", "x".repeat(5000));
    let answer = load.story.send(EdgeLab::VIP4, &Request::get(Load::HOST, &long)).unwrap();
    assert_eq!(answer.status, 414);
}
