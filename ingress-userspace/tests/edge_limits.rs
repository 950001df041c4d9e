//! What bounds the process: descriptors, memory, rights; and a panic of one request.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use genkan::testing::deadline::{DEADLINE, eventually};
use genkan::testing::lab::EdgeLab;
use genkan::testing::require_root;
use genkan::testing::require_tool;
use genkan::testing::story::{Load, Request, Story};

const HTTP: SocketAddr = SocketAddr::new(EdgeLab::VIP4, 80);
const PANIC: &str = genkan::proxy::request::PANIC;

fn load() -> Option<Load> {
    require_root().then(|| Load::new(env!("CARGO_BIN_EXE_genkan"), 1))
}

fn connect(story: &Story, to: SocketAddr, count: usize) -> Vec<TcpStream> {
    let open = || (0..count).map(|_| TcpStream::connect_timeout(&to, DEADLINE).unwrap()).collect();
    story.lab.client.run(open)
}

/// Status of an answer, or `None` when none comes in `patience`.
fn ask(stream: &mut TcpStream, patience: Duration) -> Option<String> {
    stream.set_read_timeout(Some(patience)).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: {}\r\n\r\n", Load::HOST).unwrap();
    read_status(stream)
}

fn read_status(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = vec![0; 64 << 10];
    let length = stream.read(&mut bytes).ok().filter(|&length| length > 12)?;
    Some(String::from_utf8_lossy(&bytes[9..12.min(length)]).into_owned())
}

/// A number of `/proc/PID/stat`, counted from 1.
fn stat(story: &mut Story, field: usize) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", story.process().id())).unwrap();
    let (_, rest) = text.rsplit_once(") ").unwrap();
    rest.split(' ').nth(field - 3).unwrap().parse().unwrap()
}

/// Clock ticks of CPU time, user and system.
fn ticks(story: &mut Story) -> u64 {
    stat(story, 14) + stat(story, 15)
}

fn resident(story: &mut Story) -> u64 {
    stat(story, 24) * 4096
}

fn descriptors(story: &mut Story) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", story.process().id())).unwrap().count()
}

#[test]
fn descriptors_that_run_out_make_new_connections_wait_and_nothing_else() {
    if !require_tool("prlimit") {
        return;
    }
    const LIMIT: usize = 200;
    const SHORT: Duration = Duration::from_millis(700);
    let Some(mut load) = load() else { return };
    load.story.configure(|config| config.workers.count = Some(1));
    load.story.under(&["prlimit", &format!("--nofile={LIMIT}:{LIMIT}")]).start();
    let mut clients = connect(&load.story, HTTP, 2 * LIMIT);
    load.story.wait_for_log("file descriptors are scarce");
    // A quarter is kept back for running requests: those that were accepted get their answers.
    let answered = |client: &mut TcpStream| ask(client, SHORT).as_deref() == Some("200");
    let served = clients.iter_mut().map(answered).take_while(|&answered| answered).count();
    assert!(served >= LIMIT / 4, "{served} were served");
    let used = descriptors(&mut load.story);
    assert!(used < LIMIT, "{used} of {LIMIT}");
    let last = clients.len() - 1;
    assert_eq!(ask(&mut clients[last], SHORT), None);

    // Waiting costs next to nothing.
    let before = ticks(&mut load.story);
    std::thread::sleep(Duration::from_secs(1));
    let spent = ticks(&mut load.story) - before;
    assert!(spent < 50, "{spent} of 100 ticks while nothing happened");

    // What ends makes room: the last client has its answer.
    let mut waiting = clients.split_off(clients.len() - 10);
    drop(clients);
    let mut last = waiting.pop().unwrap();
    last.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(read_status(&mut last).as_deref(), Some("200"));
    for client in &mut waiting {
        assert_eq!(ask(client, DEADLINE).as_deref(), Some("200"));
    }
    assert!(load.story.process().is_running());
}

/// The figures of `deploy/docs/sizing.md`, bytes of user memory for each connection.
const IDLE_HTTP: u64 = 4 << 10;
const IDLE_TLS: u64 = 24 << 10;
const IDLE_HTTP2: u64 = 32 << 10;

#[test]
fn connections_cost_no_more_memory_than_documented() {
    let Some(mut load) = load() else { return };
    raise_own_limit();
    load.story.configure(|config| config.workers.count = Some(1)).start();
    // What is allocated once is so now.
    let warm = tls_connections(&load.story, &load.ca.client_config(&["h2"]), 20);
    drop((warm, connect(&load.story, HTTP, 20)));
    let per_connection = |load: &mut Load, count: usize, open: &dyn Fn(&Story) -> Kept| {
        let before = resident(&mut load.story);
        let kept = open(&load.story);
        let each = resident(&mut load.story).saturating_sub(before) / count as u64;
        drop(kept);
        each
    };
    let plain = per_connection(&mut load, 4000, &|story| {
        let mut clients = connect(story, HTTP, 4000);
        for client in &mut clients {
            assert_eq!(ask(client, DEADLINE).as_deref(), Some("200"));
        }
        Kept::Plain(clients)
    });
    println!("an idle HTTP/1.1 connection: {plain} bytes");
    assert!(plain <= IDLE_HTTP, "{plain}");
    for (name, alpn, limit) in
        [("HTTP/1.1 over TLS", "http/1.1", IDLE_TLS), ("HTTP/2 over TLS", "h2", IDLE_HTTP2)]
    {
        let config = load.ca.client_config(&[alpn]);
        let each = per_connection(&mut load, 1500, &|story| {
            Kept::Tls(tls_connections(story, &config, 1500))
        });
        println!("an idle {name} connection: {each} bytes");
        assert!(each <= limit, "{name}: {each}");
    }
}

enum Kept {
    #[expect(dead_code, reason = "kept open")]
    Plain(Vec<TcpStream>),
    #[expect(dead_code, reason = "kept open")]
    Tls(Vec<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

/// With complete handshakes.
fn tls_connections(
    story: &Story,
    config: &std::sync::Arc<rustls::ClientConfig>,
    count: usize,
) -> Vec<rustls::StreamOwned<rustls::ClientConnection, TcpStream>> {
    let sockets = connect(story, SocketAddr::new(EdgeLab::VIP4, 443), count);
    let shake = |mut socket: TcpStream| {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let name = rustls::pki_types::ServerName::try_from(Load::HOST).unwrap();
        let mut connection = rustls::ClientConnection::new(config.clone(), name).unwrap();
        connection.complete_io(&mut socket).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, socket);
        if stream.conn.alpn_protocol() == Some(b"h2") {
            // The preface; its answer shows that the worker speaks HTTP/2 with us.
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
            stream.read_exact(&mut [0; 9]).unwrap();
        }
        stream
    };
    sockets.into_iter().map(shake).collect()
}

fn raise_own_limit() {
    assert!(genkan::net::descriptors::raise_limit().unwrap() > 10_000);
}

#[test]
fn a_panic_ends_one_connection_or_one_stream_only() {
    let Some(mut load) = load() else { return };
    load.story.configure(|config| config.workers.count = Some(1)).start();
    let mut other = connect(&load.story, HTTP, 1).pop().unwrap();
    assert_eq!(ask(&mut other, DEADLINE).as_deref(), Some("200"));
    let plain = Request::get(Load::HOST, "/").header(PANIC, "now");
    assert!(load.story.send(EdgeLab::VIP4, &plain).is_err());
    assert_eq!(ask(&mut other, DEADLINE).as_deref(), Some("200"));

    // Of two streams of one connection the second goes on.
    let trust = load.ca.client_config(&["h2"]);
    let client = load.story.lab.client.clone();
    client.run(|| {
        use http_body_util::Empty;
        use hyper_util::rt::{TokioExecutor, TokioIo};
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let tcp = tokio::net::TcpStream::connect((EdgeLab::VIP4, 443)).await.unwrap();
            let name = Load::HOST.try_into().unwrap();
            let tls = tokio_rustls::TlsConnector::from(trust).connect(name, tcp).await.unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
                    .await
                    .unwrap();
            tokio::spawn(connection);
            let get = |panic: bool| {
                let request = http::Request::get(format!("https://{}/", Load::HOST));
                let request = if panic { request.header(PANIC, "now") } else { request };
                request.body(Empty::<bytes::Bytes>::new()).unwrap()
            };
            let [bad, good] = [sender.send_request(get(true)), sender.send_request(get(false))];
            let bad = bad.await.unwrap_err();
            assert!(format!("{bad:?}").contains("Reset"), "{bad:?}");
            assert_eq!(good.await.unwrap().status(), 200);
            assert_eq!(sender.send_request(get(false)).await.unwrap().status(), 200);
        });
    });
    assert_eq!(ask(&mut other, DEADLINE).as_deref(), Some("200"));
    assert_eq!(load.story.log().matches("asked to panic by a test").count(), 2);
    assert!(!load.story.log().contains("a new one takes its place"));
    assert!(load.story.process().is_running());
}

#[test]
fn the_unit_is_correct_and_its_rights_suffice() {
    if !require_tool("systemd-analyze") || !require_tool("setpriv") {
        return;
    }
    let Some(mut load) = load() else { return };
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/systemd/genkan.service");
    let unit = std::fs::read_to_string(unit).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("genkan.service");
    // The program need not be installed here.
    std::fs::write(&path, unit.replace("/usr/bin/genkan", env!("CARGO_BIN_EXE_genkan"))).unwrap();
    let verified = Command::new("systemd-analyze").arg("verify").arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && said.is_empty(), "{said}");
    let judged = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=30", "--no-pager"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stdout));

    let rights = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let rights: Vec<String> = rights
        .unwrap()
        .split(' ')
        .map(|right| right.strip_prefix("CAP_").unwrap().to_lowercase())
        .collect();
    let bounding = format!("--bounding-set=-all,+{}", rights.join(",+"));
    load.story.under(&["setpriv", &bounding, "--inh-caps=-all", "--no-new-privs"]).start();
    assert!(load.story.xdp(EdgeLab::UPLINK).unwrap().native);
    for vip in EdgeLab::VIPS {
        assert_eq!(load.story.get(vip, Load::HOST, "/").status, 200);
    }
    // A group that it may not give the socket to, and, with SupplementaryGroups=, one that it may.
    let socket = load.story.admin().socket().to_owned();
    let rights_of = |path: &std::path::Path| {
        use std::os::unix::fs::MetadataExt;
        let found = std::fs::metadata(path).unwrap();
        (found.gid(), found.mode() & 0o777)
    };
    load.story.configure(|config| config.admin.group = Some("4711".to_owned()));
    let mut old = load.story.start_successor();
    assert_eq!(old.wait(DEADLINE).code(), Some(0), "{}", old.output());
    load.story.wait_for_log("only for its owner, not for admin.group");
    assert_eq!(rights_of(&socket), (0, 0o600));
    let groups = ["--groups=4711", &bounding, "--inh-caps=-all", "--no-new-privs"];
    load.story.under(&[&["setpriv"][..], &groups].concat());
    let mut old = load.story.start_successor();
    assert_eq!(old.wait(DEADLINE).code(), Some(0), "{}", old.output());
    eventually("the group has the socket", || rights_of(&socket) == (4711, 0o660));
    for vip in EdgeLab::VIPS {
        assert_eq!(load.story.get(vip, Load::HOST, "/").status, 200);
    }
    load.story.configure_vip(|vip| vip.ports.retain(|port| port.port == 80));
    load.story.wait_for_log(" is in force");
    eventually("the port is closed", || {
        use genkan::testing::story::Connect;
        load.story.connect(EdgeLab::VIP4, 443, Duration::from_millis(300)) == Connect::TimedOut
    });
}
