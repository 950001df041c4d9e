//! What annotations make of routes.

use std::time::Duration;

use super::*;
use crate::model::Ingress;
use crate::routing::fixture::ingress;

fn with(mut ingress: Ingress, change: impl FnOnce(&mut Ingress)) -> Object {
    change(&mut ingress);
    Object::Ingress(ingress)
}

#[test]
fn routes_of_an_ingress_share_their_filters_and_others_have_none() {
    let own = ingress("a").prefix("h", "/a", "s:80").prefix("i", "/b", "s:80").value();
    let world = World::of([
        with(own, |own| own.options.upstream.read_timeout = Some(Duration::from_secs(7))),
        ingress("b").prefix("h", "/", "s:80").object(),
    ]);
    let filters = |host, path| world.route(host, path).expect("a route").filters.clone();
    let (one, other) = (filters("h", "/a"), filters("i", "/b"));
    let (one, other) = (one.expect("filters"), other.expect("filters"));
    assert!(Arc::ptr_eq(&one, &other));
    assert_eq!(one.timeouts.read, Some(Duration::from_secs(7)));
    assert!(filters("h", "/x").is_none());
}

#[test]
fn c13_an_access_rule_of_a_host_that_cannot_be_enforced_closes_the_paths_of_others_too() {
    let shutting = ingress("tls").prefix("h", "/tls", "s:80").prefix("i", "/", "s:80").value();
    let world = World::of([
        with(shutting, |shutting| shutting.options.closes_hosts = true),
        ingress("b")
            .prefix("h", "/", "s:80")
            .default_backend("d:80")
            .prefix("j", "/", "s:80")
            .object(),
    ]);
    let closed = |host, path| {
        matches!(
            world.route(host, path).expect("a route").action,
            Action::Refuse { status: 503, .. }
        )
    };
    assert!(closed("h", "/tls") && closed("h", "/other") && closed("i", "/"));
    assert!(!closed("j", "/"));
    assert_eq!(world.told_of_rules(), ["ConflictingHost b spec.rules"]);
}

#[test]
fn d19_annotations_that_are_not_read_are_told_of_for_our_own_ingresses_only() {
    let unread = |name: &str, class: &str| {
        let value = ingress(name).class(Some(class), None).prefix("h", "/", "s:80").value();
        with(value, |ingress| ingress.unread = Some("2 annotations are not read".into()))
    };
    let world = World::of([unread("ours", "genkan"), unread("theirs", "nginx")]);
    let told: Vec<_> =
        world.problems().into_iter().filter(|p| p.field.starts_with("meta")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(&*told[0].object.as_ref().expect("an object").name, "ours");
    let world = world.and([ingress("ours").prefix("h", "/", "s:80").object()]);
    assert!(!world.problems().iter().any(|problem| problem.field.starts_with("meta")));
}
