//! C1-C12, C14, C15: several Ingresses on one host, and defaults.

use super::World;
use crate::model::{Backend, Kind, Object, PathKind, Reason};
use crate::routing::fixture::{
    backend, certificate, ingress, ready_service, removals, service, slice, upserts,
};
use crate::routing::{Action, ClusterState};

#[test]
fn c1_oldest_wins_then_namespace_and_name_then_earlier_rule() {
    let one = |name: &str| ingress(name).prefix("h", "/foo", "s:80");
    let world = World::of([one("a").created(20).object(), one("z").created(10).object()]);
    assert_eq!(world.id("h", "/foo"), "z/rules[0].paths[0]");
    assert_eq!(world.told_of_rules(), ["ConflictingPath a spec.rules[0].http.paths[0].path"]);

    let world = World::of([
        one("ns2/a").created(10).object(),
        one("ns1/z").created(10).object(),
        one("ns1/y").created(10).object(),
        one("ns0/x").object(),
    ]);
    assert_eq!(world.id("h", "/foo"), "ns1/y/rules[0].paths[0]", "no age is the youngest");

    let twice = one("a").prefix("other", "/", "s:80").prefix("h", "/foo", "s2:80");
    let world = World::of([twice.object()]);
    assert_eq!(world.id("h", "/foo"), "a/rules[0].paths[0]");
    assert_eq!(world.told_of_rules(), ["ConflictingPath a spec.rules[2].http.paths[0].path"]);
}

#[test]
fn c1_regex_and_literal_path_written_alike_conflict() {
    let regex = |created| ingress("a").created(created).regex();
    let free = PathKind::ImplementationSpecific;
    for (created, path) in [(2, "/a"), (0, "/(a%7Cb)")] {
        let world = World::of([
            ingress("b").created(1).path("h", free, "/(a|b)", backend("s:80")).object(),
            regex(created).path("h", free, "/(a|b)", backend("s:80")).object(),
        ]);
        assert_eq!(world.told_of_rules().len(), 1);
        let is_served = world.route("h", path).is_some();
        assert!(!is_served, "{path}: only the rule of the older Ingress counts");
    }
}

#[test]
fn c2_same_path_of_another_type_is_no_conflict() {
    let world = World::of([
        ingress("a").created(1).prefix("h", "/foo", "s:80").object(),
        ingress("b").created(2).exact("h", "/foo", "s:80").object(),
    ]);
    assert_eq!(world.id("h", "/foo"), "b/rules[0].paths[0]");
    assert_eq!(world.id("h", "/foo/x"), "a/rules[0].paths[0]");
    assert!(world.told_of_rules().is_empty());
}

#[test]
fn c2_same_path_of_another_type_keeps_the_exact_one_on_a_regex_host() {
    let world = World::nginx().and([
        ingress("a").created(1).regex().prefix("h", "/foo", "s:80").object(),
        ingress("b").created(2).exact("h", "/foo", "s:80").object(),
    ]);
    assert_eq!(world.id("h", "/foo"), "b/rules[0].paths[0]");
}

#[test]
fn c3_ingresses_of_one_namespace_merge_on_a_host() {
    let world = World::of([
        ingress("a").prefix("h", "/a", "s:80").object(),
        ingress("b").prefix("h", "/b", "s:80").object(),
    ]);
    assert_eq!(world.id("h", "/a"), "a/rules[0].paths[0]");
    assert_eq!(world.id("h", "/b"), "b/rules[0].paths[0]");
}

#[test]
fn c4_first_ingress_that_sets_the_certificate_decides() {
    let one = |name: &str, secret: &str| {
        ingress(name).prefix("h", &format!("/{name}"), "s:80").tls(&["h"], Some(secret))
    };
    let world = World::of([one("a", "s1").created(2).object(), one("b", "s2").created(1).object()]);
    let mut told = world.told_of_rules();
    told.sort_unstable();
    assert_eq!(told, ["ConflictingHost a spec.tls[0]", "SecretNotFound b spec.tls[0].secretName"]);
}

#[test]
fn c5_default_backend_of_an_ingress_with_rules_serves_its_hosts() {
    let world = World::of([
        ingress("a").prefix("h", "/foo", "s:80").default_backend("d:80").object(),
        ingress("b").prefix("i", "/foo", "s:80").object(),
    ]);
    assert_eq!(world.id("h", "/other"), "a/default");
    assert_eq!(world.id("i", "/other"), "404");
    assert_eq!(world.id("unknown", "/"), "404");
    let any = ingress("c").prefix("", "/foo", "s:80").default_backend("d:80");
    let world = world.and([any.object()]);
    assert_eq!(world.id("unknown", "/"), "c/default");
    assert_eq!(world.id("i", "/other"), "404", "a known host is not an unmatched one");
}

#[test]
fn c6_default_backend_without_rules_is_the_catch_all() {
    let world = World::of([
        ingress("b").created(2).default_backend("s:80").object(),
        ingress("a").created(3).default_backend("t:80").object(),
        ingress("x").prefix("h", "/foo", "s:80").object(),
    ]);
    for (host, path) in [("h", "/other"), ("unknown", "/"), ("", "/x"), ("10.0.0.1", "/")] {
        assert_eq!(world.id(host, path), "b/default", "{host}{path}");
    }
    assert_eq!(world.told_of_rules(), ["ConflictingHost a spec.defaultBackend"]);
}

#[test]
fn c7_first_default_backend_of_a_host_wins() {
    let one = |name: &str, to: &str| {
        ingress(name).prefix("h", &format!("/{name}"), "s:80").default_backend(to)
    };
    let world = World::of([
        one("a", "d1:80").created(2).object(),
        one("b", "d2:80").created(1).object(),
        one("c", "d2:80").created(3).object(),
    ]);
    assert_eq!(&*world.cluster("h", "/other").service, "d2");
    assert_eq!(world.told_of_rules(), ["ConflictingHost a spec.defaultBackend"]);
}

#[test]
fn c8_nothing_matches_and_no_default_is_no_route() {
    assert!(World::new().route("h", "/").is_none());
}

#[test]
fn c9_missing_service_port_or_endpoints_keep_the_routes_place() {
    let all = ingress("a")
        .prefix("h", "/", "ok:80")
        .prefix("h", "/service", "missing:80")
        .prefix("h", "/port", "ok:81")
        .prefix("h", "/name", "ok:http")
        .prefix("h", "/empty", "empty:80");
    let mut world = World::of([all.object(), Object::Service(service("empty", &[("", 80)]))])
        .and(ready_service("ok", "10.0.0.1"));
    for (path, state) in [
        ("/x", ClusterState::Ready),
        ("/service", ClusterState::ServiceNotFound),
        ("/port", ClusterState::PortNotFound),
        ("/name", ClusterState::PortNotFound),
        ("/empty", ClusterState::NoEndpoints),
    ] {
        assert_eq!(world.cluster("h", path).state, state, "{path}");
    }
    let field = |path| format!("a spec.rules[0].http.paths[{path}].backend");
    let mut told = vec![
        format!("ServiceNotFound {}", field(1)),
        format!("PortNotFound {}", field(2)),
        format!("PortNotFound {}", field(3)),
        format!("NoEndpoints {}", field(4)),
    ];
    told.sort();
    let mut found = world.told();
    found.sort();
    assert_eq!(found, told);

    let compiled = world.apply(upserts(ready_service("missing", "10.0.0.2")));
    assert_eq!(world.cluster("h", "/service").state, ClusterState::Ready);
    assert_eq!(compiled.resolved.len(), 1);
    assert!(compiled.problems.is_empty() && compiled.touched.is_empty());
    world.apply(removals([(Kind::EndpointSlice, "missing-1")]));
    assert_eq!(world.cluster("h", "/service").state, ClusterState::NoEndpoints);
}

/// A slip in a host must not turn an Ingress into the entrance of everything.
#[test]
fn c6_ingress_whose_rules_were_all_refused_is_no_catch_all() {
    let x = certificate("x", &["some.example"]);
    let slip = ingress("slip").created(1).refused_rule().default_backend("s:80");
    let slip = slip.tls(&[], Some("x"));
    let mut world = World::of([slip.clone().object(), Object::Secret(x.into())]);
    assert_eq!(world.id("any.example", "/"), "404");
    assert!(world.compiler.snapshot().unknown_certificate.is_none());

    let real = ingress("real").created(2).default_backend("t:80");
    world.apply(upserts([real.object()]));
    assert_eq!(world.id("any.example", "/"), "real/default");
    assert!(world.told_of_rules().is_empty(), "and it is no rival of one");

    // It becomes one, and ceases to be, by an edit.
    let bare = ingress("slip").created(1).default_backend("s:80").tls(&[], Some("x"));
    world.apply(upserts([bare.object()]));
    assert_eq!(world.id("any.example", "/"), "slip/default");
    assert!(world.compiler.snapshot().unknown_certificate.is_some());
    world.apply(upserts([slip.object()]));
    assert_eq!(world.id("any.example", "/"), "real/default");
    assert!(world.compiler.snapshot().unknown_certificate.is_none());
}

#[test]
fn c10_port_by_name_or_by_service_port_number() {
    let mut named = service("s", &[("http", 80), ("admin", 9000)]);
    named.ports[0].target_port = Some(8080);
    let all = || {
        ingress("a")
            .prefix("h", "/name", "s:admin")
            .prefix("h", "/number", "s:80")
            .prefix("h", "/target", "s:8080")
            .object()
    };
    for (world, target) in
        [(World::new(), ClusterState::PortNotFound), (World::nginx(), ClusterState::NoEndpoints)]
    {
        let world = world.and([all(), Object::Service(named.clone())]);
        assert_eq!(world.cluster("h", "/name").state, ClusterState::NoEndpoints);
        assert_eq!(world.cluster("h", "/number").state, ClusterState::NoEndpoints);
        assert_eq!(world.cluster("h", "/target").state, target);
    }
}

#[test]
fn c11_services_are_those_of_the_ingress_namespace() {
    let world = World::of([ingress("ns1/a").prefix("h", "/", "s:80").object()])
        .and(ready_service("ns2/s", "10.0.0.1"));
    assert_eq!(world.cluster("h", "/").state, ClusterState::ServiceNotFound);
    let world = world.and(ready_service("ns1/s", "10.0.0.2"));
    assert_eq!(world.cluster("h", "/").state, ClusterState::Ready);
}

#[test]
fn c12_resource_backend_answers_503_in_its_place() {
    let resource = Backend::Resource { kind: "Bucket".into(), name: "b".into() };
    let all = ingress("a")
        .prefix("h", "/", "s:80")
        .path("h", PathKind::Prefix, "/static", resource)
        .path("h", PathKind::Prefix, "/closed", Backend::Closed);
    let world = World::of([all.object()]);
    for path in ["/static/x", "/closed"] {
        let route = world.route("h", path).expect("a route");
        assert!(matches!(route.action, Action::Refuse { status: 503, .. }), "{path}");
    }
    assert_eq!(world.told_of_rules(), ["UnsupportedBackend a spec.rules[0].http.paths[1].backend"]);
}

#[test]
fn c14_next_candidate_is_promoted_in_the_snapshot_that_drops_the_winner() {
    let one = |name: &str| ingress(name).prefix("h", "/foo", "s:80");
    let mut world = World::of([one("old").created(1).object(), one("young").created(2).object()]);
    let before = world.compiler.snapshot().clone();
    let compiled = world.apply(removals([(Kind::Ingress, "old")]));
    let host = crate::routing::RequestHost::Name("h");
    assert_eq!(&*before.route(host, "/foo").unwrap().ingress, "old");
    assert_eq!(&*compiled.snapshot.route(host, "/foo").unwrap().ingress, "young");
    let reasons: Vec<Reason> = compiled.resolved.iter().map(|p| p.reason).collect();
    assert!(reasons.contains(&Reason::ConflictingPath));
    assert!(world.told_of_rules().is_empty());
}

#[test]
fn removing_everything_leaves_nothing_behind() {
    let mut world = World::of([
        ingress("a")
            .prefix("h", "/", "s:80")
            .prefix("*.w", "/", "t:80")
            .tls(&["h"], Some("x"))
            .object(),
        ingress("b").default_backend("s:80").object(),
    ])
    .and(ready_service("s", "10.0.0.1"));
    world.apply(removals([
        (Kind::Ingress, "a"),
        (Kind::Ingress, "b"),
        (Kind::Service, "s"),
        (Kind::EndpointSlice, "s-1"),
    ]));
    let snapshot = world.compiler.snapshot();
    assert_eq!((snapshot.host_count(), snapshot.cluster_count()), (0, 0));
    assert!(snapshot.fallback.is_none() && world.problems().is_empty());
    assert!(world.compiler.hosts.is_empty());
}

#[test]
fn an_edit_compiles_only_the_hosts_that_differ() {
    let all = |second: &str| {
        ingress("a")
            .prefix("one", "/", "s:80")
            .prefix("two", second, "s:80")
            .prefix("three", "/", "s:80")
    };
    let mut world =
        World::of([all("/x").object(), ingress("b").prefix("four", "/", "s:80").object()]);
    let touched = |compiled: crate::routing::Compiled| compiled.touched.len();
    assert_eq!(touched(world.apply(upserts([all("/y").object()]))), 1);
    assert_eq!(touched(world.apply(upserts([all("/y").object()]))), 0);
    assert_eq!(world.id("two", "/y"), "a/rules[1].paths[0]");
    assert_eq!(
        touched(world.apply(upserts([Object::Endpoints(slice("s-1", "s", &["10.0.0.1"]))]))),
        0
    );
    assert_eq!(touched(world.apply(upserts([all("/y").rewrite("/z").object()]))), 3);
}

/// What of the reference order exists for Ingress: it has no method, header or query conditions.
#[test]
fn c15_exact_then_longest_prefix_then_oldest_then_name() {
    let world = World::of([
        ingress("old").created(1).prefix("h", "/", "s:80").prefix("h", "/a/b", "s:80").object(),
        ingress("young").created(2).prefix("h", "/a", "s:80").prefix("h", "/a/b", "s:80").object(),
        ingress("last").created(3).exact("h", "/a/b", "s:80").object(),
        ingress("ns2/same").created(4).prefix("h", "/z", "s:80").object(),
        ingress("ns1/same").created(4).prefix("h", "/z", "s:80").object(),
    ]);
    assert_eq!(world.id("h", "/a/b"), "last/rules[0].paths[0]", "exact before age");
    assert_eq!(world.id("h", "/a/b/c"), "old/rules[0].paths[1]", "oldest of equals");
    assert_eq!(world.id("h", "/a/x"), "young/rules[0].paths[0]", "longest prefix before age");
    assert_eq!(world.id("h", "/z"), "ns1/same/rules[0].paths[0]", "name of equal ages");
}
