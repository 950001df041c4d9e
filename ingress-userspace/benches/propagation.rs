//! From the edit of a manifest to the first right answer on the wire, through the real program.
//!
//! A client asks one host after the other without a pause over one connection through the VIP, while
//! the file of that host is changed to name another Service. Measured from before the write to the
//! arrival of the first answer of the new pod; every answer in between must be a right one by the
//! old file. Milliseconds as min-median-max, and the 99th percentile. Root only.
#![allow(clippy::unwrap_used, reason = "a benchmark stops where it fails")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use genkan::testing::lab::EdgeLab;
use genkan::testing::require_root;
use genkan::testing::story::{Ingress, Story};

const SIZES: [usize; 3] = [10, 1_000, 10_000];
/// `GENKAN_BENCH_EDITS` sets another number.
const EDITS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(30);
const PODS: [&str; 2] = ["pod-0", "pod-1"];

/// How the manifests lie in the directory and are changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// A file for each host, replaced by a rename, as tools do it.
    Renamed,
    /// A file for each host, emptied and written in its place, as a shell does it.
    InPlace,
    /// One file of all hosts, replaced by a rename.
    OneFile,
}

struct Measured {
    /// Milliseconds of each edit, sorted.
    millis: Vec<f64>,
    answers: u64,
    failed: u64,
}

/// One kept connection; the answers' pods.
struct Client {
    stream: BufReader<TcpStream>,
}

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let quick = std::env::args().any(|argument| argument == "--test");
    if !require_root() {
        return;
    }
    let edits = std::env::var("GENKAN_BENCH_EDITS").ok().and_then(|text| text.parse().ok());
    let edits = if quick { 2 } else { edits.unwrap_or(EDITS) };
    let sizes = if quick { &SIZES[..1] } else { &SIZES[..] };
    println!(
        "{:<34}{:>8}{:>26}{:>8}",
        "edit to first right answer", "hosts", "ms min-median-max", "p99"
    );
    for layout in [Layout::Renamed, Layout::InPlace, Layout::OneFile] {
        for &hosts in sizes {
            let Measured { millis, answers, failed } = measure(layout, hosts, edits);
            let at = |share: f64| millis[((millis.len() - 1) as f64 * share).round() as usize];
            let range = format!("{:.1} - {:.1} - {:.1}", at(0.0), at(0.5), at(1.0));
            println!(
                "{:<34}{hosts:>8}{range:>26}{:>8.1}  {failed} of {answers} failed",
                layout.name(),
                at(0.99)
            );
        }
    }
}

fn measure(layout: Layout, hosts: usize, edits: usize) -> Measured {
    let mut story = Story::new(env!("CARGO_BIN_EXE_genkan"), PODS.len());
    story.write_services();
    // Which pod each host is sent to.
    let mut pods = vec![0; hosts];
    match layout {
        Layout::Renamed | Layout::InPlace => {
            for host in 0..hosts {
                story.manifests.write(&file(host), &object(host, 0));
            }
        }
        Layout::OneFile => story.manifests.write("all.yaml", &all(&pods)),
    }
    story.configure(|config| config.limits.keep_alive_requests = u64::MAX);
    story.start();
    let mut client = Client::connect(&story);

    let mut random = fastrand::Rng::with_seed(7);
    let (mut millis, mut answers, mut failed) = (Vec::new(), 0, 0);
    for _ in 0..edits {
        let host = random.usize(..hosts);
        let (old, new) = (pods[host], 1 - pods[host]);
        pods[host] = new;
        let text = match layout {
            Layout::Renamed | Layout::InPlace => object(host, new),
            Layout::OneFile => all(&pods),
        };
        assert_eq!(client.ask(host), Ok(PODS[old].to_owned()), "before the edit");
        let begun = Instant::now();
        match layout {
            Layout::Renamed => story.manifests.write(&file(host), &text),
            Layout::OneFile => story.manifests.write("all.yaml", &text),
            Layout::InPlace => {
                fs::write(story.manifests.directory().join(file(host)), &text).unwrap();
            }
        }
        loop {
            let pod = client.ask(host);
            let now = begun.elapsed();
            answers += 1;
            if pod.as_deref() == Ok(PODS[new]) {
                millis.push(now.as_secs_f64() * 1e3);
                break;
            }
            failed += u64::from(pod.as_deref() != Ok(PODS[old]));
            assert!(now < PATIENCE, "no answer of {} in {PATIENCE:?}: {}", PODS[new], story.log());
        }
    }
    millis.sort_by(f64::total_cmp);
    Measured { millis, answers, failed }
}

fn name(host: usize) -> String {
    format!("h{host}.example")
}

fn file(host: usize) -> String {
    format!("h{host}.yaml")
}

fn object(host: usize, pod: usize) -> String {
    Ingress::new(&format!("h{host}")).rule(&name(host), "/", PODS[pod]).yaml()
}

fn all(pods: &[usize]) -> String {
    let documents: Vec<String> =
        pods.iter().enumerate().map(|(host, &pod)| object(host, pod)).collect();
    documents.join("---\n")
}

// === impl Layout ===

impl Layout {
    fn name(self) -> &'static str {
        match self {
            Self::Renamed => "own file, replaced",
            Self::InPlace => "own file, written in place",
            Self::OneFile => "one file of all hosts, replaced",
        }
    }
}

// === impl Client ===

impl Client {
    fn connect(story: &Story) -> Self {
        let connect = || TcpStream::connect((EdgeLab::VIP4, 80)).unwrap();
        let stream = story.lab.client.run(connect);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// The pod that answers a host with 200, or the status.
    fn ask(&mut self, host: usize) -> Result<String, String> {
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", name(host));
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut status, mut pod, mut length) = (String::new(), String::new(), 0);
        loop {
            let mut line = String::new();
            assert!(self.stream.read_line(&mut line).unwrap() > 0, "the connection was closed");
            let line = line.trim_end();
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(("x-pod", value)) => pod = value.to_owned(),
                Some(_) => {}
                None if line.is_empty() => break,
                None => status = line.split(' ').nth(1).unwrap_or_default().to_owned(),
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        if status == "200" { Ok(pod) } else { Err(status) }
    }
}
