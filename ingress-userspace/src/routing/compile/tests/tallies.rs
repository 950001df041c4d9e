//! What a route has counted outlives edits of its host and of the configuration.

use std::sync::Arc;

use super::*;
use crate::metrics::Tally;
use crate::model::Kind;
use crate::routing::Snapshot;
use crate::routing::fixture::{ingress, ready_service, removals};

fn tally(snapshot: &Snapshot, path: &str) -> Arc<Tally> {
    let route = snapshot.route(RequestHost::Name("a.example"), path).unwrap();
    route.tally.clone()
}

fn shop(paths: &[&str]) -> Object {
    let all = ingress("shop");
    paths.iter().fold(all, |all, path| all.prefix("a.example", path, "s:80")).object()
}

#[test]
fn counts_outlive_edits_and_end_with_their_route() {
    let mut compiler = Compiler::new(Settings::default());
    let first = compiler.apply(upserts([shop(&["/one", "/two"])]), 0).snapshot;
    let one = tally(&first, "/one");
    assert!(!Arc::ptr_eq(&one, &tally(&first, "/two")));

    let edited = compiler.apply(upserts([shop(&["/one", "/two", "/three"])]), 0).snapshot;
    assert!(Arc::ptr_eq(&one, &tally(&edited, "/one")));

    let config = Config { compat: Compat::Nginx, ..Config::default() };
    let after = compiler.set_settings(Settings::from(&config)).snapshot;
    assert!(Arc::ptr_eq(&one, &tally(&after, "/one")), "another configuration");

    compiler.apply(removals([(Kind::Ingress, "shop")]), 0);
    let anew = compiler.apply(upserts([shop(&["/one"])]), 0).snapshot;
    assert!(!Arc::ptr_eq(&one, &tally(&anew, "/one")), "the route was gone");
}

#[test]
fn catch_all_and_defaults_keep_their_counts() {
    let mut compiler = Compiler::new(Settings::default());
    let all = ingress("all").default_backend("s:80").object();
    let first = compiler.apply(upserts([all.clone()]), 0).snapshot;
    let before = tally(&first, "/");
    let [service, slice] = ready_service("s", "10.0.0.1");
    compiler.apply(upserts([service, slice]), 0);
    compiler.apply(upserts([ingress("other").prefix("b.example", "/", "s:80").object()]), 0);
    let config = Config { compat: Compat::Nginx, ..Config::default() };
    let after = compiler.set_settings(Settings::from(&config)).snapshot;
    assert!(Arc::ptr_eq(&before, &tally(&after, "/")));
}
