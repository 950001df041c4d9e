use std::sync::Arc;
use std::time::SystemTime;

use super::*;
use crate::admin::control::Configured;
use crate::admin::status::Interface;
use crate::config::Config;

fn worker(index: usize) -> Worker {
    Worker {
        index,
        cpu: 0,
        pinned: true,
        connections: 0,
        accepted: 0,
        requests: 0,
        served: 7,
        silent: 0.5,
        panics: 0,
        replaced: 0,
    }
}

fn view() -> View {
    View {
        config: Arc::new(Config::default()),
        configured: Configured {
            file: "genkan.yaml".to_owned(),
            taken: SystemTime::UNIX_EPOCH,
            reloads: 0,
            reloads_failed: 0,
            errors: Vec::new(),
            published: SystemTime::UNIX_EPOCH,
        },
        problems: Arc::new([]),
        draining: false,
        running: vec![true, true],
        workers_apart: false,
        interfaces: vec![interface(Steer::Native, None)],
        vips: Vec::new(),
        events: 0,
        kernel_error: None,
        source: None,
    }
}

fn interface(steer: Steer, reason: Option<&str>) -> Interface {
    let reason = reason.map(str::to_owned);
    Interface { name: "eth0".to_owned(), index: 2, mtu: 1500, driver: None, steer, reason }
}

/// State of one condition, and whether all together are ready.
fn judged(name: &str, readiness: &Readiness) -> (ConditionState, bool) {
    let found = readiness.conditions.iter().find(|condition| condition.name == name);
    (found.unwrap_or_else(|| panic!("{name}: {readiness:?}")).state, readiness.ready)
}

#[test]
fn node_that_lacks_nothing_is_ready() {
    let readiness = readiness(&[worker(0), worker(1)], Ok(&view()));
    assert!(readiness.ready, "{readiness:?}");
    assert!(readiness.conditions.iter().all(|c| c.state == ConditionState::Good));
    assert!(readiness.text().ends_with("\nready\n"), "{}", readiness.text());
}

#[test]
fn what_still_serves_is_degraded_and_ready() {
    let degraded = (ConditionState::Degraded, true);
    let mut generic = view();
    generic.interfaces = vec![interface(Steer::Generic, Some("no XDP in the driver"))];
    let told = readiness(&[worker(0)], Ok(&generic));
    assert_eq!(judged("kernel", &told), degraded);
    assert!(told.text().contains("generic (no XDP in the driver)"), "{}", told.text());

    let mut refused = view();
    refused.configured.errors = vec!["genkan.yaml:3: no".to_owned()];
    assert_eq!(judged("configuration", &readiness(&[worker(0)], Ok(&refused))), degraded);

    let mut one_gone = view();
    one_gone.running = vec![true, false];
    let told = readiness(&[worker(0), worker(1)], Ok(&one_gone));
    assert_eq!(judged("listeners", &told), degraded);

    let busy = readiness(&[worker(0)], Err(Silent::Late));
    assert_eq!(judged("control", &busy), degraded);
}

#[test]
fn node_that_cannot_take_new_connections_is_not_ready() {
    let bad = (ConditionState::Bad, false);
    assert_eq!(judged("started", &starting(None)), bad);
    let draining = View { draining: true, ..view() };
    assert_eq!(judged("draining", &readiness(&[worker(0)], Ok(&draining))), bad);
    let without_routes = Worker { served: 0, ..worker(1) };
    let told = readiness(&[worker(0), without_routes], Ok(&view()));
    assert_eq!(judged("snapshot", &told), bad);
    let silent = Worker { silent: 11.0, ..worker(0) };
    assert_eq!(judged("listeners", &readiness(&[silent], Ok(&view()))), bad);
    assert_eq!(judged("control", &readiness(&[worker(0)], Err(Silent::Gone))), bad);
}

#[test]
fn only_a_stuck_process_asks_to_be_replaced() {
    assert_eq!(stuck(&[worker(0)], Ok(&view())), None);
    let draining = View { draining: true, ..view() };
    assert_eq!(stuck(&[worker(0)], Ok(&draining)), None);
    assert!(stuck(&[worker(0)], Err(Silent::Late)).is_some());
    let silent = Worker { silent: 61.0, ..worker(1) };
    assert!(stuck(&[worker(0), silent.clone()], Ok(&view())).unwrap().contains("worker 1"));
    let empty = View { running: vec![false, false], ..view() };
    assert!(stuck(&[worker(0)], Ok(&empty)).unwrap().contains("no worker"));
    let of_an_agent = View { workers_apart: true, ..empty.clone() };
    assert_eq!(
        stuck(std::slice::from_ref(&silent), Ok(&of_an_agent)),
        None,
        "its proxy is asked itself"
    );
    let ended = View { draining: true, ..empty };
    assert_eq!(stuck(&[worker(0)], Ok(&ended)), None);
    let drained = View { draining: true, running: vec![true, false], ..view() };
    assert_eq!(stuck(&[worker(0), silent], Ok(&drained)), None);
}
