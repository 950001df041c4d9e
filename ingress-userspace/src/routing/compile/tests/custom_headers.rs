//! `custom-headers` and the ConfigMap that it names.

use std::collections::BTreeMap;

use super::*;
use crate::model::options::ConfigMapName;
use crate::model::{ConfigMap, Kind};
use crate::routing::fixture::{ingress, object, removals};

fn site(namespace: Option<&str>) -> Object {
    let mut site = ingress("a").prefix("h", "/", "s:80").prefix("i", "/", "s:80").value();
    let namespace = namespace.map(Arc::from);
    site.options.headers.custom = Some(ConfigMapName { namespace, name: "m".into() });
    Object::Ingress(site)
}

fn map(pairs: &[(&str, &str)]) -> Object {
    let pair = |&(name, value): &(&str, &str)| (Arc::from(name), Arc::from(value));
    let data: BTreeMap<Arc<str>, Arc<str>> = pairs.iter().map(pair).collect();
    Object::ConfigMap(ConfigMap { object: object(Kind::ConfigMap, "m"), data: Arc::new(data) })
}

fn allowing(names: &[&str]) -> Settings {
    let mut config = Config::default();
    config.headers.allowed_custom = names.iter().map(|&name| name.to_owned()).collect();
    Settings::from(&config)
}

/// The headers of each answer, or `closed`.
fn headers(world: &World, host: &str) -> String {
    let route = world.route(host, "/").expect("a route");
    if let Action::Refuse { status: 503, .. } = route.action {
        return "closed".to_owned();
    }
    let filters = route.filters.clone().unwrap_or_default();
    let text = |(name, value): &(http::HeaderName, http::HeaderValue)| {
        format!("{name}: {}", value.to_str().expect("ASCII"))
    };
    filters.response_headers.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[test]
fn headers_of_the_map_are_those_of_every_answer_and_follow_it() {
    let mut world = World::with(allowing(&["X-Frame-Options", "x-b"]));
    world.apply(upserts([site(None)]));
    assert_eq!(headers(&world, "h"), "closed", "the ConfigMap may hold a security policy");
    assert_eq!(world.told_of_rules(), ["ConfigMapNotFound a metadata.annotations[custom-headers]"]);
    world.apply(upserts([map(&[("X-Frame-Options", "DENY")])]));
    assert_eq!(headers(&world, "h"), "x-frame-options: DENY");
    assert_eq!(headers(&world, "i"), "x-frame-options: DENY");
    assert_eq!(world.told_of_rules(), [""; 0]);
    world.apply(upserts([map(&[("X-Frame-Options", "SAMEORIGIN"), ("X-B", "1")])]));
    assert_eq!(headers(&world, "h"), "x-b: 1, x-frame-options: SAMEORIGIN");
    world.apply(removals([(Kind::ConfigMap, "m")]));
    assert_eq!(headers(&world, "i"), "closed");
    world.apply(upserts([ingress("a").prefix("h", "/", "s:80").object()]));
    assert_eq!(headers(&world, "h"), "");
}

#[test]
fn names_that_are_not_allowed_and_bad_values_close_the_paths() {
    for (pairs, expected) in [
        (&[("X-A", "1")][..], "x-a: 1"),
        (&[("X-A", "1"), ("X-Other", "2")], "closed"),
        (&[("X A", "1")], "closed"),
        (&[("X-A", "1\r\nX-Evil: 2")], "closed"),
        (&[], ""),
    ] {
        let world = World::with(allowing(&["x-a"])).and([map(pairs), site(None)]);
        assert_eq!(headers(&world, "h"), expected, "{pairs:?}");
    }
    let world = World::new().and([map(&[("X-A", "1")]), site(None)]);
    assert_eq!(headers(&world, "h"), "closed", "by default nothing is allowed");
}

#[test]
fn maps_of_other_namespaces_are_not_read() {
    let world = World::with(allowing(&["x-a"])).and([map(&[("X-A", "1")]), site(Some("default"))]);
    assert_eq!(headers(&world, "h"), "x-a: 1");
    let world = world.and([site(Some("other"))]);
    assert_eq!(headers(&world, "h"), "closed");
}

#[test]
fn other_allowed_names_are_judged_anew() {
    let mut world = World::new().and([map(&[("X-A", "1")]), site(None)]);
    assert_eq!(headers(&world, "h"), "closed");
    world.compiler.set_settings(allowing(&["x-a"]));
    assert_eq!(headers(&world, "h"), "x-a: 1");
}
