//! Who may come in: from Secrets to routes.

use super::*;
use crate::model::options::SecretName;
use crate::model::{Ingress, Kind};
use crate::routing::access::Auth;
use crate::routing::fixture::{ingress, removals, secret};

/// Asks for a password of the Secret `pw`, or `namespace/name`.
fn asking(ingress: Ingress, name: &str, map: bool) -> Object {
    let mut ingress = ingress;
    let (namespace, name) = match name.split_once('/') {
        Some((namespace, name)) => (Some(namespace.into()), name),
        None => (None, name),
    };
    let auth = &mut ingress.options.access.auth;
    (auth.basic, auth.map) = (true, map);
    auth.secret = Some(SecretName { namespace, name: name.into() });
    auth.realm = Some("staff".into());
    Object::Ingress(ingress)
}

fn auth(world: &World, host: &str, path: &str) -> Auth {
    let route = world.route(host, path).expect("a route").clone();
    route.filters.clone().expect("filters").access.clone().expect("access").auth
}

/// Those of some names who may come in with the password `pw`; `None`: nobody can.
fn admitted(world: &World, host: &str, path: &str) -> Option<Vec<&'static str>> {
    let Auth::Basic(basic) = auth(world, host, path) else { return None };
    let names = ["ann", "bob", "auth"].into_iter();
    let admits =
        |name: &&str| basic.users.find(name.as_bytes()).is_some_and(|entry| entry.admits(b"pw"));
    Some(names.filter(admits).collect())
}

fn told(world: &World) -> Vec<String> {
    let of_secrets = |p: &Problem| p.field == "metadata.annotations[auth-secret]";
    let problems = world.problems().into_iter().filter(of_secrets);
    problems.map(|p| format!("{}: {}", p.reason.as_str(), p.message)).collect()
}

fn plain() -> Ingress {
    ingress("a").prefix("h", "/", "s:80").prefix("i", "/x", "s:80").value()
}

#[test]
fn a_password_file_and_a_map_say_who_may_come_in() {
    let file = secret("pw", &[("auth", "ann:{PLAIN}pw\nbob:{PLAIN}no\n")]);
    let world = World::of([asking(plain(), "pw", false), file]);
    assert_eq!(admitted(&world, "h", "/"), Some(vec!["ann"]));
    assert_eq!(admitted(&world, "i", "/x"), Some(vec!["ann"]));
    assert_eq!(told(&world), [""; 0]);
    let map = secret("pw", &[("bob", "{PLAIN}pw"), ("auth", "{PLAIN}pw")]);
    let world = World::of([asking(plain(), "default/pw", true), map]);
    assert_eq!(admitted(&world, "h", "/"), Some(vec!["bob", "auth"]));
}

#[test]
fn c13_without_a_usable_secret_nobody_comes_in_and_everybody_hears_why() {
    for (name, map, entries, reason, says) in [
        ("other", false, &[("auth", "ann:{PLAIN}pw")][..], "SecretNotFound", "does not exist"),
        ("team/pw", false, &[("auth", "ann:{PLAIN}pw")], "InvalidAnnotation", "another namespace"),
        ("pw", false, &[("passwords", "ann:{PLAIN}pw")], "SecretInvalid", "data[auth]: missing"),
        ("pw", false, &[("auth", "")], "SecretInvalid", "it names no user"),
        ("pw", false, &[("auth", "ann:abzlUXK5ed5rs")], "SecretInvalid", "line 1: a scheme"),
        ("pw", true, &[], "SecretInvalid", "it names no user"),
        ("pw", true, &[("ann", "plain")], "SecretInvalid", "user \"ann\": a scheme"),
    ] {
        let world = World::of([asking(plain(), name, map), secret("pw", entries)]);
        for (host, path) in [("h", "/"), ("i", "/x")] {
            assert_eq!(auth(&world, host, path), Auth::Unusable, "{says}");
        }
        let told = told(&world);
        assert_eq!(told.len(), 2, "one for each host: {told:?}");
        assert!(told[0].starts_with(reason) && told[0].contains(says), "{told:?}");
        assert!(told[0].contains("host h answer 503"), "{told:?}");
    }
}

#[test]
fn entries_that_are_not_taken_are_told_of_and_the_others_serve() {
    let file = "ann:{PLAIN}pw\nbob\neve:x\n:y\nzoe:z\n";
    let world = World::of([asking(plain(), "pw", false), secret("pw", &[("auth", file)])]);
    assert_eq!(admitted(&world, "h", "/"), Some(vec!["ann"]));
    let told = told(&world);
    assert!(told[0].contains("line 2: not user:hash; line 3:"), "{told:?}");
    assert!(told[0].ends_with("and 1 more"), "{told:?}");
}

#[test]
fn a_secret_that_comes_changes_or_goes_is_followed_at_once() {
    let mut world = World::of([asking(plain(), "pw", false)]);
    assert_eq!(admitted(&world, "h", "/"), None);
    world.apply(upserts([secret("pw", &[("auth", "ann:{PLAIN}pw")])]));
    assert_eq!(admitted(&world, "h", "/"), Some(vec!["ann"]));
    assert_eq!(told(&world), [""; 0]);
    world.apply(upserts([secret("pw", &[("auth", "bob:{PLAIN}pw")])]));
    assert_eq!(admitted(&world, "h", "/"), Some(vec!["bob"]));
    world.apply(removals([(Kind::Secret, "pw")]));
    assert_eq!(admitted(&world, "h", "/"), None);
}

#[test]
fn routes_of_an_ingress_share_their_filters_as_long_as_its_passwords_are_the_same() {
    let file = |user: &str| secret("pw", &[("auth", &format!("{user}:{{PLAIN}}pw"))]);
    let mut world = World::of([asking(plain(), "pw", false), file("ann")]);
    let filters =
        |world: &World, host, path| world.route(host, path).unwrap().filters.clone().unwrap();
    let first = filters(&world, "h", "/");
    assert!(Arc::ptr_eq(&first, &filters(&world, "i", "/x")));
    world.apply(upserts([file("bob")]));
    let second = filters(&world, "h", "/");
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(Arc::ptr_eq(&second, &filters(&world, "i", "/x")));
}

#[test]
fn the_catch_all_asks_for_passwords_too() {
    let mut all = ingress("all").default_backend("s:80").value();
    all.has_rules = false;
    let mut world = World::of([asking(all, "pw", false)]);
    assert_eq!(admitted(&world, "any.x", "/"), None);
    world.apply(upserts([secret("pw", &[("auth", "ann:{PLAIN}pw")])]));
    assert_eq!(admitted(&world, "any.x", "/"), Some(vec!["ann"]));
}

#[test]
fn a_certificate_and_passwords_in_one_secret_go_their_own_ways() {
    let with = |entries: &[(&str, &str)]| {
        let Object::Secret(mut both) = secret("pw", entries) else { unreachable!("a Secret") };
        both.certificate = crate::model::SecretCertificate::Usable(
            crate::routing::fixture::certificate("pw", &["h"]),
        );
        both
    };
    let site = ingress("a").prefix("h", "/", "s:80").tls(&["h"], Some("pw")).value();
    let both = with(&[("auth", "ann:{PLAIN}pw")]);
    let mut world = World::of([asking(site, "pw", false), Object::Secret(both.clone())]);
    let shows_own = |world: &World| {
        matches!(
            world.compiler.snapshot().certificate(Some("h")),
            CertificateChoice::Known(Some(_))
        )
    };
    assert!(shows_own(&world));
    assert_eq!(admitted(&world, "h", "/"), Some(vec!["ann"]));
    let mut broken = with(&[("auth", "bob:{PLAIN}pw")]);
    broken.certificate = crate::model::SecretCertificate::Unreadable;
    world.apply(upserts([Object::Secret(broken)]));
    assert!(shows_own(&world), "T9");
    assert_eq!(admitted(&world, "h", "/"), Some(vec!["bob"]));
}
