//! E1-E9, E14-E17, D23: from Services and endpoints to clusters.

use super::{World, brief, yaml};
use crate::config::{BalanceConfig, Config, TlsConfig};
use crate::model::options::BackendProtocol;
use crate::model::{Endpoint, EndpointSet, Kind, Object, Service};
use crate::routing::fixture::{
    endpoint, endpoint_port, ingress, object, ready_service, removals, service, slice, upserts,
};
use crate::routing::{Balance, ClusterState, Node, Settings, UpstreamProtocol};

fn world(service: Service, sets: impl IntoIterator<Item = EndpointSet>) -> World {
    World::of([ingress("a").prefix("h", "/", "s:80").object(), Object::Service(service)])
        .and(sets.into_iter().map(Object::Endpoints))
}

fn plain(sets: impl IntoIterator<Item = EndpointSet>) -> World {
    world(service("s", &[("", 80)]), sets)
}

fn addresses(world: &World) -> Vec<String> {
    let cluster = world.cluster("h", "/");
    cluster.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect()
}

fn terminating(address: &str, serving: bool) -> Endpoint {
    Endpoint { ready: false, serving, terminating: true, ..endpoint(address) }
}

fn unready(address: &str) -> Endpoint {
    Endpoint { ready: false, serving: false, ..endpoint(address) }
}

fn set(endpoints: Vec<Endpoint>) -> EndpointSet {
    EndpointSet { endpoints, ..slice("s-1", "s", &[]) }
}

#[test]
fn e1_slices_are_united_without_duplicates_in_sorted_order() {
    let mut world = plain([
        slice("s-2", "s", &["10.0.0.3", "10.0.0.1"]),
        slice("s-1", "s", &["10.0.0.1", "10.0.0.2", "2001:db8::1"]),
        slice("t-1", "t", &["10.0.0.9"]),
        slice("other/s-1", "s", &["10.0.0.8"]),
    ]);
    let all = ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080", "[2001:db8::1]:8080"];
    assert_eq!(addresses(&world), all);
    world.apply(removals([(Kind::EndpointSlice, "s-1")]));
    assert_eq!(addresses(&world), ["10.0.0.1:8080", "10.0.0.3:8080"]);
}

#[test]
fn e1_endpoints_object_counts_only_without_slices() {
    let legacy =
        EndpointSet { object: object(Kind::Endpoints, "s"), ..slice("s", "s", &["10.0.0.7"]) };
    let mut world = plain([legacy, slice("s-1", "s", &["10.0.0.1"])]);
    assert_eq!(addresses(&world), ["10.0.0.1:8080"]);
    world.apply(removals([(Kind::EndpointSlice, "s-1")]));
    assert_eq!(addresses(&world), ["10.0.0.7:8080"]);
}

#[test]
fn e1_slice_that_changes_its_service_leaves_the_old_one() {
    let mut world = plain([slice("s-1", "s", &["10.0.0.1"])]);
    world.apply(upserts([Object::Endpoints(slice("s-1", "t", &["10.0.0.1"]))]));
    assert_eq!(world.cluster("h", "/").state, ClusterState::NoEndpoints);
}

/// What the model leaves of the conditions, all combinations: used when it is ready; the fallback
/// of E4 is not asked for here, because another endpoint is ready always.
#[test]
fn e3_ready_decides_and_terminating_ones_are_not_ready_unless_the_service_publishes_them() {
    for bits in 0..16u8 {
        let [ready, serving, terminating, publishes] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
        let asked = Endpoint { ready, serving, terminating, ..endpoint("10.0.0.1") };
        let mut service = service("s", &[("", 80)]);
        service.publish_not_ready = publishes;
        let world = world(service, [set(vec![asked, endpoint("10.0.0.9")])]);
        let wanted = ready && (publishes || !terminating);
        let found = addresses(&world).contains(&"10.0.0.1:8080".to_owned());
        assert_eq!(found, wanted, "{ready} {serving} {terminating} {publishes}");
    }
}

/// The defaults of conditions that are not there: ready, and serving as ready says.
#[test]
fn e3_absent_conditions_have_their_defaults() {
    for (conditions, used) in [
        ("{}", true),
        ("{ready: true}", true),
        ("{ready: null}", true),
        ("{ready: false}", false),
        ("{ready: false, serving: true}", false),
        ("{ready: false, serving: true, terminating: true}", true),
        ("{ready: false, terminating: true}", false),
        ("{ready: true, terminating: true}", true),
        ("{terminating: false}", true),
    ] {
        let world = World::of([ingress("a").prefix("h", "/", "s:80").object()]).and(yaml(&format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec: {{ports: [{{port: 80}}]}}\n\
             ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: s-1, \
             labels: {{kubernetes.io/service-name: s}}}}\naddressType: IPv4\nports: [{{port: \
             8080}}]\nendpoints: [{{addresses: [10.0.0.1], conditions: {conditions}}}]\n"
        )));
        assert_eq!(addresses(&world).len(), usize::from(used), "{conditions}");
    }
}

#[test]
fn e4_ready_ones_else_those_that_terminate_and_still_serve() {
    let going = || vec![terminating("10.0.0.2", true), terminating("10.0.0.3", false)];
    let mut all = going();
    all.push(endpoint("10.0.0.1"));
    assert_eq!(addresses(&plain([set(all)])), ["10.0.0.1:8080"]);
    let mut all = going();
    all.push(unready("10.0.0.4"));
    let world = plain([set(all)]);
    assert_eq!(addresses(&world), ["10.0.0.2:8080"]);
    assert_eq!(world.cluster("h", "/").state, ClusterState::Ready);
    let world = plain([set(vec![terminating("10.0.0.3", false), unready("10.0.0.4")])]);
    assert_eq!(world.cluster("h", "/").state, ClusterState::NoEndpoints);
}

#[test]
fn e5_endpoint_that_leaves_is_gone_from_the_next_snapshot_only() {
    let mut world = plain([slice("s-1", "s", &["10.0.0.1", "10.0.0.2"])]);
    let before = world.cluster("h", "/");
    let compiled = world.apply(upserts([Object::Endpoints(slice("s-1", "s", &["10.0.0.2"]))]));
    assert_eq!(before.endpoints.len(), 2);
    assert_eq!(addresses(&world), ["10.0.0.2:8080"]);
    assert!(compiled.touched.is_empty(), "no host is compiled for an endpoint");
}

#[test]
fn e6_port_is_matched_by_name_and_its_number_may_differ_by_slice() {
    let mut one = slice("s-1", "s", &["10.0.0.1"]);
    one.ports = vec![endpoint_port("admin", Some(9)), endpoint_port("http", Some(8080))];
    let mut two = slice("s-2", "s", &["10.0.0.2"]);
    two.ports = vec![endpoint_port("http", Some(8081))];
    let mut three = slice("s-3", "s", &["10.0.0.3"]);
    three.ports = vec![endpoint_port("http", None)];
    let mut four = slice("s-4", "s", &["10.0.0.4"]);
    four.ports = vec![endpoint_port("", Some(7))];
    let world = world(service("s", &[("http", 80), ("admin", 90)]), [one, two, three, four]);
    assert_eq!(addresses(&world), ["10.0.0.1:8080", "10.0.0.2:8081", "10.0.0.3:80"]);
}

#[test]
fn e7_app_protocol_of_service_or_slice_chooses_the_protocol() {
    use UpstreamProtocol::{H2c, Http1, Http1Tls};
    let of = |app: &str, on_service: bool| {
        let (mut service, mut set) = (service("s", &[("", 80)]), slice("s-1", "s", &["10.0.0.1"]));
        let target = if on_service {
            &mut service.ports[0].app_protocol
        } else {
            &mut set.ports[0].app_protocol
        };
        *target = Some(app.into());
        world(service, [set]).cluster("h", "/").protocol
    };
    for (app, protocol) in [
        ("kubernetes.io/h2c", H2c),
        ("kubernetes.io/ws", Http1),
        ("kubernetes.io/wss", Http1Tls { verify: true }),
        ("https", Http1Tls { verify: true }),
        ("http", Http1),
        ("example.com/unknown", Http1),
    ] {
        assert_eq!(of(app, true), protocol, "{app}");
        assert_eq!(of(app, false), protocol, "{app}");
    }
}

#[test]
fn e7_annotation_wins_and_two_ingresses_may_differ_on_one_port() {
    let mut h2c = service("s", &[("", 80)]);
    h2c.ports[0].app_protocol = Some("kubernetes.io/h2c".into());
    let world = world(h2c, [slice("s-1", "s", &["10.0.0.1"])]).and([
        ingress("b").protocol(BackendProtocol::Https).prefix("h", "/b", "s:80").object(),
        ingress("c").protocol(BackendProtocol::H2).prefix("h", "/c", "s:80").object(),
        ingress("d").protocol(BackendProtocol::Http).prefix("h", "/d", "s:80").object(),
    ]);
    let protocol = |path| world.cluster("h", path).protocol;
    assert_eq!(protocol("/"), UpstreamProtocol::H2c);
    assert_eq!(protocol("/b"), UpstreamProtocol::Http1Tls { verify: true });
    assert_eq!(protocol("/c"), UpstreamProtocol::H2Tls { verify: true });
    assert_eq!(protocol("/d"), UpstreamProtocol::Http1);
}

#[test]
fn d23_upstream_certificates_are_verified_natively_and_not_in_compat() {
    let protocol = |world: World| {
        let all = ingress("a").protocol(BackendProtocol::Https).prefix("h", "/", "s:80");
        world.and([all.object()]).and(ready_service("s", "10.0.0.1")).cluster("h", "/").protocol
    };
    assert_eq!(protocol(World::new()), UpstreamProtocol::Http1Tls { verify: true });
    assert_eq!(protocol(World::nginx()), UpstreamProtocol::Http1Tls { verify: false });
    let tls = TlsConfig { verify_upstream: Some(false), ..TlsConfig::default() };
    let off = Settings::from(&Config { tls, ..Config::default() });
    assert_eq!(protocol(World::with(off)), UpstreamProtocol::Http1Tls { verify: false });
}

#[test]
fn e8_headless_and_hand_written_services_work_the_same_way() {
    let mut headless = service("s", &[("", 80)]);
    headless.ports[0].target_port = None;
    let world = world(headless, [slice("by-hand", "s", &["192.0.2.1"])]);
    assert_eq!(addresses(&world), ["192.0.2.1:8080"]);
}

const NODE: &str = "198.51.100.7";

/// A world that knows its VIP, its node and the API server, with exceptions.
fn guarded(allow: &[&str], deny: &[&str]) -> Settings {
    let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let vip = r#"{"name": "edge", "addresses": ["203.0.113.80", "2001:db8:80::80"]}"#;
    let mut config = Config { vips: vec![serde_json::from_str(vip).unwrap()], ..Config::default() };
    config.endpoints.allow = networks(allow);
    config.endpoints.deny = networks(deny);
    let node = Node {
        addresses: [NODE, "2001:db8:7::7"].map(|text| text.parse().unwrap()).into(),
        api_server: Some("10.96.0.1".parse().unwrap()),
    };
    Settings::new(&config, node)
}

#[test]
fn e9_addresses_that_only_this_host_can_reach_are_refused_and_told() {
    for (address, what) in [
        ("127.0.0.1", "a loopback address"),
        ("127.1.2.3", "a loopback address"),
        ("169.254.169.254", "a link-local address"),
        ("224.0.0.1", "a multicast address"),
        ("0.0.0.0", "the unspecified address"),
        ("255.255.255.255", "the broadcast address"),
        ("203.0.113.80", "a VIP of our own"),
        (NODE, "an address of this node"),
        ("10.96.0.1", "the API server"),
        ("172.16.9.9", "in a network of endpoints.deny"),
        ("::1", "a loopback address"),
        ("fe80::1", "a link-local address"),
        ("ff02::1", "a multicast address"),
        ("::", "the unspecified address"),
        ("2001:db8:80::80", "a VIP of our own"),
        ("2001:db8:7::7", "an address of this node"),
    ] {
        let pods = ["10.0.0.1", "2001:db8::1"];
        let all = [
            ingress("a").prefix("h", "/", "s:80").object(),
            Object::Service(service("s", &[("", 80)])),
            Object::Endpoints(slice("s-1", "s", &[address, pods[0], pods[1]])),
        ];
        let world = World::with(guarded(&[], &["172.16.0.0/12"])).and(all.clone());
        assert_eq!(addresses(&world), ["10.0.0.1:8080", "[2001:db8::1]:8080"], "{address}");
        let problem = world.problems().remove(0);
        assert_eq!(brief(&problem), "InvalidEndpoint s-1 endpoints[0].addresses[0]", "{address}");
        assert!(problem.message.contains(&format!("{address} is {what};")), "{problem}");

        let allowed = guarded(&[&format!("{address}/{}", prefix(address))], &["172.16.0.0/12"]);
        let world = World::with(allowed).and(all);
        assert_eq!(addresses(&world).len(), 3, "{address} is allowed");
        assert!(world.problems().is_empty(), "{address}");
    }
}

fn prefix(address: &str) -> u8 {
    if address.contains(':') { 128 } else { 32 }
}

#[test]
fn e9_a_service_with_refused_endpoints_only_has_none() {
    let world = World::with(guarded(&[], &[]))
        .and([ingress("a").prefix("h", "/", "s:80").object()])
        .and(ready_service("s", NODE));
    assert_eq!(world.cluster("h", "/").state, ClusterState::NoEndpoints);
    assert_eq!(
        world.told(),
        [
            "NoEndpoints a spec.rules[0].http.paths[0].backend",
            "InvalidEndpoint s-1 endpoints[0].addresses[0]"
        ]
    );
}

#[test]
fn e9_what_is_our_own_is_learned_live_and_compiles_no_host() {
    let mut world = World::new()
        .and([ingress("a").prefix("h", "/", "s:80").object()])
        .and(ready_service("s", NODE));
    assert_eq!(world.cluster("h", "/").state, ClusterState::Ready);
    let compiled = world.compiler.set_settings(guarded(&[], &[]));
    assert_eq!(world.cluster("h", "/").state, ClusterState::NoEndpoints);
    assert_eq!((compiled.problems.len(), compiled.touched.len()), (2, 0));
    let compiled = world.compiler.set_settings(guarded(&["198.51.100.0/24"], &[]));
    assert_eq!(world.cluster("h", "/").state, ClusterState::Ready);
    assert_eq!((compiled.resolved.len(), compiled.touched.len()), (2, 0));
    world.apply(removals([(Kind::EndpointSlice, "s-1")]));
    world.compiler.set_settings(guarded(&[], &[]));
    assert!(!world.told().iter().any(|told| told.starts_with("InvalidEndpoint")));
}

/// Neither restricts who is asked: an entrance is no kube-proxy.
#[test]
fn e14_internal_traffic_policy_and_session_affinity_of_a_service_bind_nobody() {
    let of = |spec: &str| {
        World::of([ingress("a").prefix("h", "/", "s:80").object()])
            .and(yaml(&format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec: {{ports: [{{port: \
                 80}}]{spec}}}\n"
            )))
            .and([Object::Endpoints(slice("s-1", "s", &["10.0.0.1", "10.0.0.2"]))])
            .cluster("h", "/")
    };
    let plain = of("");
    assert_eq!((plain.endpoints.len(), plain.balance), (2, Balance::RoundRobin));
    for spec in [
        ", internalTrafficPolicy: Local",
        ", sessionAffinity: ClientIP",
        ", sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 10}}",
        ", externalTrafficPolicy: Local, type: LoadBalancer",
        ", trafficDistribution: PreferClose",
    ] {
        assert_eq!(of(spec), plain, "{spec}");
    }
    let config = Config { balance: BalanceConfig::LeastRequest, ..Config::default() };
    let world = World::with(Settings::from(&config))
        .and([ingress("a").prefix("h", "/", "s:80").object()])
        .and(ready_service("s", "10.0.0.1"));
    assert_eq!(world.cluster("h", "/").balance, Balance::LeastRequest, "the configuration does");
}

#[test]
fn e15_external_name_is_off() {
    let mut external = service("s", &[("", 80)]);
    external.external_name = Some("example.com".into());
    let world = world(external, [slice("s-1", "s", &["10.0.0.1"])]);
    let cluster = world.cluster("h", "/");
    assert_eq!(cluster.state, ClusterState::ExternalName);
    assert!(cluster.endpoints.is_empty());
    assert_eq!(world.told(), ["UnsupportedBackend a spec.rules[0].http.paths[0].backend"]);
}

/// Nobody tells anything for years: time alone, other objects, and settings that are the same take
/// no endpoint away.
#[test]
fn e17_last_known_set_stays_without_news() {
    let mut world = plain([slice("s-1", "s", &["10.0.0.1", "10.0.0.2"])]);
    let before = world.cluster("h", "/");
    let years = 10 * 365 * 24 * 3600;
    world.compiler.advance(years);
    assert_eq!(world.compiler.next_deadline(), None, "no deadline waits for it");
    world.compiler.set_settings(Settings::default());
    world.apply(upserts(ready_service("other", "10.0.0.9")));
    world.apply(upserts([]));
    assert_eq!(world.cluster("h", "/"), before);
    // The list that comes when the source is back takes away what is told to be gone, no more.
    world.apply(removals([(Kind::EndpointSlice, "other-1"), (Kind::EndpointSlice, "never-was")]));
    world.compiler.full_list(years);
    assert_eq!(world.cluster("h", "/"), before);
}

/// There are no checks and no ejection of our own: readiness alone adds and removes, down to none.
#[test]
fn e16_readiness_alone_decides_who_is_in_the_set() {
    let all = vec![endpoint("10.0.0.1"), unready("10.0.0.2"), endpoint("10.0.0.3")];
    assert_eq!(addresses(&plain([set(all)])), ["10.0.0.1:8080", "10.0.0.3:8080"]);
    let world = plain([set(vec![unready("10.0.0.1"), unready("10.0.0.2")])]);
    assert!(world.cluster("h", "/").endpoints.is_empty(), "nobody is added that is not ready");
}
