//! An edge node with one worker per family, as the stories need it.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use genkan::config::{Config, VipConfig};
use genkan::dataplane::{self, Dataplane, Options, Pins};
use genkan::net::listen::{Family, ListenerGroup};
use genkan::testing::lab::{EdgeLab, Host};
use genkan::testing::require::require;
use genkan::testing::{require_root, require_tool};
use ingress_common::Verdict;

/// Longer than a SYN needs, shorter than its first retransmission.
const SHORT: Duration = Duration::from_millis(700);

/// False when the kernel programs can't be tested here.
pub(crate) fn possible() -> bool {
    require_root()
        && require_tool("ethtool")
        && require(dataplane::object().is_some(), "needs the kernel programs in this build")
}

/// Runs a story on the edge, in its namespaces and on a runtime.
pub(crate) fn on_edge<T: Send>(lab: &EdgeLab, story: impl AsyncFnOnce() -> T + Send) -> T {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    lab.edge.run(|| runtime().block_on(story()))
}

/// Both VIPs of the lab, ports 80 and 443, on the uplink.
pub(crate) fn config() -> Config {
    let vip = VipConfig {
        name: "web".to_owned(),
        addresses: EdgeLab::VIPS.to_vec(),
        ports: serde_json::from_str(
            r#"[{"port": 80, "protocol": "http"}, {"port": 443, "protocol": "https"}]"#,
        )
        .unwrap(),
        interfaces: vec![EdgeLab::UPLINK.to_owned()],
        allow: Vec::new(),
        deny: Vec::new(),
        new_flow_budget: None,
    };
    Config { vips: vec![vip], ..Config::default() }
}

pub(crate) fn options(pins: &str) -> Options {
    Options { pins: Pins::new(pins), debug: false }
}

pub(crate) async fn start(config: &Config) -> Dataplane {
    Dataplane::start(config, &[0], Options::default()).await.unwrap()
}

/// The listeners of worker 0.
pub(crate) struct Worker {
    listeners: Vec<(Family, TcpListener)>,
    groups: Vec<ListenerGroup>,
}

impl Worker {
    pub(crate) fn listening(dataplane: &mut Dataplane) -> Self {
        let groups: Vec<ListenerGroup> =
            Family::ALL.iter().map(|&family| ListenerGroup::reserve(family).unwrap()).collect();
        let mut worker = Self { listeners: Vec::new(), groups };
        worker.listen(dataplane);
        worker
    }

    pub(crate) fn listen(&mut self, dataplane: &mut Dataplane) {
        for group in &self.groups {
            let listener = group.listen().unwrap();
            dataplane.set_listener(0, group.family(), &listener).unwrap();
            self.listeners.push((group.family(), listener));
        }
    }

    pub(crate) fn close(&mut self) {
        self.listeners.clear();
    }

    /// Connections that wait to be accepted.
    pub(crate) fn accept_all(&self) -> usize {
        let of = |(_, listener): &(Family, TcpListener)| {
            std::iter::from_fn(|| listener.accept().ok()).count()
        };
        self.listeners.iter().map(of).sum()
    }
}

pub(crate) fn connect(from: &Host, address: IpAddr, port: u16) -> io::Result<TcpStream> {
    from.run(|| TcpStream::connect_timeout(&SocketAddr::new(address, port), SHORT))
}

pub(crate) fn assert_served(from: &Host) {
    for vip in EdgeLab::VIPS {
        connect(from, vip, 80).unwrap_or_else(|error| panic!("{vip} is not served: {error}"));
    }
}

pub(crate) fn assert_times_out(from: &Host, address: IpAddr, port: u16) {
    let error = connect(from, address, port).expect_err("nobody may answer");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{address}:{port}");
}

/// The count of a verdict, summed over all VIPs.
pub(crate) fn count(dataplane: &Dataplane, verdict: Verdict) -> u64 {
    dataplane.counters().unwrap().iter().map(|vip| vip.count(verdict)).sum()
}

/// Tries until it is so. Panics after five seconds.
pub(crate) fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !so() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
