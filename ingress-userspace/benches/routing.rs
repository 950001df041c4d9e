//! Route lookup and edits at 10 to 100,000 hosts: nanoseconds as min-median-max of the rounds, and
//! the ratio of the medians to that of 10 hosts.
//!
//! Hosts: nine in ten precise, one in ten a wildcard; three paths each, one in ten with a
//! regex beside them. Requests go to random hosts; one in ten is for a host that nobody has. Small tables stay
//! in the cache of the core and large ones do not, so the ratio is the cost of the memory: the floor
//! is one hash map of the same hosts and requests, which pays it once.

use std::hint::black_box;
use std::time::Instant;

use foldhash::HashMap;
use genkan::model::Object;
use genkan::routing::fixture::{ingress, ready_service, upserts};
use genkan::routing::{Compiler, RequestHost, Settings};

const SIZES: [usize; 4] = [10, 1_000, 10_000, 100_000];
const ROUNDS: usize = 11;
const LOOKUPS: usize = 200_000;
const EDITS: usize = 500;

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let quick = std::env::args().any(|argument| argument == "--test");
    let sizes = if quick { &SIZES[..1] } else { &SIZES[..] };
    println!("{:<26}{:>9}{:>30}{:>9}", "", "hosts", "ns min-median-max", "ratio");
    let mut first = None;
    for &hosts in sizes {
        let measured = Measured::of(hosts);
        let base = first.get_or_insert_with(|| measured.clone()).clone();
        for ((name, rounds), (_, base)) in measured.rows.iter().zip(&base.rows) {
            let (low, median, high) = spread(rounds);
            let range = format!("{low:.0} - {median:.0} - {high:.0}");
            println!("{name:<26}{hosts:>9}{range:>30}{:>9.2}", median / spread(base).1);
        }
    }
}

#[derive(Clone)]
struct Measured {
    rows: Vec<(&'static str, Vec<f64>)>,
}

impl Measured {
    fn of(hosts: usize) -> Self {
        let mut compiler = Compiler::new(Settings::default());
        let services =
            ready_service("s", "10.0.0.1").into_iter().chain(ready_service("t", "10.0.0.2"));
        compiler.apply(upserts(services.chain((0..hosts).map(|host| object(host, "/api")))), 0);

        let requests = requests(hosts, LOOKUPS);
        let lookup = rounds(LOOKUPS, || {
            for (host, path) in &requests {
                black_box(compiler.snapshot().route(RequestHost::Name(host), path));
            }
        });
        let table: HashMap<String, Box<[u8; 64]>> =
            (0..hosts).map(|host| (served_name(host), Box::new([1; 64]))).collect();
        let floor = rounds(LOOKUPS, || {
            for (host, _) in &requests {
                black_box(table.get(host.as_str()).map(|value| value[0]));
            }
        });
        let mut random = fastrand::Rng::with_seed(7);
        let mut turn = 0;
        let mut edit = || {
            let host = random.usize(..hosts);
            turn += 1;
            let path = if turn % 2 == 0 { "/api" } else { "/new" };
            object(host, path)
        };
        let edits: Vec<Vec<Object>> =
            (0..ROUNDS).map(|_| (0..EDITS).map(|_| edit()).collect()).collect();
        let mut edits = edits.into_iter();
        let edit = rounds(EDITS, || {
            for object in edits.next().into_iter().flatten() {
                black_box(compiler.apply(upserts([object]), 0));
            }
        });
        let mut address = 0u32;
        let endpoint = rounds(EDITS, || {
            for _ in 0..EDITS {
                address = (address + 1) % 250;
                let [_, slice] = ready_service("s", &format!("10.0.1.{address}"));
                black_box(compiler.apply(upserts([slice]), 0));
            }
        });
        Self {
            rows: vec![
                ("floor: one hash map", floor),
                ("route lookup", lookup),
                ("edit of one host's path", edit),
                ("change of one endpoint", endpoint),
            ],
        }
    }
}

fn object(host: usize, path: &str) -> Object {
    let name = if host % 10 == 3 { format!("*.h{host}.example") } else { host_name(host) };
    let all = ingress(&format!("i{host}"))
        .exact(&name, "/exact", "s:80")
        .prefix(&name, path, "s:80")
        .prefix(&name, "/", "t:80");
    if host % 10 == 7 {
        all.regex().specific(&name, "/v[0-9]+/(.*)", "s:80").object()
    } else {
        all.object()
    }
}

/// A name that the rules of a host take.
fn served_name(host: usize) -> String {
    if host % 10 == 3 { format!("www.h{host}.example") } else { host_name(host) }
}

fn host_name(host: usize) -> String {
    format!("h{host}.example")
}

fn requests(hosts: usize, count: usize) -> Vec<(String, &'static str)> {
    let paths = ["/exact", "/api/users/17", "/v2/items/3", "/static/app.js"];
    let mut random = fastrand::Rng::with_seed(42);
    let mut request = || {
        let host = random.usize(..hosts);
        let miss = random.u8(..10) == 0;
        let name = if miss { format!("miss{host}.example") } else { served_name(host) };
        (name, paths[random.usize(..paths.len())])
    };
    (0..count).map(|_| request()).collect()
}

/// Nanoseconds of one of `count` operations, by round; the first round warms up.
fn rounds(count: usize, mut run: impl FnMut()) -> Vec<f64> {
    let mut measured = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        run();
        measured.push(start.elapsed().as_nanos() as f64 / count as f64);
    }
    measured.split_off(1)
}

fn spread(rounds: &[f64]) -> (f64, f64, f64) {
    let mut sorted = rounds.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    (sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1])
}
