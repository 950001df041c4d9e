//! What a lookup, an edit and the id of a request cost in allocations, whatever the number of hosts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use genkan::config::{Compat, Config};
use genkan::filter::request_id;
use genkan::model::Object;
use genkan::routing::fixture::{ingress, ready_service, upserts};
use genkan::routing::{Compiler, RequestHost, Settings, host, path};

/// Counts what the current thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system allocator unchanged; the counter is a plain thread-local
// without destructor, so that touching it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations<T>(run: impl FnOnce() -> T) -> (u64, T) {
    let before = ALLOCATIONS.with(Cell::get);
    let value = run();
    (ALLOCATIONS.with(Cell::get) - before, value)
}

/// One Ingress for each host; every tenth a wildcard, every hundredth with a regex path.
fn object(host: usize, path: &str) -> Object {
    let name = match host % 10 {
        3 => format!("*.h{host}.example"),
        _ => format!("h{host}.example"),
    };
    let all = ingress(&format!("i{host}"))
        .exact(&name, "/exact", "s:80")
        .prefix(&name, path, "s:80")
        .prefix(&name, "/", "t:80");
    if host.is_multiple_of(100) {
        all.regex().specific(&name, "/v[0-9]+/(.*)", "s:80").object()
    } else {
        all.object()
    }
}

fn compiler(hosts: usize) -> Compiler {
    let mut compiler = Compiler::new(Settings::default());
    let services = ready_service("s", "10.0.0.1").into_iter().chain(ready_service("t", "10.0.0.2"));
    compiler.apply(upserts(services.chain((0..hosts).map(|host| object(host, "/api")))), 0);
    compiler
}

/// Allocations of each of some edits of one host, then of some changes of one endpoint.
fn edit_costs(hosts: usize) -> Vec<u64> {
    let mut compiler = compiler(hosts);
    let mut costs = Vec::new();
    for round in 0..6 {
        let change = upserts([object(5, if round % 2 == 0 { "/new" } else { "/api" })]);
        let (count, compiled) = allocations(|| compiler.apply(change, 0));
        assert_eq!(compiled.touched.len(), 1);
        costs.push(count);
    }
    for address in ["10.0.0.3", "10.0.0.4", "10.0.0.5"] {
        let [_, slice] = ready_service("s", address);
        let (count, compiled) = allocations(|| compiler.apply(upserts([slice]), 0));
        assert_eq!(compiled.touched.len(), 0);
        costs.push(count);
    }
    costs
}

#[test]
fn edits_allocate_the_same_with_10_and_100_000_hosts() {
    let few = edit_costs(10);
    println!("allocations of six edits and three endpoint changes: {few:?}");
    assert_eq!(few, edit_costs(100_000));
}

#[test]
fn a_lookup_allocates_nothing() {
    for compat in [Compat::None, Compat::Nginx] {
        let mut compiler = Compiler::new(Settings::from(&Config { compat, ..Config::default() }));
        compiler.apply(upserts((0..1000).map(|host| object(host, "/api"))), 0);
        let snapshot = compiler.snapshot();
        let requests = [
            ("h1.example", "/exact"),
            ("H1.example:80", "/api/x"),
            ("any.h3.example", "/api"),
            ("h100.example", "/v12/x"),
            ("h100.example", "/other"),
            ("unknown.example", "/"),
        ];
        let mut buffer = String::with_capacity(64);
        let mut look_up = |name, raw| {
            let host = host::normalise(name, &mut buffer).unwrap();
            let path = path::normalise(raw).unwrap();
            snapshot.route(host, &path).is_some()
        };
        // The automaton of a regex host builds its states at the first sight of a path.
        for (name, raw) in requests {
            look_up(name, raw);
        }
        for (name, raw) in requests {
            let (count, found) = allocations(|| look_up(name, raw));
            assert_eq!(count, 0, "{name} {raw}");
            assert_eq!(found, name != "unknown.example");
        }
    }
}

#[test]
fn cloning_a_snapshot_copies_pointers_only() {
    let compiler = compiler(1000);
    let (count, copy) = allocations(|| compiler.snapshot().clone());
    assert_eq!(count, 0);
    assert!(copy.route(RequestHost::Name("h1.example"), "/").is_some());
}

#[test]
fn the_id_of_a_request_allocates_nothing() {
    let with = |id: &'static str| {
        let field = (http::HeaderName::from_static("x-request-id"), id.parse().unwrap());
        http::HeaderMap::from_iter([field])
    };
    let (none, uuid) = (http::HeaderMap::new(), with("7d444840-9dc0-11d1-b245-5ffdce74fad2"));
    for (headers, length) in [(&none, 32), (&uuid, 36), (&with("a b"), 32)] {
        let (count, id) = allocations(|| request_id::of(headers));
        assert_eq!((count, id.len()), (0, length));
    }
}
