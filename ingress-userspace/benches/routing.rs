//! Route lookup and edits at 10 to 100,000 hosts: nanoseconds as min-median-max of the rounds, the
//! ratio of the minima to that of 10 hosts, and for lookups the ratio to their floor.
//!
//! Hosts: nine in ten precise, one in ten a wildcard; three paths each, one in ten with a
//! regex beside them. One in ten requests is for a host that nobody has; the others go to every
//! host alike, or in the `hot` rows as Zipf's law says (exponent 1.2: a hundred of 100,000 hosts get
//! seven of ten requests).
//!
//! Small tables stay in the cache of the core and large ones do not, so that even what no router
//! can do without grows. The floors show by how much, with the same requests:
//!
//! * `hash map`: one map from the names, as strings, to a number;
//! * `map and block`: then one word of a block that belongs to the host, as large as what the
//!   router keeps for it. Whatever decides by the rules of a host has to read them somewhere.
//!
//! Each request begins when the one before has its answer. Otherwise the core works on several at
//! once and hides the misses of the short floors, but of no proxy. A machine that does other work
//! interrupts; so the times are those of pieces of 1,000 requests, each ranked by itself.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use foldhash::HashMap;
use genkan::model::Object;
use genkan::routing::fixture::{ingress, ready_service, upserts};
use genkan::routing::{Compiler, RequestHost, Settings, Snapshot};

/// As the program does.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SIZES: [usize; 4] = [10, 1_000, 10_000, 100_000];
const ROUNDS: usize = 11;
const LOOKUPS: usize = 200_000;
const PIECE: usize = 1_000;
const EDITS: usize = 500;
const ZIPF: f64 = 1.2;

/// A name and nanoseconds of one operation.
type Row = (&'static str, Vec<f64>);
type Request = (String, &'static str);
/// Zero, in a way that the compiler does not see.
type Answer<'a> = &'a dyn Fn(&str, &str) -> usize;

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let quick = std::env::args().any(|argument| argument == "--test");
    let sizes = if quick { &SIZES[..1] } else { &SIZES[..] };
    let mut base: Option<Vec<Row>> = None;
    println!("{:<26}{:>9}{:>30}{:>9}{:>9}", "", "hosts", "ns min-median-max", "growth", "/ floor");
    for &hosts in sizes {
        let rows = measure(hosts);
        let base = base.get_or_insert_with(|| rows.clone());
        for ((name, rounds), (_, base)) in rows.iter().zip(base) {
            let (low, median, high) = spread(rounds);
            let range = format!("{low:.0} - {median:.0} - {high:.0}");
            let growth = low / spread(base).0;
            let floor = floor_of(name).and_then(|floor| rows.iter().find(|row| row.0 == floor));
            let floor = floor.map_or(String::new(), |row| format!("{:.2}", low / spread(&row.1).0));
            println!("{name:<26}{hosts:>9}{range:>30}{growth:>9.2}{floor:>9}");
        }
    }
}

/// What a row is compared with.
fn floor_of(row: &str) -> Option<&'static str> {
    match row {
        "route lookup" => Some("floor: map and block"),
        "hot: route lookup" => Some("hot: map and block"),
        _ => None,
    }
}

fn measure(hosts: usize) -> Vec<Row> {
    let mut compiler = Compiler::new(Settings::default());
    let services = ready_service("s", "10.0.0.1").into_iter().chain(ready_service("t", "10.0.0.2"));
    compiler.apply(upserts(services.chain((0..hosts).map(|host| object(host, "/api")))), 0);
    let mut rows = lookups(compiler.snapshot(), hosts);
    rows.extend(edits(&mut compiler, hosts));
    rows
}

fn lookups(snapshot: &Snapshot, hosts: usize) -> Vec<Row> {
    let mut random = fastrand::Rng::with_seed(42);
    let even: Vec<usize> = (0..LOOKUPS).map(|_| random.usize(..hosts)).collect();
    let of_kind = |kind| even.iter().map(|host| host / 10 * 10 + kind).collect::<Vec<_>>();

    let table: HashMap<String, usize> = (0..hosts).map(|host| (served_name(host), host)).collect();
    let blocks = vec![[black_box(0usize); 32]; hosts];
    let map: Answer<'_> = &|host, _| table.get(host).map_or(0, |number| number >> 40);
    let block: Answer<'_> = &|host, _| table.get(host).map_or(0, |&number| blocks[number][7]);
    let router: Answer<'_> = &|host, path| {
        let route = snapshot.route(RequestHost::Name(host), path);
        route.map_or(0, |route| Arc::as_ptr(route).addr() >> 60)
    };

    let mut rows = timed(
        &requests(&even, |at| at % 10 == 9),
        &[("floor: hash map", map), ("floor: map and block", block), ("route lookup", router)],
    );
    rows.extend(timed(
        &requests(&zipf(hosts), |at| at % 10 == 9),
        &[("hot: map and block", block), ("hot: route lookup", router)],
    ));
    for (name, kind) in [("precise hosts", 1), ("wildcard hosts", 3), ("hosts with a regex", 7)] {
        rows.extend(timed(&requests(&of_kind(kind), |_| false), &[(name, router)]));
    }
    rows.extend(timed(&requests(&even, |_| true), &[("unknown hosts", router)]));
    rows
}

/// The answers take turns, so that all see the same machine.
fn timed(requests: &[Request], answers: &[(&'static str, Answer<'_>)]) -> Vec<Row> {
    let pieces: Vec<&[Request]> = requests.chunks(PIECE).collect();
    let mut times = vec![vec![Vec::new(); pieces.len()]; answers.len()];
    // The first round warms up.
    for round in 0..=ROUNDS {
        for ((_, answer), times) in answers.iter().zip(&mut times) {
            for (piece, times) in pieces.iter().zip(times) {
                let start = Instant::now();
                let mut at = 0;
                while let Some((host, path)) = piece.get(at) {
                    at += 1 + answer(host, path);
                }
                if round > 0 {
                    times.push(start.elapsed().as_nanos() as f64);
                }
            }
        }
    }
    times.iter_mut().flatten().for_each(|times| times.sort_unstable_by(f64::total_cmp));
    let ranked = |times: &[Vec<f64>], rank: usize| {
        times.iter().map(|times| times[rank]).sum::<f64>() / requests.len() as f64
    };
    let rows = answers.iter().zip(&times);
    rows.map(|((name, _), times)| (*name, (0..ROUNDS).map(|rank| ranked(times, rank)).collect()))
        .collect()
}

fn edits(compiler: &mut Compiler, hosts: usize) -> Vec<Row> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut turn = 0;
    let mut edit = || {
        let host = random.usize(..hosts);
        turn += 1;
        let path = if turn % 2 == 0 { "/api" } else { "/new" };
        object(host, path)
    };
    let edits: Vec<Vec<Object>> =
        (0..=ROUNDS).map(|_| (0..EDITS).map(|_| edit()).collect()).collect();
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
    vec![("edit of one host's path", edit), ("change of one endpoint", endpoint)]
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

fn requests(hosts: &[usize], missed: impl Fn(usize) -> bool) -> Vec<Request> {
    let paths = ["/exact", "/api/users/17", "/v2/items/3", "/static/app.js"];
    let mut random = fastrand::Rng::with_seed(44);
    let mut request = |(at, &host): (usize, &usize)| {
        let name = if missed(at) { format!("miss{host}.example") } else { served_name(host) };
        (name, paths[random.usize(..paths.len())])
    };
    hosts.iter().enumerate().map(&mut request).collect()
}

/// Hosts by popularity; who is popular is a matter of luck.
fn zipf(hosts: usize) -> Vec<usize> {
    let mut random = fastrand::Rng::with_seed(43);
    let mut by_rank: Vec<usize> = (0..hosts).collect();
    random.shuffle(&mut by_rank);
    let mut sum = 0.0;
    let mut sums = Vec::with_capacity(hosts);
    for rank in 1..=hosts {
        sum += (rank as f64).powf(-ZIPF);
        sums.push(sum);
    }
    let mut draw = || {
        let point = random.f64() * sum;
        by_rank[sums.partition_point(|&sum| sum < point).min(hosts - 1)]
    };
    (0..LOOKUPS).map(|_| draw()).collect()
}

/// Nanoseconds of one of `count` operations, by round; the first round warms up.
fn rounds(count: usize, mut run: impl FnMut()) -> Vec<f64> {
    let mut measured = Vec::new();
    for _ in 0..=ROUNDS {
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
