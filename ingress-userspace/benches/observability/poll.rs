//! What a look of the administration's page costs: the answer to what it asks once a second, with
//! as many routes as a screen shows, and the list of the first thousand.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use genkan::admin::client::Client;
use genkan::admin::status::{Traffic, VipTraffic, Worker};
use genkan::admin::{Admin, Ask, Asks, Configured, Node, View};
use genkan::config::Config;
use genkan::config::admin::{AdminConfig, AdminSocket};
use genkan::metrics::{Exposition, Sum};
use genkan::routing::Snapshot;

const SEEN: usize = 60;

struct Plain(Arc<Snapshot>);

impl Node for Plain {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.0.clone()
    }

    fn workers(&self) -> Vec<Worker> {
        Vec::new()
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }

    fn vips(&self) -> BTreeMap<Arc<str>, VipTraffic> {
        BTreeMap::new()
    }

    fn unrouted(&self) -> Sum {
        Sum::default()
    }

    fn metrics(&self, _: &mut Exposition) {}
}

/// Prints bytes and milliseconds of each question, socket and client included.
pub(crate) fn measure(snapshot: Arc<Snapshot>, rounds: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("admin.sock");
    let config = AdminConfig { socket: AdminSocket::At(socket.clone()), group: None, listen: None };
    let (admin, asks) = Admin::start(&config).expect("the socket can be made");
    // As long as the process.
    std::thread::spawn(move || answer(asks));
    let mut seen = String::from("/status?lists=routes");
    let mut number = 0;
    snapshot.each_route(|_, route| {
        route.tally.of(0, 1).answered(200);
        route.tally.of(0, 1).duration.observe(Duration::from_millis(1));
        if number < SEEN {
            let id = route.id.replace('[', "%5B").replace(']', "%5D");
            seen.push_str(&format!("&route={id}"));
        }
        number += 1;
    });
    admin.show(Plain(snapshot));
    println!("\n{:<44}{:>30}{:>9}", "page, a question", "ms min - median - max", "bytes");
    row("numbers of the routes of a screen", &socket, &seen, rounds);
    row("list of the first thousand routes", &socket, "/status?lists=routes", rounds);
}

fn row(name: &str, socket: &Path, target: &str, rounds: usize) {
    let client = Client::new(socket, Duration::from_secs(10));
    let mut bytes = 0;
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            let answer = client.get(target).and_then(|answer| answer.or_refused());
            bytes = answer.expect("an answer").body.len();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    let range = format!("{:.2} - {:.2} - {:.2}", times[0], times[rounds / 2], times[rounds - 1]);
    println!("{name:<44}{range:>30}{bytes:>9}");
}

/// The control side.
fn answer(mut asks: Asks) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let one = async {
        loop {
            if let Ask::View(answer) = asks.next().await {
                let _ = answer.send(view());
            }
        }
    };
    runtime.block_on(one)
}

fn view() -> View {
    let now = SystemTime::now();
    View {
        config: Arc::new(Config::default()),
        configured: Configured {
            file: String::new(),
            taken: now,
            reloads: 0,
            reloads_failed: 0,
            errors: Vec::new(),
            published: now,
        },
        problems: Arc::new([]),
        draining: false,
        workers_apart: false,
        running: Vec::new(),
        interfaces: Vec::new(),
        vips: Vec::new(),
        events: 0,
        kernel_error: None,
        source: None,
    }
}
