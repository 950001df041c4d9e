//! Canaries (A2).

use super::*;
use crate::model::Ingress;
use crate::model::options::{BackendProtocol, CanaryOptions};
use crate::routing::UpstreamProtocol;
use crate::routing::canary::{Canary, HeaderRule};
use crate::routing::fixture::{IngressFixture, ingress, ready_service, removals};

fn canary(fixture: IngressFixture, change: impl FnOnce(&mut CanaryOptions)) -> Object {
    with(fixture, |own| {
        own.options.canary.enabled = true;
        change(&mut own.options.canary);
    })
}

fn with(fixture: IngressFixture, change: impl FnOnce(&mut Ingress)) -> Object {
    let mut ingress = fixture.value();
    change(&mut ingress);
    Object::Ingress(ingress)
}

impl World {
    fn canary(&self, host: &str, path: &str) -> Option<Canary> {
        self.route(host, path).expect("a route").filters.clone()?.canary.as_deref().cloned()
    }

    fn canary_cluster(&self, host: &str, path: &str) -> Arc<Cluster> {
        match self.canary(host, path).expect("a canary").action {
            Action::Forward(id) => self.compiler.snapshot().cluster(id).expect("a cluster").clone(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_canary_joins_the_rule_with_the_same_host_path_and_type() {
    let world = World::of([
        ingress("main").prefix("h", "/", "s:80").prefix("h", "/other", "s:80").object(),
        canary(ingress("new").prefix("h", "/", "t:80"), |own| own.weight = Some(10)),
    ]);
    assert_eq!(world.id("h", "/"), "main/rules[0].paths[0]");
    assert_eq!(&*world.cluster("h", "/").service, "s");
    assert_eq!(&*world.canary_cluster("h", "/").service, "t");
    let joined = world.canary("h", "/").expect("a canary");
    assert_eq!((joined.weight, joined.total, joined.sticky), (10, 100, true));
    assert_eq!(joined.header, None);
    assert!(world.canary("h", "/other").is_none());
    assert_eq!(world.told_of_rules(), [""; 0]);
}

#[test]
fn the_other_keys_are_those_of_the_rule_that_is_joined() {
    let main = ingress("main").prefix("h", "/", "s:80").protocol(BackendProtocol::H2c);
    let mut world = World::of([
        with(main, |own| own.options.upstream.body_size = Some(7)),
        canary(ingress("new").prefix("h", "/", "t:80"), |own| own.weight = Some(10)),
    ])
    .and(ready_service("t", "10.0.0.9"));
    let filters = world.route("h", "/").expect("a route").filters.clone().expect("filters");
    assert_eq!(filters.request_body, Some(7));
    assert_eq!(world.canary_cluster("h", "/").protocol, UpstreamProtocol::H2c);
    assert_eq!(world.canary_cluster("h", "/").endpoints.len(), 1);
    let count = world.compiler.snapshot().cluster_count();
    world.apply(removals([(crate::model::Kind::Ingress, "new")]));
    assert!(world.canary("h", "/").is_none());
    assert_eq!(
        world.compiler.snapshot().cluster_count(),
        count - 2,
        "its own and the borrowed one"
    );
    world.apply(removals([(crate::model::Kind::Ingress, "main")]));
    assert_eq!(world.compiler.snapshot().cluster_count(), 0);
}

#[test]
fn a_canary_without_a_rule_to_join_serves_nothing() {
    let world = World::of([
        ingress("main").prefix("h", "/", "s:80").object(),
        canary(ingress("new").exact("h", "/", "t:80").prefix("i", "/", "t:80"), |_| {}),
    ]);
    assert_eq!(world.id("h", "/"), "main/rules[0].paths[0]");
    assert!(world.route("i", "/").is_none());
    let told = world.told_of_rules();
    assert_eq!(told, ["ConflictingPath new spec.rules[0].http.paths[0].path"]);
}

#[test]
fn a_rule_has_one_canary_the_first_in_the_order_of_c1() {
    let new = |name: &str, created: i64, to: &str| {
        canary(ingress(name).created(created).prefix("h", "/", to), |_| {})
    };
    let world = World::of([
        ingress("main").created(9).prefix("h", "/", "s:80").object(),
        new("late", 2, "t:80"),
        new("early", 1, "u:80"),
    ]);
    assert_eq!(&*world.canary_cluster("h", "/").service, "u");
    assert_eq!(world.told_of_rules(), ["ConflictingPath late spec.rules[0].http.paths[0].path"]);
}

#[test]
fn a_canary_owns_neither_host_nor_default_nor_regexes() {
    let world = World::nginx().and([
        ingress("main").specific("h", "/", "s:80").specific("h", "/(a|b)", "s:80").object(),
        canary(ingress("new").specific("h", "/", "t:80").regex().default_backend("t:80"), |_| {}),
    ]);
    assert_eq!(world.id("h", "/a"), "main/rules[0].paths[0]", "no regex host");
    assert_eq!(&*world.canary_cluster("h", "/").service, "t");
    let own = ingress("own").prefix("i", "/x", "s:80").object();
    let world = world
        .and([own, canary(ingress("d").prefix("i", "/x", "t:80").default_backend("t:80"), |_| {})]);
    assert!(world.route("i", "/other").is_none());
}

#[test]
fn header_rules_prefer_a_value_to_a_pattern() {
    let world = |change: fn(&mut CanaryOptions)| {
        World::of([
            ingress("main").prefix("h", "/", "s:80").object(),
            canary(ingress("new").prefix("h", "/", "t:80"), change),
        ])
    };
    let rule = |world: World| world.canary("h", "/").expect("a canary").header;
    let words = rule(world(|own| own.by_header = Some("X-New".into())));
    assert!(matches!(words, Some((name, HeaderRule::Words)) if name == "x-new"));
    let equals = rule(world(|own| {
        own.by_header = Some("x-new".into());
        own.by_header_value = Some("eu".into());
        own.by_header_pattern = Some("e".into());
    }));
    assert!(matches!(equals, Some((_, HeaderRule::Equals(value))) if value == "eu"));
    let matches = rule(world(|own| {
        own.by_header = Some("x-new".into());
        own.by_header_pattern = Some("^e".into());
    }));
    assert!(matches!(matches, Some((_, HeaderRule::Matches(pattern))) if pattern.text() == "^e"));
    assert!(rule(world(|own| own.by_header_value = Some("eu".into()))).is_none());
}

#[test]
fn a_closed_canary_refuses_its_share() {
    let mut closed = ingress("new").prefix("h", "/", "t:80").value();
    closed.rules[0].paths[0].backend = crate::model::Backend::Closed;
    closed.options.canary.enabled = true;
    let main = ingress("main").prefix("h", "/", "s:80").object();
    let world = World::of([main, Object::Ingress(closed)]);
    let action = world.canary("h", "/").expect("a canary").action;
    assert!(matches!(action, Action::Refuse { status: 503, .. }));
    assert_eq!(&*world.cluster("h", "/").service, "s");
}

#[test]
fn c13_access_rules_that_only_the_canary_has_close_its_share() {
    let limited = |fixture: IngressFixture, rps: Option<u32>, is_canary: bool| {
        with(fixture, |own| {
            own.options.access.limits.per_second = rps;
            own.options.canary.enabled = is_canary;
        })
    };
    for (main, new, closed) in
        [(None, Some(5), true), (Some(5), Some(5), false), (Some(5), None, false)]
    {
        let world = World::of([
            limited(ingress("main").prefix("h", "/", "s:80"), main, false),
            limited(ingress("new").prefix("h", "/", "t:80"), new, true),
        ]);
        let action = world.canary("h", "/").expect("a canary").action;
        assert_eq!(matches!(action, Action::Refuse { .. }), closed, "{main:?} {new:?}");
        assert_eq!(&*world.cluster("h", "/").service, "s");
        let told =
            if closed { vec!["UnsupportedAnnotation new metadata.annotations"] } else { vec![] };
        assert_eq!(world.told_of_rules(), told, "{main:?} {new:?}");
    }
}

#[test]
fn a_canary_of_another_namespace_joins_nothing() {
    let world = World::of([
        ingress("shop/main").prefix("h", "/", "s:80").object(),
        canary(ingress("evil/new").prefix("h", "/", "t:80"), |own| own.weight = Some(100)),
    ]);
    assert!(world.canary("h", "/").is_none());
    assert_eq!(world.told_of_rules(), ["ConflictingPath new spec.rules[0].http.paths[0].path"]);
}
