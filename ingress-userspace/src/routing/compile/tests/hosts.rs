//! H1-H9, P1-P7 and 2.2.

use super::World;
use crate::routing::fixture::ingress;

#[test]
fn h2_precise_host_is_compared_whole() {
    let world = World::of([ingress("a").prefix("foo.example", "/", "s:80").object()]);
    assert_eq!(world.id("foo.example", "/"), "a/rules[0].paths[0]");
    assert_eq!(world.id("bar.foo.example", "/"), "404");
    assert_eq!(world.id("oo.example", "/"), "404");
    assert_eq!(world.id("example", "/"), "404");
}

#[test]
fn h3_wildcard_takes_exactly_one_label() {
    let world = World::of([ingress("a").prefix("*.foo.example", "/", "s:80").object()]);
    assert_eq!(world.id("bar.foo.example", "/"), "a/rules[0].paths[0]");
    assert_eq!(world.id("foo.example", "/"), "404");
    assert_eq!(world.id("a.b.foo.example", "/"), "404");
}
