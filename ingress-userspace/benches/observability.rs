//! What counting and logging cost a request: nanoseconds as min-median-max of the rounds, and the
//! ratio of the medians to a request that is only counted.
//!
//! Everything that a worker does at the end of a request, with the writer of the log at work and
//! its file thrown away. Requests go to one route, or to a random one of 10,000, whose counters are
//! not in the cache of the core. Rounds of all rows alternate. Then what the administration's page
//! asks of 10,000 routes ([`poll`]).

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use genkan::config::access_log::{AccessLogConfig, AccessLogFormat, AccessLogTarget};
use genkan::config::{Config, PortProtocol};
use genkan::filter::Shared;
use genkan::net::load::LoadBoard;
use genkan::proxy::access_log::{AccessLog, Entry, Line};
use genkan::proxy::counters::Counters;
use genkan::proxy::worker::{Clock, OpenConnections};
use genkan::proxy::{Connection, Outcome, ProxyContext, Settings, WorkerState};
use genkan::routing::fixture::{ingress, ready_service, upserts};
use genkan::routing::{self, Compiler, Route, Snapshot};
use genkan::snapshot::Publisher;
use genkan::upstream::ClientTls;
use http::{HeaderValue, Method, Uri, Version};
use tokio_util::sync::CancellationToken;

#[path = "observability/poll.rs"]
mod poll;

const ROUNDS: usize = 11;
const REQUESTS: usize = 100_000;
const ROUTES: usize = 10_000;
/// Questions of each kind to the administration.
const LOOKS: usize = 201;

/// One way to end a request.
struct Row {
    name: &'static str,
    worker: Option<WorkerState>,
    routes: usize,
    rounds: Vec<f64>,
}

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let quick = std::env::args().any(|argument| argument == "--test");
    let (requests, hosts) = if quick { (100, 10) } else { (REQUESTS, ROUTES) };
    let snapshot = snapshot(hosts);
    let mut routes = Vec::new();
    snapshot.each_route(|_, route| routes.push(route.clone()));
    let mut rows = rows(routes.len());
    for round in 0..ROUNDS {
        for row in &mut rows {
            let took = row.measure(requests, &routes);
            // The first one warms up.
            if round > 0 {
                row.rounds.push(took);
            }
        }
    }
    println!("{:<44}{:>30}{:>9}", "end of a request", "ns min - median - max", "ratio");
    let base = rows.iter().find(|row| row.name == COUNTED).map_or(1.0, |row| row.spread().1);
    for row in &rows {
        let (low, median, high) = row.spread();
        let range = format!("{low:.0} - {median:.0} - {high:.0}");
        println!("{:<44}{range:>30}{:>9.2}", row.name, median / base);
    }
    poll::measure(snapshot, if quick { 1 } else { LOOKS });
}

const COUNTED: &str = "counted, log off";

fn rows(many: usize) -> Vec<Row> {
    let json = AccessLogFormat::Json;
    let short = ["time", "client_address", "host", "path", "status", "duration_us"];
    let row = |name, worker, routes| Row { name, worker, routes, rounds: Vec::new() };
    vec![
        row("neither counted nor logged", None, 1),
        row(COUNTED, Some(worker(None)), 1),
        row("counted, log off, many routes", Some(worker(None)), many),
        row("counted, logged as JSON", Some(worker(Some((json.clone(), &[])))), 1),
        row("counted, logged as JSON with six fields", Some(worker(Some((json, &short)))), 1),
        row("counted, logged as combined", Some(worker(Some((AccessLogFormat::Combined, &[])))), 1),
    ]
}

// === impl Row ===

impl Row {
    /// Nanoseconds of one request.
    fn measure(&self, requests: usize, routes: &[Arc<Route>]) -> f64 {
        let (peer, local) = ("192.0.2.17:40123", "198.51.100.1:443");
        let connection = Connection::new(
            peer.parse().expect("an address"),
            local.parse().expect("an address"),
            PortProtocol::Https,
            None,
        );
        let uri = Uri::from_static("/api/v1/users/4711?fields=name,mail");
        let host = HeaderValue::from_static("shop.example.com");
        let agent = HeaderValue::from_static("Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101");
        let mut random = fastrand::Rng::with_seed(7);
        let start = Instant::now();
        for number in 0..requests {
            let mut outcome = Outcome::default();
            outcome.route = Some(routes[random.usize(..self.routes)].clone());
            outcome.upstream = Some(Duration::from_micros(700));
            outcome.request_id.extend_from_slice(b"0123456789abcdef0123456789abcdef");
            let entry = Entry {
                connection: &connection,
                version: Version::HTTP_11,
                method: Some(&Method::GET),
                uri: Some(&uri),
                host: Some(&host),
                referer: None,
                user_agent: Some(&agent),
                status: if number % 20 == 0 { 404 } else { 200 },
                received: 0,
                sent: 1024,
                duration: Duration::from_micros(900 + number as u64 % 4096),
                outcome: &outcome,
                failure: None,
            };
            match black_box(&self.worker) {
                Some(worker) => worker.finished(&entry),
                None => drop(black_box(&entry)),
            }
        }
        start.elapsed().as_nanos() as f64 / requests as f64
    }

    fn spread(&self) -> (f64, f64, f64) {
        let mut sorted = self.rounds.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        (sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1])
    }
}

fn snapshot(hosts: usize) -> Arc<Snapshot> {
    let mut compiler = Compiler::new(routing::Settings::default());
    let objects = (0..hosts).map(|host| {
        ingress(&format!("i{host}")).prefix(&format!("h{host}.example"), "/", "s:80").object()
    });
    let services = ready_service("s", "10.0.0.1").into_iter();
    Arc::new(compiler.apply(upserts(services.chain(objects)), 0).snapshot)
}

fn worker(log: Option<(AccessLogFormat, &[&str])>) -> WorkerState {
    let counters: Arc<Counters> = Arc::default();
    let access_log = log.map(|(format, fields)| {
        let config = AccessLogConfig {
            to: AccessLogTarget::File("/dev/null".into()),
            format,
            fields: fields.iter().map(|&field| field.to_owned()).collect(),
        };
        let (log, _) = AccessLog::start(&config).expect("/dev/null can be opened");
        log.recorder(Some(Arc::new(Line::new(&config))), counters.clone())
    });
    WorkerState {
        context: ProxyContext::new(
            0,
            Arc::new(ArcSwap::from_pointee(Settings::from(&Config::default()))),
            Publisher::new(1).subscribe(0),
            CancellationToken::new(),
            Arc::new(ClientTls::new(rustls::RootCertStore::empty())),
            Arc::default(),
            Shared::default(),
        ),
        access_log,
        open: OpenConnections::new(LoadBoard::heap(1).slot(0), counters.clone()),
        counters,
        clock: Clock::new(),
        buffers: Rc::default(),
    }
}
