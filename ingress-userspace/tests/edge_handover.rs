//! A process takes the place of another that serves: nothing that clients do is lost, and a
//! successor that does not come changes nothing.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use genkan::admin::status::Status;
use genkan::config::Config;
use genkan::dataplane::Pins;
use genkan::testing::deadline::{DEADLINE, eventually, eventually_some};
use genkan::testing::lab::{EdgeLab, Process};
use genkan::testing::story::{Load, PINS, Request, Session, Story};
use genkan::testing::{backend, require_root, require_tool};
use nix::sys::signal::Signal;

const PROGRAM: &str = env!("CARGO_BIN_EXE_genkan");
const HOLD_BACK_ACKS: &str = "table inet hold { chain out { type filter hook output priority 0; \
                              tcp dport 80 tcp flags & (syn | ack) == ack drop; }; }";

fn load() -> Option<Load> {
    require_root().then(|| Load::new(PROGRAM, 2))
}

fn assert_serves(story: &Story) {
    for vip in EdgeLab::VIPS {
        let answer = story.get(vip, Load::HOST, "/");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

fn assert_left(mut old: Process) {
    let status = old.wait(DEADLINE);
    assert_eq!(status.code(), Some(0), "{}", old.output());
}

/// Listening TCP sockets of the edge.
fn listeners(story: &Story) -> usize {
    story.edge().output("ss", &["-Hltn"]).lines().count()
}

fn session(story: &Story) -> Session {
    let cpu = genkan::net::cpu::allowed().unwrap()[0];
    Session::open(&story.lab.client, cpu, SocketAddr::new(EdgeLab::VIP4, 80)).unwrap()
}

/// Three times, with one worker more and one less.
fn take_overs_lose_nothing(arguments: &[&str]) {
    let Some(mut load) = load() else { return };
    load.story.with_arguments(arguments).configure(|config| config.workers.count = Some(2));
    load.story.start();
    load.start_traffic(load.mix());
    for workers in [2, 3, 1] {
        load.story.configure(|config| config.workers.count = Some(workers));
        let old = load.story.start_successor();
        load.traffic().wait_for_requests(20);
        assert_left(old);
        load.traffic().wait_for_requests(20);
    }
    let tally = load.finish();
    tally.assert_untouched();
    assert!(tally.goodbyes.load(std::sync::atomic::Ordering::Relaxed) > 0);
    assert_serves(&load.story);
}

#[test]
fn take_overs_under_load_lose_nothing() {
    take_overs_lose_nothing(&[]);
}

#[test]
fn take_overs_under_load_lose_nothing_without_kernel_programs() {
    take_overs_lose_nothing(&["--no-bpf"]);
}

#[test]
fn what_runs_in_the_first_process_ends_there() {
    let Some(mut load) = load() else { return };
    for backend in &load.story.backends {
        let slow = backend::Answer::size(1 << 20).with_pace(Duration::from_millis(40));
        backend.on("/slow", slow);
    }
    load.story.start();
    let pins = load.story.pins();
    let client = load.story.lab.client.clone();
    let to = SocketAddr::new(EdgeLab::VIP4, 80);
    let slow = std::thread::spawn({
        let client = client.clone();
        move || Request::get(Load::HOST, "/slow").send(&client, to)
    });
    eventually("the slow request runs", || {
        let asked = |backend: &backend::Backend| !backend.requests().is_empty();
        load.story.backends.iter().any(asked)
    });
    let mut websocket = client.run(|| TcpStream::connect_timeout(&to, DEADLINE).unwrap());
    websocket.set_read_timeout(Some(DEADLINE)).unwrap();
    upgrade(&mut websocket);
    let mut idle = session(&load.story);
    assert_eq!(idle.get(Load::HOST, "/").unwrap(), 200);

    let mut old = load.story.start_successor();
    // An idle connection is told with its next answer; a tunnel lives on.
    assert_eq!(idle.get(Load::HOST, "/").unwrap(), 200);
    assert!(idle.get(Load::HOST, "/").is_err());
    echo(&mut websocket, b"still here");
    let answer = slow.join().unwrap().unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 1 << 20));
    assert!(old.is_running(), "{}", old.output());
    drop(websocket);
    assert_left(old);
    // The end of the first process took nothing along.
    assert_eq!(load.story.pins(), pins);
    assert_serves(&load.story);
}

/// Any other protocol than WebSocket: the pod echoes bytes.
fn upgrade(stream: &mut TcpStream) {
    let request = format!(
        "GET /chat HTTP/1.1\r\nHost: {}\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
        Load::HOST
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
}

fn echo(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, bytes);
}

/// Handshakes whose last ACK meets the successor, with and without SYN cookies.
fn handshakes_in_flight_are_completed_by_the_successor(cookies: &str, arguments: &[&str]) {
    if !require_tool("nft") {
        return;
    }
    let Some(mut load) = load() else { return };
    load.story.edge().sysctl("net.ipv4.tcp_syncookies", cookies);
    load.story.with_arguments(arguments).start();
    let client = load.story.lab.client.clone();
    client.output("nft", &[HOLD_BACK_ACKS]);
    let connect = |vip| {
        let to = SocketAddr::new(vip, 80);
        client.run(|| TcpStream::connect_timeout(&to, DEADLINE).unwrap())
    };
    // For the client the connections are open.
    let waiting: Vec<TcpStream> =
        EdgeLab::VIPS.into_iter().flat_map(|vip| [connect(vip), connect(vip)]).collect();
    assert_left(load.story.start_successor());
    client.output("nft", &["delete table inet hold"]);
    for mut stream in waiting {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", Load::HOST);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
}

#[test]
fn handshakes_in_flight_meet_the_successor() {
    handshakes_in_flight_are_completed_by_the_successor("0", &[]);
}

#[test]
fn handshakes_in_flight_meet_the_successor_without_kernel_programs() {
    handshakes_in_flight_are_completed_by_the_successor("0", &["--no-bpf"]);
}

#[test]
fn cookies_of_the_first_process_are_taken_by_the_successor() {
    handshakes_in_flight_are_completed_by_the_successor("2", &[]);
}

#[test]
fn a_successor_that_fails_leaves_the_first_serving() {
    let Some(mut load) = load() else { return };
    load.story.start();
    load.start_traffic(load.mix());
    let pins = load.story.pins();

    // Before it asks for anything: the configuration is bad.
    let config = load.story.config_file().to_owned();
    let good = std::fs::read_to_string(&config).unwrap();
    let bad = config.with_file_name("bad.yaml");
    std::fs::write(&bad, good.replace("\"vips\"", "\"vipz\"")).unwrap();
    load.story.use_config_file(bad);
    assert_eq!(load.story.spawn().wait(DEADLINE).code(), Some(2));

    // It crashes when it has the listeners, and again when it has changed everything: it would serve
    // one address, one port, no device.
    let other = config.with_file_name("other.yaml");
    let mut changed: Config = serde_json::from_str(&good).unwrap();
    changed.vips[0].addresses = vec![EdgeLab::VIP4];
    changed.vips[0].ports.retain(|port| port.port == 80);
    changed.vips[0].interfaces.clear();
    changed.workers.count = Some(3);
    std::fs::write(&other, serde_json::to_string(&changed).unwrap()).unwrap();
    load.story.use_config_file(other);
    for step in ["begun", "ready"] {
        load.story.with_environment("GENKAN_TEST_CRASH", Some(step));
        let mut crashing = load.story.spawn();
        let status = crashing.wait(DEADLINE);
        assert_eq!(status.signal(), Some(Signal::SIGABRT as i32), "{}", crashing.output());
        let gave_up = "the successor ended before it served";
        eventually("the first process has noticed", || {
            load.story.log().matches(gave_up).count() == if step == "begun" { 1 } else { 2 }
        });
        eventually("XDP is back", || load.story.xdp(EdgeLab::UPLINK).is_some_and(|xdp| xdp.native));
        load.traffic().wait_for_requests(20);
        assert_serves(&load.story);
        let status: Status = load.story.admin().document("/status").unwrap();
        assert_eq!(status.process.pid, load.story.process().id(), "who answers for the node");
    }
    assert_eq!(load.story.pins(), pins);
    assert!(load.story.xdp(EdgeLab::UPLINK).unwrap().native);

    // It can be configured as before, and be replaced.
    load.story.with_environment("GENKAN_TEST_CRASH", None);
    load.story.use_config_file(config);
    load.story.configure(|config| config.steering.event_sample = 1000);
    load.story.wait_for_log(" is in force");
    assert_left(load.story.start_successor());
    load.finish().assert_untouched();
}

#[test]
fn of_many_successors_one_after_the_other_takes_over() {
    let Some(mut load) = load() else { return };
    load.story.start();
    load.start_traffic(load.mix());
    let mut starting: Vec<Process> = (0..4).map(|_| load.story.spawn()).collect();
    // Each either was told to wait its turn, or has served.
    eventually("all but one have ended", || {
        let ended = starting.iter_mut().filter_map(|process| (!process.is_running()).then_some(()));
        let first = usize::from(!load.story.process().is_running());
        ended.count() + first == starting.len()
    });
    let (mut refused, mut served) = (0, 0);
    for mut process in starting {
        if process.is_running() {
            served += 1;
            let old = load.story.adopt(process).unwrap();
            assert_left(old);
            continue;
        }
        let log = process.output();
        match process.wait(DEADLINE).code() {
            Some(0) => served += 1,
            Some(1) => {
                assert!(log.contains("another process is starting already"), "{log}");
                refused += 1;
            }
            other => panic!("{other:?}: {log}"),
        }
    }
    println!("{served} took over, {refused} were told that another one does");
    assert_eq!(served + refused, 4);
    assert!(served >= 1);
    load.finish().assert_untouched();
}

#[test]
fn a_process_that_was_superseded_touches_nothing() {
    let Some(mut load) = load() else { return };
    for backend in &load.story.backends {
        // Longer than a start and a change of the configuration take on a busy machine.
        let slow = backend::Answer::size(1 << 20).with_pace(Duration::from_millis(150));
        backend.on("/slow", slow);
    }
    load.story.start();
    let client = load.story.lab.client.clone();
    let slow = std::thread::spawn(move || {
        Request::get(Load::HOST, "/slow").send(&client, SocketAddr::new(EdgeLab::VIP4, 80))
    });
    eventually("the slow request runs", || {
        load.story.backends.iter().any(|backend| !backend.requests().is_empty())
    });
    let mut old = load.story.start_successor();
    // The configuration that both know changes; only the successor follows.
    load.story.configure_vip(|vip| vip.addresses.retain(|address| address.is_ipv4()));
    load.story.wait_for_log(" is in force");
    assert!(old.is_running(), "{}", old.output());
    assert_eq!(slow.join().unwrap().unwrap().status, 200);
    let log = old.output();
    assert_left(old);
    assert!(!log.contains(" is in force"), "{log}");
    let routes = load.story.edge().ip(&["-6", "route", "show", "table", "local"]);
    assert!(!routes.contains(&EdgeLab::VIP6.to_string()), "{routes}");
    assert_eq!(load.story.get(EdgeLab::VIP4, Load::HOST, "/").status, 200);
}

#[test]
fn maps_of_another_shape_are_replaced_under_load() {
    if !require_tool("bpftool") {
        return;
    }
    let Some(mut load) = load() else { return };
    load.story.start();
    load.start_traffic(load.mix());
    let pins = load.story.pins();
    // As an earlier version would have left it: the process has its maps open, the pin is another.
    let pin = format!("{PINS}/maps-{}/VIPS", ingress_common::ABI);
    let edge = load.story.edge();
    edge.output("rm", &[&pin]);
    let shape = ["type", "array", "key", "4", "value", "8", "entries", "1", "name", "VIPS"];
    edge.output("bpftool", &[&["map", "create", &pin][..], &shape].concat());
    assert_left(load.story.start_successor());
    load.story.wait_for_log("the pinned maps are replaced");
    load.traffic().wait_for_requests(50);
    load.finish().assert_untouched();
    assert_eq!(load.story.pins(), pins);
    assert_eq!(Pins::default().directory().to_str(), Some(PINS));
    assert_serves(&load.story);
}

#[test]
fn a_process_that_does_not_drain_is_killed() {
    let Some(mut load) = load() else { return };
    load.story.configure(|config| config.timeouts.drain = Duration::from_secs(1)).start();
    let mut websocket =
        load.story.lab.client.run(|| {
            TcpStream::connect_timeout(&SocketAddr::new(EdgeLab::VIP4, 80), DEADLINE).unwrap()
        });
    upgrade(&mut websocket);
    let mut old = load.story.start_successor();
    // Its limit is a second; stopped, it can't keep it.
    old.signal(Signal::SIGSTOP);
    assert_eq!(old.wait(DEADLINE).signal(), Some(Signal::SIGKILL as i32));
    load.story.wait_for_log("did not end in time and was killed");
    let metrics = load.story.admin().get("/metrics").unwrap().text();
    assert!(metrics.contains("genkan_predecessors_total{end=\"killed\"} 1"), "{metrics}");
    assert_serves(&load.story);
}

#[test]
fn a_process_that_dies_while_it_is_asked_is_nobody() {
    let Some(mut load) = load() else { return };
    load.story.start();
    // Stopped, it takes the question and gives no answer.
    load.story.process().signal(Signal::SIGSTOP);
    let successor = load.story.spawn();
    let lock = load.story.runtime_directory().join("handover.lock");
    eventually("the successor has begun", || {
        std::fs::read_to_string(&lock).is_ok_and(|pid| pid.trim() == successor.id().to_string())
    });
    load.story.kill();
    successor.wait_for_line(" genkan::app: ready ", DEADLINE);
    load.story.adopt(successor);
    assert_serves(&load.story);
    assert_left(load.story.start_successor());
    assert_serves(&load.story);
}

#[test]
fn tunnels_end_with_the_limit_of_the_drain_and_are_counted() {
    let Some(mut load) = load() else { return };
    load.story.configure(|config| config.timeouts.drain = Duration::from_secs(1)).start();
    let mut websocket =
        load.story.lab.client.run(|| {
            TcpStream::connect_timeout(&SocketAddr::new(EdgeLab::VIP4, 80), DEADLINE).unwrap()
        });
    websocket.set_read_timeout(Some(DEADLINE)).unwrap();
    upgrade(&mut websocket);
    let mut old = load.story.start_successor();
    assert_eq!(old.wait(DEADLINE).code(), Some(0), "{}", old.output());
    let log = old.output();
    assert!(log.contains("cut at the end of timeouts.drain connections=1"), "{log}");
    assert!(matches!(websocket.read(&mut [0; 8]), Ok(0) | Err(_)));
}

#[test]
fn workers_that_die_are_replaced_after_a_take_over() {
    let Some(mut load) = load() else { return };
    load.story.configure(|config| config.workers.count = Some(2)).start();
    let before = listeners(&load.story);
    assert_left(load.story.start_successor());
    assert_eq!(listeners(&load.story), before);
    load.story.process().signal(Signal::SIGUSR2);
    load.story.wait_for_log("a new one takes its place");
    eventually("both workers listen for both families", || listeners(&load.story) == before);
    for _ in 0..5 {
        assert_serves(&load.story);
    }
    assert_left(load.story.start_successor());
    assert_serves(&load.story);
}

#[test]
fn a_process_without_a_runtime_directory_serves_and_says_what_is_missing() {
    let Some(mut load) = load() else { return };
    std::fs::write(load.story.runtime_directory(), "not a directory").unwrap();
    load.story.start();
    load.story.wait_for_log("no process can take over from this one");
    assert_serves(&load.story);
}

/// What the service manager is told.
struct ServiceManager {
    socket: UnixDatagram,
    _directory: tempfile::TempDir,
}

impl ServiceManager {
    fn of(story: &mut Story) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        story.with_environment("NOTIFY_SOCKET", path.to_str());
        Self { socket, _directory: directory }
    }

    fn told(&self) -> String {
        let mut buffer = [0; 512];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// The process that says that it is the main one now.
    fn main_process(&self) -> i32 {
        let told = self.told();
        let mut lines = told.lines();
        let pid = lines.next().and_then(|line| line.strip_prefix("MAINPID=")).unwrap();
        assert_eq!(lines.next(), Some("READY=1"), "{told}");
        pid.parse().unwrap()
    }
}

#[test]
fn reload_replaces_the_process_and_the_service_manager_follows() {
    let Some(mut load) = load() else { return };
    let manager = ServiceManager::of(&mut load.story);
    load.story.start();
    let first = load.story.process().id().cast_signed();
    assert_eq!(manager.main_process(), first);
    load.start_traffic(load.mix());

    let runtime = load.story.runtime_directory();
    let reload = ["reload", "--runtime-dir", runtime.to_str().unwrap()];
    let output = load.story.genkan(&reload);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    let second = manager.main_process();
    assert_eq!(said.trim(), format!("process {second} serves"));
    assert_ne!(second, first);
    assert_eq!(load.story.process().wait(DEADLINE).code(), Some(0), "{}", load.story.log());
    load.traffic().wait_for_requests(20);

    // SIGHUP is a reload within the process.
    let pid = nix::unistd::Pid::from_raw(second);
    nix::sys::signal::kill(pid, Signal::SIGHUP).unwrap();
    assert!(manager.told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(manager.told(), "READY=1");

    // A configuration that is refused leaves it serving.
    let config = load.story.config_file().to_owned();
    let good = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, "vipz: []").unwrap();
    let output = load.story.genkan(&reload);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(why.contains("the new process ended with exit status: 2"), "{why}");
    std::fs::write(&config, good).unwrap();
    load.traffic().wait_for_requests(20);
    load.finish().assert_untouched();

    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    eventually_some("the service manager hears of the end", || {
        (manager.told() == "STOPPING=1\nSTATUS=draining").then_some(())
    });
    let gone = || !std::path::Path::new(&format!("/proc/{second}")).exists();
    eventually("the second process is gone", gone);
    let output = load.story.genkan(&reload);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no process serves"), "{output:?}");
}

#[test]
fn the_watchdog_hears_from_a_process_that_is_well() {
    let Some(mut load) = load() else { return };
    let manager = ServiceManager::of(&mut load.story);
    load.story.with_environment("WATCHDOG_USEC", Some("200000")).start();
    manager.main_process();
    for _ in 0..3 {
        assert_eq!(manager.told(), "WATCHDOG=1");
    }
}
