//! K1-K3, K5, K6, K8: which Ingresses are ours.

use super::World;
use crate::config::{Classes, Config};
use crate::model::class::CONTROLLER;
use crate::model::{Kind, Object};
use crate::routing::Settings;
use crate::routing::fixture::{class, ingress, removals, upserts};

fn named(annotation: Option<&str>, field: Option<&str>) -> Object {
    ingress("a").class(annotation, field).prefix("h", "/", "s:80").object()
}

fn is_served(world: &World) -> bool {
    world.route("h", "/").is_some()
}

#[test]
fn k1_class_is_ours_by_its_controller_whatever_its_name() {
    let mut world = World::of([named(None, Some("edge")), class("edge", CONTROLLER)]);
    assert!(is_served(&world));
    world.apply(upserts([class("edge", "example.com/other")]));
    assert!(!is_served(&world));
    assert!(!is_served(&World::of([named(None, Some("genkan"))])), "a field needs an IngressClass");
}

#[test]
fn k2_annotation_is_honoured_without_class_object_and_wins_over_the_field() {
    assert!(is_served(&World::of([named(Some("genkan"), None)])));
    assert!(!is_served(&World::of([named(Some("nginx"), None)])));
    let edge = || class("edge", CONTROLLER);
    assert!(is_served(&World::of([named(Some("edge"), None), edge()])));
    assert!(!is_served(&World::of([named(Some("nginx"), Some("edge")), edge()])));
    assert!(is_served(&World::of([named(Some("genkan"), Some("nobody"))])));
}

#[test]
fn k3_ingress_is_picked_up_when_its_class_appears() {
    let mut world = World::of([named(None, Some("later"))]);
    assert!(!is_served(&world));
    world.apply(upserts([class("later", CONTROLLER)]));
    assert!(is_served(&world));
}

#[test]
fn k5_classless_ingress_is_served_only_on_request() {
    assert!(!is_served(&World::of([named(None, None)])));
    let classes = Classes { serve_classless: true, ..Classes::default() };
    let config = Config { classes, ..Config::default() };
    assert!(is_served(&World::with(Settings::from(&config)).and([named(None, None)])));
}

#[test]
fn k6_class_changed_away_takes_the_routes_along() {
    let mut world = World::of([named(Some("genkan"), None)]);
    let compiled = world.apply(upserts([named(Some("nginx"), None)]));
    assert!(!is_served(&world));
    assert_eq!(compiled.snapshot.cluster_count(), 0);
    assert!(world.problems().is_empty());
    world.apply(upserts([named(Some("genkan"), None)]));
    assert!(is_served(&world));
}

#[test]
fn k8_removed_class_stays_in_force_until_the_next_full_list() {
    let mut world = World::of([named(None, Some("edge")), class("edge", CONTROLLER)]);
    world.apply(removals([(Kind::IngressClass, "edge")]));
    assert!(is_served(&world), "a relist must not drop all traffic");
    world.apply(upserts([class("edge", CONTROLLER)]));
    world.compiler.full_list(world.now);
    assert!(is_served(&world), "it came back in time");
    world.apply(removals([(Kind::IngressClass, "edge")]));
    world.compiler.full_list(world.now);
    assert!(!is_served(&world));
}
