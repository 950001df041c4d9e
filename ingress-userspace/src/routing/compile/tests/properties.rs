//! The compiler against the reference matcher, and against itself from scratch.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{World, nginx};
use crate::config::{BalanceConfig, Compat, Config};
use crate::model::class::CONTROLLER;
use crate::model::{Ingress, Kind, Object, ObjectRef, PathKind, Secret};
use crate::routing::access::Auth;
use crate::routing::fixture::{
    IngressFixture, backend, certificate, class, ingress, object, ready_service, service, slice,
    upserts,
};
use crate::routing::{Action, CertificateChoice, RequestHost, Route, Settings, fixture, reference};

const HOSTS: [&str; 6] = ["", "a.x", "b.x", "x", "*.x", "*.a.x"];
const REQUEST_HOSTS: [&str; 8] = ["", "10.0.0.1", "a.x", "b.x", "c.x", "x", "q.a.x", "y.z"];
const SERVICES: [&str; 3] = ["s:80", "t:80", "t:http"];

fn rule_path() -> impl Strategy<Value = String> {
    let plain = prop::collection::vec(select(vec!["a", "b", "ab"]), 0..3);
    let plain = (plain, any::<bool>()).prop_map(|(parts, slash)| {
        let path = format!("/{}", parts.join("/"));
        if slash && path.len() > 1 { path + "/" } else { path }
    });
    prop_oneof![
        8 => plain,
        1 => Just(String::new()),
        2 => select(vec!["/a.*", "/(a|b)", "/a(/|$)(.*)", "/.b", "/[ab]+/"]).prop_map(str::to_owned),
    ]
}

fn request_path() -> impl Strategy<Value = String> {
    let parts = prop::collection::vec(select(vec!["a", "b", "ab", "A", "abc"]), 0..4);
    let path = (parts, any::<bool>()).prop_map(|(parts, slash)| {
        let path = format!("/{}", parts.join("/"));
        if slash && path.len() > 1 { path + "/" } else { path }
    });
    prop_oneof![20 => path, 1 => Just(String::new())]
}

type Paths = Vec<(PathKind, String, &'static str)>;

fn any_ingress() -> impl Strategy<Value = IngressFixture> {
    let kinds = select(vec![PathKind::Exact, PathKind::Prefix, PathKind::ImplementationSpecific]);
    let paths = prop::collection::vec((kinds, rule_path(), select(&SERVICES[..])), 0..4);
    let rules = prop::collection::vec((select(&HOSTS[..]), paths), 0..4);
    let tls = (select(&HOSTS[..]), select(vec![None, Some("one"), Some("two"), Some("none")]));
    (
        prop::option::of(0i64..3),
        rules,
        prop::option::weighted(0.3, select(&SERVICES[..])),
        prop::bool::weighted(0.1),
        prop::option::weighted(0.2, select(vec!["/", "/a", "/$1"])),
        prop::collection::vec(tls, 0..3),
        prop::bool::weighted(0.2),
        prop::option::weighted(0.2, select(vec!["one", "pw"])),
    )
        .prop_map(|(created, rules, default, regex, rewrite, tls, by_class, passwords)| {
            let mut all = ingress("name");
            for (host, paths) in rules {
                all = with_rule(all, host, paths);
            }
            for (host, secret) in tls {
                let hosts = [host];
                all = all.tls(if host.is_empty() { &[] } else { &hosts }, secret);
            }
            all = created.into_iter().fold(all, IngressFixture::created);
            all = default.into_iter().fold(all, IngressFixture::default_backend);
            all = rewrite.into_iter().fold(all, IngressFixture::rewrite);
            all = passwords.into_iter().fold(all, IngressFixture::passwords);
            all = if regex { all.regex() } else { all };
            if by_class { all.class(None, Some("edge")) } else { all }
        })
}

fn with_rule(all: IngressFixture, host: &str, paths: Paths) -> IngressFixture {
    paths
        .into_iter()
        .fold(all.bare_rule(host), |all, (kind, path, to)| all.path(host, kind, &path, backend(to)))
}

fn named(fixture: IngressFixture, name: &str) -> Ingress {
    Ingress { object: object(Kind::Ingress, name), ..fixture.value() }
}

fn settings(compat: bool) -> Settings {
    if compat { nginx() } else { Settings::default() }
}

/// Different in all that touches objects.
fn other_settings(compat: bool) -> Settings {
    let mut config = Config { balance: BalanceConfig::LeastRequest, ..Config::default() };
    config.compat = if compat { Compat::None } else { Compat::Nginx };
    config.classes.names = vec!["other".to_owned()];
    config.tls.https_redirect = Some(false);
    config.endpoints.deny = vec!["10.0.0.0/8".parse().unwrap()];
    Settings::from(&config)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 384, ..ProptestConfig::default() })]

    #[test]
    fn fast_and_reference_matcher_agree(
        compat in any::<bool>(),
        ingresses in prop::collection::vec(any_ingress(), 1..5),
        requests in prop::collection::vec((select(&REQUEST_HOSTS[..]), request_path()), 1..24),
    ) {
        let names = ["n1/a", "n1/b", "n0/c", "n2/a", "n2/d"];
        let ingresses: Vec<Ingress> = ingresses
            .into_iter()
            .zip(names)
            .map(|(fixture, name)| named(fixture.class(Some("genkan"), None), name))
            .collect();
        let world = World::with(settings(compat))
            .and(ingresses.iter().cloned().map(Object::Ingress));
        let all: Vec<&Ingress> = ingresses.iter().collect();
        for (host, path) in requests {
            let host = match host {
                "" => RequestHost::Absent,
                "10.0.0.1" => RequestHost::Ip("10.0.0.1".parse().unwrap()),
                name => RequestHost::Name(name),
            };
            let route = world.compiler.snapshot().route(host, &path);
            let found = route.map(|route| route.id.to_string());
            let expected = reference::winner(&all, compat, host, &path);
            prop_assert_eq!(found, expected, "{:?} {:?}", host, path);
        }
    }

    #[test]
    fn edits_in_any_order_equal_compiling_from_scratch(
        compat in any::<bool>(),
        variants in prop::collection::vec(any_ingress(), 8),
        edits in prop::collection::vec((any::<Index>(), any::<Index>(), 0u8..10), 1..40),
        size in 1usize..4,
        reconfigured in prop::option::of(any::<Index>()),
    ) {
        let pool = object_pool(variants);
        // The settings become what they are in the end somewhere among the edits.
        let steps = edits.chunks(size).count();
        let change_at = reconfigured.map(|at| at.index(steps));
        let mut world = World::with(match change_at {
            Some(_) => other_settings(compat),
            None => settings(compat),
        });
        let mut current: BTreeMap<ObjectRef, Object> = BTreeMap::new();
        for (number, step) in edits.chunks(size).enumerate() {
            if change_at == Some(number) {
                world.compiler.set_settings(settings(compat));
            }
            let mut change = upserts([]);
            for (slot, variant, dice) in step {
                let choices = &pool[slot.index(pool.len())];
                let chosen = variant.get(choices);
                let name = object_of(chosen);
                change.upserts.retain(|object| object_of(object) != name);
                change.removals.retain(|object| *object != name);
                if *dice < 7 {
                    change.upserts.push(chosen.clone());
                    current.insert(name, chosen.clone());
                } else {
                    change.removals.push(name.clone());
                    current.remove(&name);
                }
            }
            world.apply(change);
        }
        let mut fresh = World::with(settings(compat));
        fresh.apply(upserts(current.into_values().rev()));
        // Grace ends: what remains does not depend on history.
        for world in [&mut world, &mut fresh] {
            world.compiler.full_list(0);
            world.compiler.advance(1_000_000);
        }
        prop_assert_eq!(view(&world), view(&fresh));
    }
}

/// Every object with its variants.
fn object_pool(variants: Vec<IngressFixture>) -> Vec<Vec<Object>> {
    let secret = |name: &str, names: &[&str]| -> Secret { certificate(name, names).into() };
    let [ready, ready_slice] = ready_service("s", "10.0.0.1");
    let mut pool: Vec<Vec<Object>> = ["a", "b", "n/a", "n/b"]
        .iter()
        .map(|name| variants.iter().map(|v| Object::Ingress(named(v.clone(), name))).collect())
        .collect();
    pool.push(vec![ready, Object::Service(service("s", &[("", 81)]))]);
    pool.push(vec![ready_slice, Object::Endpoints(slice("s-1", "t", &["10.0.0.4"]))]);
    pool.push(vec![Object::Service(service("t", &[("http", 80)]))]);
    pool.push(vec![Object::Service(service("n/t", &[("", 80)]))]);
    pool.push(vec![Object::Endpoints(slice("n/t-1", "t", &["10.0.0.2"]))]);
    let both = |name: &str, names: &[&str]| -> Object {
        let data = [("auth".into(), "bob:{PLAIN}pw".into())].into_iter().collect();
        Object::Secret(Secret { data, ..secret(name, names) })
    };
    pool.push(vec![
        Object::Secret(secret("one", &["a.x"])),
        Object::Secret(secret("one", &["*.x"])),
        both("one", &["a.x"]),
        fixture::secret("one", &[("auth", "ann:{PLAIN}pw")]),
    ]);
    pool.push(vec![
        fixture::secret("pw", &[("auth", "ann:{PLAIN}pw")]),
        fixture::secret("pw", &[("auth", "ann:?\nbob:{PLAIN}pw")]),
        fixture::secret("pw", &[("auth", "")]),
    ]);
    pool.push(vec![Object::Secret(secret("n/one", &["*.x", "x"]))]);
    pool.push(vec![Object::Secret(secret("two", &["b.x", "*.a.x"]))]);
    pool.push(vec![class("edge", CONTROLLER), class("edge", "example.com/other")]);
    pool
}

fn object_of(object: &Object) -> ObjectRef {
    match object {
        Object::Ingress(value) => value.object.clone(),
        Object::IngressClass(value) => ObjectRef::new(Kind::IngressClass, "", &value.name),
        Object::Service(value) => value.object.clone(),
        Object::Endpoints(value) => value.object.clone(),
        Object::Secret(value) => value.object.clone(),
        Object::ConfigMap(value) => value.object.clone(),
    }
}

/// Who may come in.
fn admitted(route: &Route) -> String {
    let access = route.filters.as_ref().and_then(|filters| filters.access.as_ref());
    match access.map(|access| &access.auth) {
        None | Some(Auth::None) => "everybody".to_owned(),
        Some(Auth::Unusable) => "nobody".to_owned(),
        Some(Auth::Basic(basic)) => {
            let names = ["ann", "bob"];
            let known = names.iter().filter(|name| basic.users.find(name.as_bytes()).is_some());
            format!("{:?}", known.collect::<Vec<_>>())
        }
    }
}

/// All that can be seen of a snapshot, without cluster numbers.
fn view(world: &World) -> Vec<String> {
    let snapshot = world.compiler.snapshot();
    let mut seen = vec![format!("{} {}", snapshot.host_count(), snapshot.cluster_count())];
    let paths = ["*", "/", "/a", "/a/", "/a/b", "/ab", "/b", "/b/a/", "/ab/ab", "/A", "/aab/c"];
    for host in REQUEST_HOSTS {
        for path in paths {
            let Some(route) = world.route(host, path) else { continue };
            let to = match route.action {
                Action::Forward(id) => format!("{:?}", snapshot.cluster(id)),
                Action::Redirect(_) => "redirected".to_owned(),
                Action::Refuse { .. } => "refused".to_owned(),
            };
            seen.push(format!(
                "{host}{path} {} {:?} {:?} {to} {}",
                route.id,
                route.https_redirect,
                route.hsts,
                admitted(&route)
            ));
        }
        let shown = match world.certificate(host) {
            CertificateChoice::Known(key) => format!("known {:?}", key.as_ref().map(Arc::as_ptr)),
            CertificateChoice::Unknown(key) => {
                format!("unknown {:?}", key.as_ref().map(Arc::as_ptr))
            }
        };
        seen.push(format!("{host} {shown}"));
    }
    seen.extend(world.problems().iter().map(ToString::to_string));
    seen
}
