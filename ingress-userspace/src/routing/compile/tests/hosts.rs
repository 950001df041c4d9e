//! H1-H9: which host's rules take a request.

use super::World;
use crate::routing::fixture::ingress;

#[test]
fn h1_host_is_empty_precise_or_one_leading_wildcard_label() {
    let world = World::of([ingress("a")
        .prefix("foo.example", "/", "s:80")
        .prefix("*.example", "/", "s:80")
        .prefix("", "/", "s:80")
        .object()]);
    assert_eq!(world.id("foo.example", "/"), "a/rules[0].paths[0]");
    assert_eq!(world.id("bar.example", "/"), "a/rules[1].paths[0]");
    assert_eq!(world.id("other", "/"), "a/rules[2].paths[0]");
}

#[test]
fn h2_precise_host_is_compared_whole() {
    let world = World::of([ingress("a").prefix("foo.example", "/", "s:80").object()]);
    assert_eq!(world.id("foo.example", "/"), "a/rules[0].paths[0]");
    for host in ["bar.foo.example", "oo.example", "example", "foo.example.org"] {
        assert_eq!(world.id(host, "/"), "404", "{host}");
    }
}

#[test]
fn h3_wildcard_takes_exactly_one_label() {
    let world = World::of([ingress("a").prefix("*.foo.example", "/", "s:80").object()]);
    assert_eq!(world.id("bar.foo.example", "/"), "a/rules[0].paths[0]");
    assert_eq!(world.id("foo.example", "/"), "404");
    assert_eq!(world.id("a.b.foo.example", "/"), "404");
}

#[test]
fn h4_host_without_fitting_path_falls_to_the_default_not_to_wider_hosts() {
    let world = World::of([
        ingress("precise").prefix("foo.example", "/only", "s:80").object(),
        ingress("wide").prefix("*.example", "/", "s:80").prefix("", "/", "s:80").object(),
    ]);
    assert_eq!(world.id("foo.example", "/other"), "404");
    assert_eq!(world.id("bar.example", "/other"), "wide/rules[0].paths[0]");
    let world = world.and([ingress("all").default_backend("s:80").object()]);
    assert_eq!(world.id("foo.example", "/other"), "all/default");
}

#[test]
fn h5_precise_before_wildcard_before_empty_host() {
    let all = ingress("a").prefix("", "/", "any:80").prefix("*.example", "/", "wild:80").prefix(
        "foo.example",
        "/",
        "precise:80",
    );
    let mut world = World::of([all.object()]);
    assert_eq!(&*world.cluster("foo.example", "/").service, "precise");
    assert_eq!(&*world.cluster("bar.example", "/").service, "wild");
    assert_eq!(&*world.cluster("example", "/").service, "any");
    world = world.and([ingress("a").prefix("", "/", "any:80").object()]);
    assert_eq!(&*world.cluster("foo.example", "/").service, "any");
}

#[test]
fn h6_case_port_and_trailing_dot_of_the_request_do_not_matter() {
    let world = World::of([ingress("a").prefix("foo.example", "/", "s:80").object()]);
    for host in ["FOO.example", "foo.example:8443", "foo.example.", "Foo.Example.:80"] {
        assert_eq!(world.id(host, "/"), "a/rules[0].paths[0]", "{host}");
    }
}

#[test]
fn h7_request_without_host_reaches_empty_host_rules_only() {
    let world = World::of([ingress("a")
        .prefix("foo.example", "/", "s:80")
        .prefix("", "/any", "s:80")
        .object()]);
    assert_eq!(world.id("", "/any"), "a/rules[1].paths[0]");
    assert_eq!(world.id("", "/"), "404");
}

#[test]
fn h8_ip_literal_reaches_empty_host_rules_and_defaults_only() {
    let world = World::of([
        ingress("a").prefix("*.0.0.1", "/", "s:80").prefix("", "/any", "s:80").object(),
        ingress("b").default_backend("s:80").object(),
    ]);
    for host in ["10.0.0.1", "[2001:db8::1]:8080"] {
        assert_eq!(world.id(host, "/any"), "a/rules[1].paths[0]", "{host}");
        assert_eq!(world.id(host, "/"), "b/default", "{host}");
    }
}

#[test]
fn h9_rule_without_http_sends_its_host_to_the_default() {
    let world = World::of([
        ingress("own").bare_rule("foo.example").default_backend("s:80").object(),
        ingress("none").bare_rule("bar.example").object(),
        ingress("wide").prefix("*.example", "/", "s:80").object(),
    ]);
    assert_eq!(world.id("foo.example", "/x"), "own/default");
    assert_eq!(world.id("bar.example", "/x"), "404");
    let world = world.and([ingress("all").default_backend("s:80").object()]);
    assert_eq!(world.id("bar.example", "/x"), "all/default");
    assert_eq!(world.id("foo.example", "/x"), "own/default");
}
