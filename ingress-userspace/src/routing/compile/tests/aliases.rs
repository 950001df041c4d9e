//! `server-alias`.

use super::*;
use crate::model::{CertificateSecret, Kind};
use crate::routing::fixture::{IngressFixture, certificate, host_pattern, ingress, removals};

fn aliased(fixture: IngressFixture, names: &[&str]) -> Object {
    let mut ingress = fixture.value();
    ingress.options.aliases = names.iter().map(|name| host_pattern(name)).collect();
    Object::Ingress(ingress)
}

fn secret(secret: &CertificateSecret) -> Object {
    Object::Secret(secret.clone().into())
}

#[test]
fn an_alias_has_all_routes_of_its_host_whoever_they_belong_to() {
    let mut world = World::of([
        aliased(ingress("a").prefix("h", "/a", "s:80"), &["other", "*.wild"]),
        ingress("b").prefix("h", "/b", "s:80").default_backend("d:80").object(),
    ]);
    for host in ["h", "other", "x.wild"] {
        assert_eq!(world.id(host, "/a"), "a/rules[0].paths[0]", "{host}");
        assert_eq!(world.id(host, "/b"), "b/rules[0].paths[0]", "{host}");
        assert_eq!(world.id(host, "/"), "b/default", "{host}");
    }
    assert!(world.route("nobody", "/a").is_none());
    world.apply(upserts([ingress("b").prefix("h", "/c", "s:80").object()]));
    assert_eq!(
        world.id("other", "/c"),
        "b/rules[0].paths[0]",
        "an edit of the host is one of both"
    );
    assert_eq!(world.id("other", "/b"), "404");
    world.apply(removals([(Kind::Ingress, "b")]));
    assert_eq!(world.id("other", "/c"), "404");
    world.apply(upserts([ingress("a").prefix("h", "/a", "s:80").object()]));
    assert!(world.route("other", "/a").is_none(), "without the alias nobody knows the name");
    assert_eq!(world.id("h", "/a"), "a/rules[0].paths[0]");
}

#[test]
fn rules_of_a_name_come_before_an_alias_of_it() {
    let mut world = World::of([
        aliased(ingress("a").created(1).prefix("h", "/", "s:80"), &["i"]),
        ingress("b").created(2).prefix("i", "/x", "s:80").object(),
    ]);
    assert_eq!(world.id("i", "/x"), "b/rules[0].paths[0]");
    assert_eq!(world.id("i", "/"), "404");
    let told = ["ConflictingHost a metadata.annotations[server-alias]"];
    assert_eq!(world.told_of_rules(), told);
    world.apply(removals([(Kind::Ingress, "b")]));
    assert_eq!(world.id("i", "/"), "a/rules[0].paths[0]");
    assert_eq!(world.told_of_rules(), [""; 0]);
}

#[test]
fn the_first_ingress_in_the_order_of_c1_has_the_alias() {
    let one = |name: &str, created: i64, host: &str| {
        let path = format!("/{name}");
        aliased(ingress(name).created(created).prefix(host, &path, "s:80"), &["alias"])
    };
    let mut world = World::of([one("late", 2, "h"), one("early", 1, "i"), one("same", 3, "i")]);
    assert_eq!(world.id("alias", "/early"), "early/rules[0].paths[0]");
    assert_eq!(world.told_of_rules(), ["ConflictingHost late metadata.annotations[server-alias]"]);
    world.apply(removals([(Kind::Ingress, "early"), (Kind::Ingress, "same")]));
    assert_eq!(world.id("alias", "/late"), "late/rules[0].paths[0]");
}

#[test]
fn an_alias_shows_the_certificate_of_its_host_where_that_covers_it() {
    let both = certificate("x", &["h", "alias"]);
    let site = |names: &[&str]| {
        aliased(ingress("a").prefix("h", "/", "s:80").tls(&["h"], Some("x")), names)
    };
    let mut world = World::of([site(&["alias", "elsewhere"]), secret(&both)]);
    let shown = |world: &World, name: &str| match world.compiler.snapshot().certificate(Some(name))
    {
        CertificateChoice::Known(Some(_)) => "own",
        CertificateChoice::Known(None) | CertificateChoice::Unknown(_) => "default",
    };
    assert_eq!((shown(&world, "h"), shown(&world, "alias")), ("own", "own"));
    assert_eq!(shown(&world, "elsewhere"), "default");
    world.apply(upserts([secret(&certificate("x", &["h"]))]));
    assert_eq!((shown(&world, "h"), shown(&world, "alias")), ("own", "default"));
    world.apply(upserts([secret(&both), site(&[])]));
    assert_eq!(shown(&world, "alias"), "default");
}

#[test]
fn an_alias_is_listed_nowhere_twice() {
    let world = World::of([aliased(ingress("a").prefix("h", "/", "s:80"), &["i", "j"])]);
    let mut listed = 0;
    world.compiler.snapshot().each_route(|_, _| listed += 1);
    assert_eq!(listed, 1);
    assert_eq!(world.compiler.snapshot().host_count(), 1);
}
