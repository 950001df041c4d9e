//! P1-P7, 2.2 and 2.3: which path of a host takes a request.

use super::World;
use crate::model::PathKind;
use crate::model::PathKind::{Exact, ImplementationSpecific, Prefix};
use crate::routing::fixture::{backend, ingress};

/// The winner's path as written, of one host with `rules`; `404` for none.
fn winner(world: World, rules: &[(PathKind, &str)], request: &str) -> String {
    let all = rules.iter().fold(ingress("a"), |all, &(kind, path)| {
        all.path("foo.example", kind, path, backend("s:80"))
    });
    let route = world.and([all.object()]).route("foo.example", request);
    route.map_or_else(|| "404".to_owned(), |route| route.path.to_string())
}

fn native(rules: &[(PathKind, &str)], request: &str) -> String {
    winner(World::new(), rules, request)
}

#[test]
fn p1_options_star_reaches_only_slash_catch_alls() {
    assert_eq!(native(&[(Prefix, "/"), (Prefix, "/foo"), (Exact, "/")], "*"), "/");
    assert_eq!(native(&[(ImplementationSpecific, "")], "*"), "/");
    assert_eq!(native(&[(Exact, "/"), (Prefix, "/foo")], "*"), "404");
    assert_eq!(winner(World::nginx(), &[(ImplementationSpecific, "/")], "*"), "/");
}

#[test]
fn p2_exact_is_byte_equality() {
    let foo = [(Exact, "/foo")];
    assert_eq!(native(&foo, "/foo"), "/foo");
    for request in ["/bar", "/foo/", "/FOO", "/foo/x", "/fo"] {
        assert_eq!(native(&foo, request), "404", "{request}");
    }
    assert_eq!(native(&[(Exact, "/foo/")], "/foo/"), "/foo/");
    assert_eq!(native(&[(Exact, "/foo/")], "/foo"), "404");
}

#[test]
fn p3_prefix_compares_elements_and_ignores_the_rules_trailing_slash() {
    for rule in ["/foo", "/foo/"] {
        for request in ["/foo", "/foo/", "/foo/x"] {
            assert_eq!(native(&[(Prefix, rule)], request), rule, "{request}");
        }
        assert_eq!(native(&[(Prefix, rule)], "/foobar"), "404");
    }
    assert_eq!(native(&[(Prefix, "/aaa/bb")], "/aaa/bbb"), "404");
    for request in ["/aaa/bbb", "/aaa/bbb/", "/aaa/bbb/ccc"] {
        assert_eq!(native(&[(Prefix, "/aaa/bbb")], request), "/aaa/bbb", "{request}");
    }
    for request in ["/aaa/bbbxyz", "/AAA/bbb", "/aaa"] {
        assert_eq!(native(&[(Prefix, "/aaa/bbb")], request), "404", "{request}");
    }
    assert_eq!(native(&[(Prefix, "/aaa")], "/ccc"), "404");
}

#[test]
fn p4_prefix_slash_matches_every_path() {
    for request in ["/", "/x", "/x/", "/x/y.z"] {
        assert_eq!(native(&[(Prefix, "/")], request), "/", "{request}");
    }
}

#[test]
fn p5_implementation_specific_is_prefix_natively_and_bytes_in_compat() {
    let foo = [(ImplementationSpecific, "/foo")];
    assert_eq!(native(&foo, "/foo/x"), "/foo");
    assert_eq!(native(&foo, "/foobar"), "404");
    assert_eq!(winner(World::nginx(), &foo, "/foobar"), "/foo");
    assert_eq!(winner(World::nginx(), &[(Prefix, "/foo")], "/foobar"), "404");
}

#[test]
fn p6_empty_path_is_slash() {
    assert_eq!(native(&[(ImplementationSpecific, "")], "/any"), "/");
}

#[test]
fn p7_all_three_types_serve_side_by_side() {
    let rules = [(Exact, "/e"), (Prefix, "/p"), (ImplementationSpecific, "/i")];
    for (request, path) in [("/e", "/e"), ("/p/x", "/p"), ("/i/x", "/i"), ("/e/x", "404")] {
        assert_eq!(native(&rules, request), path, "{request}");
    }
}

/// The winner's kind is told by its position.
#[test]
fn p2_2_precedence_follows_the_vectors() {
    let position = |rules: &[(PathKind, &str)], request: &str| {
        let all = rules.iter().fold(ingress("a"), |all, &(kind, path)| {
            all.path("foo.example", kind, path, backend("s:80"))
        });
        let id = World::of([all.object()]).id("foo.example", request);
        id.trim_start_matches("a/rules[0].paths").to_owned()
    };
    let three = [(Prefix, "/"), (Prefix, "/aaa"), (Prefix, "/aaa/bbb")];
    assert_eq!(position(&three, "/aaa/ccc"), "[1]");
    assert_eq!(position(&three, "/aaa/bbb"), "[2]");
    assert_eq!(position(&three, "/ccc"), "[0]");
    let same = [(Prefix, "/foo"), (Exact, "/foo")];
    assert_eq!(position(&same, "/foo"), "[1]");
    assert_eq!(position(&same, "/foo/x"), "[0]");
    let slash = [(Prefix, "/foo"), (Exact, "/foo/")];
    assert_eq!(position(&slash, "/foo/"), "[1]");
    assert_eq!(position(&slash, "/foo"), "[0]");
    let both = [(Prefix, "/foo"), (Prefix, "/foo/")];
    for request in ["/foo", "/foo/", "/foo/x"] {
        assert_eq!(position(&both, request), "[1]", "{request}");
    }
    let exact_first = [(Prefix, "/foo/"), (Exact, "/foo")];
    assert_eq!(position(&exact_first, "/foo"), "[1]");
    assert_eq!(position(&exact_first, "/foo/"), "[0]");
    let tie = [(ImplementationSpecific, "/foo"), (Prefix, "/foo")];
    assert_eq!(position(&tie, "/foo/x"), "[1]");
    let longer = [(ImplementationSpecific, "/foo/"), (Prefix, "/foo")];
    assert_eq!(position(&longer, "/foo"), "[0]");
}

#[test]
fn d5_regex_is_natively_a_matter_of_one_ingress() {
    let world = World::of([
        ingress("r")
            .regex()
            .specific("h", "/v[0-9]+/x", "s:80")
            .prefix("h", "/pre", "s:80")
            .object(),
        ingress("p").prefix("h", "/V1", "s:80").specific("h", "/v[0-9]", "s:80").object(),
    ]);
    assert_eq!(world.id("h", "/v7/x/tail"), "r/rules[0].paths[0]");
    assert_eq!(world.id("h", "/V1/x"), "r/rules[0].paths[0]", "longer text, case-insensitive");
    assert_eq!(world.id("h", "/V1/y"), "p/rules[0].paths[0]");
    assert_eq!(world.id("h", "/v1/y"), "404", "another Ingress's paths stay what they are");
    assert_eq!(world.id("h", "/prefix"), "404", "Prefix stays Prefix");
}

#[test]
fn d5_prefix_wins_over_a_regex_of_equal_length() {
    let world = World::of([
        ingress("r").regex().specific("h", "/a.", "r:80").object(),
        ingress("p").prefix("h", "/ab", "p:80").object(),
    ]);
    assert_eq!(&*world.cluster("h", "/ab").service, "p");
    assert_eq!(&*world.cluster("h", "/ac").service, "r");
}

#[test]
fn nginx_one_regex_ingress_turns_the_whole_host_into_regexes() {
    let world = World::nginx().and([
        ingress("r").regex().specific("h", "/x(/|$)(.*)", "s:80").object(),
        ingress("e").exact("h", "/foo", "s:80").prefix("other", "/foo", "s:80").object(),
    ]);
    assert_eq!(world.id("h", "/FOObar"), "e/rules[0].paths[0]", "even Exact");
    assert_eq!(world.id("h", "/pre/foo"), "404", "anchored at the start");
    assert_eq!(world.id("h", "/X/y"), "r/rules[0].paths[0]");
    assert_eq!(world.id("other", "/foobar"), "404", "another host is not concerned");
}

#[test]
fn nginx_regexes_go_by_length_then_reverse_lexical() {
    let all = ingress("r")
        .regex()
        .specific("h", "/a.*", "s:80")
        .specific("h", "/ab.", "s:80")
        .specific("h", "/abcd", "s:80")
        .specific("h", "/abce", "s:80")
        .specific("h", "/abc.", "s:80");
    let world = World::nginx().and([all.object()]);
    for (request, path) in [("/abcd", 2), ("/abce", 3), ("/abcx", 4), ("/abx", 1), ("/axx", 0)] {
        assert_eq!(world.id("h", request), format!("r/rules[0].paths[{path}]"), "{request}");
    }
    let tie = ingress("r").regex().specific("h", "/a.", "s:80").specific("h", "/.b", "s:80");
    let world = World::nginx().and([tie.object()]);
    assert_eq!(world.id("h", "/ab"), "r/rules[0].paths[0]", "'a' sorts after '.'");
}

#[test]
fn many_regexes_of_one_host_keep_their_order() {
    let mut all = ingress("r").regex();
    for n in 0..500 {
        all = all.specific("h", &format!("/{n:03}/.*[0-9]x"), "s:80");
    }
    let world = World::nginx().and([all.specific("h", "/", "s:80").object()]);
    assert_eq!(world.id("h", "/321/7x"), "r/rules[0].paths[321]");
    assert_eq!(world.id("h", "/321/x"), "r/rules[0].paths[500]");
}

#[test]
fn c13_pattern_that_does_not_compile_costs_only_its_path() {
    let world = World::nginx().and([ingress("r")
        .regex()
        .specific("h", "/(bad", "s:80")
        .specific("h", "/(?=look)", "s:80")
        .specific("h", "/(a{500}){500}", "s:80")
        .specific("h", "/good", "s:80")
        .object()]);
    assert_eq!(world.id("h", "/good"), "r/rules[0].paths[3]");
    assert_eq!(world.id("h", "/(bad"), "404");
    let told = world.told_of_rules();
    let expected = |path| format!("InvalidObject r spec.rules[0].http.paths[{path}].path");
    assert_eq!(told, [expected(0), expected(1), expected(2)]);
}

#[test]
fn rewrite_target_of_the_examples_serves_in_compat() {
    let world = World::nginx().and([
        ingress("test-ingress").rewrite("/").specific("", "/testpath", "test:80").object(),
        ingress("test")
            .rewrite("/")
            .specific("foo.bar.com", "/foo", "s1:80")
            .specific("foo.bar.com", "/bar", "s2:80")
            .object(),
    ]);
    let rewritten = |host: &str, path: &str| {
        let route = world.route(host, path).expect("a route");
        route.rewrite.as_ref().map(|rewrite| rewrite.apply(path).into_owned())
    };
    assert_eq!(rewritten("any", "/testpath"), Some("/".to_owned()));
    assert_eq!(rewritten("any", "/testpath/a"), Some("/".to_owned()));
    assert_eq!(rewritten("foo.bar.com", "/bar/x"), Some("/".to_owned()));
    assert_eq!(&*world.cluster("foo.bar.com", "/bar").service, "s2");
    assert_eq!(world.id("foo.bar.com", "/other"), "404");
}

#[test]
fn rewrite_target_equal_to_the_path_has_no_effect() {
    let world =
        World::nginx().and([ingress("a").rewrite("/foo").prefix("h", "/foo", "s:80").object()]);
    let route = world.route("h", "/foo/x").expect("a route");
    assert!(route.rewrite.is_none());
    assert_eq!(world.id("h", "/foobar"), "404", "and does not start regex mode");
}

#[test]
fn rewrite_target_fills_in_groups_of_the_rule_path() {
    for world in [World::new(), World::nginx()] {
        let all = ingress("a").rewrite("/$2").specific("h", "/api(/|$)(.*)", "s:80");
        let world = world.and([all.object()]);
        let route = world.route("h", "/API/v1/x").expect("a route");
        let rewrite = route.rewrite.as_ref().expect("a rewrite");
        assert_eq!(rewrite.apply("/API/v1/x"), "/v1/x");
        assert_eq!(world.id("h", "/apix"), "404");
    }
}

#[test]
fn rewrite_target_with_groups_of_an_unreadable_path_loses_that_path() {
    let all = ingress("a").rewrite("/$1").prefix("h", "/(x", "s:80").prefix("h", "/y", "s:80");
    let world = World::of([all.object()]);
    assert_eq!(world.id("h", "/(x"), "404");
    assert_eq!(world.id("h", "/y"), "a/rules[0].paths[1]");
    assert_eq!(world.told_of_rules(), ["InvalidAnnotation a spec.rules[0].http.paths[0].path"]);
}

#[test]
fn d7_rule_paths_are_compared_in_the_form_of_requests() {
    let all =
        ingress("a").specific("h", "/caf%c3%a9", "s:80").specific("h", "/a/%2e%2e/..", "s:80");
    let world = World::of([all.object()]);
    assert_eq!(world.id("h", "/café/x"), "a/rules[0].paths[0]");
    assert_eq!(world.told_of_rules(), ["InvalidObject a spec.rules[0].http.paths[1].path"]);
}

/// 2.3 reads every path of the host as a regex; what a path is compared with is always normalised.
#[test]
fn d7_literal_paths_of_a_regex_host_are_compared_in_the_form_of_requests() {
    let all = ingress("a")
        .regex()
        .exact("h", "/%7Eu", "s:80")
        .prefix("h", "/caf%c3%a9", "s:80")
        .specific("h", "/a//b", "s:80")
        .specific("h", "/sp ace/%61", "s:80")
        .specific("h", "/x/./y", "s:80")
        .specific("h", "/v(1|2)//z", "s:80")
        .prefix("h", "/dot.ted", "s:80")
        .specific("h", "/never%2f", "s:80");
    let world = World::nginx().and([all.object()]);
    for (request, path) in [
        ("/~u", Some(0)),
        ("/%7eU", Some(0)),
        ("/caf\u{e9}/x", Some(1)),
        ("/a/b", Some(2)),
        ("/a///b/c", Some(2)),
        ("/sp%20ace/a", Some(3)),
        ("/x/1/y", Some(4)),
        ("/x/y", None),
        ("/v1/z", None),
        ("/dotXted", Some(6)),
    ] {
        let wanted =
            path.map_or_else(|| "404".to_owned(), |path| format!("a/rules[0].paths[{path}]"));
        assert_eq!(world.id("h", request), wanted, "{request}");
    }
    assert_eq!(world.told_of_rules(), ["InvalidObject a spec.rules[0].http.paths[7].path"]);
}
