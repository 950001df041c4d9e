//! What annotations make of routes.

use std::time::Duration;

use super::*;
use crate::model::Ingress;
use crate::routing::fixture::ingress;
use crate::routing::{Moved, MovedTo};

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

fn redirect(world: &World, host: &str, path: &str) -> Option<(u16, String)> {
    match &world.route(host, path).expect("a route").action {
        Action::Redirect(Moved { status, to: MovedTo::Url(url) }) => {
            Some((*status, url.to_str().expect("a URL").to_owned()))
        }
        Action::Redirect(Moved { status, to: MovedTo::Path(path) }) => {
            Some((*status, path.to_string()))
        }
        Action::Forward(_) | Action::Refuse { .. } => None,
    }
}

#[test]
fn redirects_stand_for_every_path_of_their_ingress() {
    let moved = ingress("a").prefix("h", "/a", "s:80").default_backend("d:80").value();
    let world = World::of([
        with(moved, |own| own.options.redirects.permanent = Some("https://new.example/x".into())),
        ingress("b").prefix("h", "/b", "s:80").object(),
    ]);
    let to = Some((301, "https://new.example/x".to_owned()));
    assert_eq!(redirect(&world, "h", "/a/deep"), to);
    assert_eq!(redirect(&world, "h", "/other"), to, "the default backend of the Ingress");
    assert_eq!(redirect(&world, "h", "/b"), None);
    let fields: Vec<String> = world.problems().into_iter().map(|p| p.to_string()).collect();
    assert!(!fields.iter().any(|p| p.contains("default/a")), "no endpoint is missed: {fields:?}");
}

#[test]
fn app_root_takes_the_root_of_the_host_from_everybody_and_the_first_one_decides() {
    let rooted = |name: &str, created: i64, root: &str| {
        let value = ingress(name).created(created).prefix("h", &format!("/{name}"), "s:80").value();
        with(value, |own| own.options.redirects.app_root = Some(root.into()))
    };
    let others = || {
        [
            ingress("o").exact("h", "/", "s:80").prefix("h", "/", "s:80").object(),
            ingress("p").prefix("i", "/", "s:80").object(),
        ]
    };
    for world in [World::new(), World::nginx()] {
        let world = world.and([rooted("b", 2, "/two"), rooted("a", 1, "/one")]).and(others());
        assert_eq!(redirect(&world, "h", "/"), Some((302, "/one".to_owned())));
        for (host, path) in [("h", "/x"), ("h", "/a"), ("i", "/")] {
            assert_eq!(redirect(&world, host, path), None, "{host}{path}");
        }
        assert!(world.told_of_rules().contains(&"ConflictingHost b metadata.annotations".into()));
    }
}

#[test]
fn force_ssl_redirect_needs_no_certificate_and_spares_acme() {
    let forced = ingress("a")
        .prefix("h", "/", "s:80")
        .prefix("h", "/.well-known/acme-challenge/x", "s:80")
        .prefix("", "/", "s:80")
        .value();
    let https =
        |world: &World, host, path| world.route(host, path).expect("a route").https_redirect;
    let forced = || with(forced.clone(), |own| own.options.redirects.force_ssl = Some(true));
    let native = World::of([forced()]);
    assert!(https(&native, "h", "/").is_some() && https(&native, "unknown", "/").is_some());
    assert!(https(&native, "h", "/.well-known/acme-challenge/x").is_none());
    assert!(!https(&native, "h", "/").expect("a redirect").drop_trailing_slash);
    let compat = World::nginx().and([forced()]);
    assert!(https(&compat, "h", "/").expect("a redirect").drop_trailing_slash);
    let keeping = ingress("a").prefix("h", "/", "s:80").value();
    let compat = compat.and([with(keeping, |own| {
        own.options.redirects.force_ssl = Some(true);
        own.options.redirects.preserve_trailing_slash = Some(true);
    })]);
    assert!(!https(&compat, "h", "/").expect("a redirect").drop_trailing_slash);
}

#[test]
fn a_closed_path_is_not_redirected_away() {
    let mut closed = ingress("a").prefix("h", "/", "s:80").value();
    closed.rules[0].paths[0].backend = crate::model::Backend::Closed;
    let world = World::of([with(closed, |own| {
        own.options.redirects.permanent = Some("https://new.example/".into());
    })]);
    assert_eq!(redirect(&world, "h", "/"), None);
}

#[test]
fn d8_a_namespace_that_comes_later_says_nothing_about_the_whole_host() {
    let later = || ingress("evil/b").created(2).prefix("h", "/b", "s:80").value();
    let world = World::of([
        ingress("shop/a").created(1).prefix("h", "/", "s:80").object(),
        with(later(), |own| {
            own.options.closes_hosts = true;
            own.options.redirects.app_root = Some("/b".into());
        }),
    ]);
    let action = |path| world.route("h", path).expect("a route").action.clone();
    assert!(matches!(action("/"), Action::Forward(_)), "neither closed nor led away");
    assert!(matches!(action("/x"), Action::Forward(_)));
    assert_eq!(world.told_of_rules(), ["ConflictingHost b metadata.annotations"]);
}
