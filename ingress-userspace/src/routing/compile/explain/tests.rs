//! Each reason that an answer can give, by the rule that it names.

use crate::config::{Compat, Config};
use crate::model::{Object, Service};
use crate::routing::explain::{Candidate, Explanation, Outcome, Question, StrictSni};
use crate::routing::fixture::{
    certificate, class, endpoint, ingress, ready_service, service, slice, upserts,
};
use crate::routing::{Compiler, Settings};

fn compiler(settings: Settings, objects: impl IntoIterator<Item = Object>) -> Compiler {
    let mut compiler = Compiler::new(settings);
    compiler.apply(upserts(objects), 1000);
    compiler.full_list(1000);
    compiler
}

fn native(objects: impl IntoIterator<Item = Object>) -> Compiler {
    compiler(Settings::default(), objects)
}

fn nginx(objects: impl IntoIterator<Item = Object>) -> Compiler {
    let config = Config { compat: Compat::Nginx, ..Config::default() };
    compiler(Settings::from(&config), objects)
}

/// `https://` or `http://`, host, target; an empty host is that of HTTP/1.0.
fn ask(compiler: &Compiler, url: &str) -> Explanation {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let https = scheme == "https";
    let host = (!host.is_empty()).then(|| host.to_owned());
    compiler.explain(&question(https, host, path), false)
}

fn question(https: bool, host: Option<String>, path: &str) -> Question {
    Question {
        https,
        method: "GET".to_owned(),
        sni: host.clone().filter(|_| https),
        host,
        target: format!("/{path}"),
        headers: Vec::new(),
    }
}

/// `ingress field rule`.
fn brief(candidate: &Candidate) -> String {
    let field = candidate.field.trim_start_matches("spec.").replace(".http", "");
    format!("{} {field} {}", candidate.ingress, candidate.rule)
}

fn winner(answer: &Explanation) -> String {
    answer.winner.as_ref().map_or_else(|| "nobody".to_owned(), brief)
}

fn losers(answer: &Explanation) -> Vec<String> {
    answer.losers.iter().map(brief).collect()
}

/// The winner is always the route that the snapshot gives.
fn agrees(compiler: &Compiler, answer: &Explanation) {
    use crate::routing::RequestHost;
    let Some(path) = &answer.path else { return };
    let host = answer.host.as_deref().map_or(RequestHost::Absent, |host| match host.parse() {
        Ok(address) => RequestHost::Ip(address),
        Err(_) => RequestHost::Name(host),
    });
    let route = compiler.snapshot().route(host, path).map(|route| route.ingress.to_string());
    assert_eq!(route, answer.winner.as_ref().map(|winner| winner.ingress.clone()));
}

#[test]
fn every_loser_names_the_rule_that_it_lost_by() {
    let compiler = native([
        ingress("a")
            .created(1)
            .exact("h.x", "/foo", "s:80")
            .prefix("h.x", "/foo", "s:80")
            .prefix("h.x", "/", "s:80")
            .specific("h.x", "/foo", "s:80")
            .prefix("h.x", "/other", "s:80")
            .default_backend("d:80")
            .object(),
        ingress("b").created(2).prefix("h.x", "/foo", "s:80").object(),
        ingress("c").prefix("h.x", "/%2f", "s:80").object(),
        ingress("wild").prefix("*.x", "/", "s:80").default_backend("d:80").object(),
        ingress("any").prefix("", "/", "s:80").object(),
        ingress("catch").default_backend("d:80").object(),
        ingress("theirs").class(Some("nginx"), None).prefix("h.x", "/", "s:80").object(),
        ingress("lost").class(None, Some("gone")).prefix("h.x", "/", "s:80").object(),
        ingress("bare").class(None, None).prefix("h.x", "/", "s:80").object(),
        ingress("field").class(None, Some("taken")).prefix("h.x", "/", "s:80").object(),
        class("taken", "example.com/other"),
    ]);
    let answer = ask(&compiler, "http://h.x/foo");
    agrees(&compiler, &answer);
    assert_eq!(winner(&answer), "a rules[0].paths[0] P2");
    let mut found = losers(&answer);
    found.sort();
    let mut expected = [
        "a rules[0].paths[1] 2.2",
        "a rules[0].paths[2] 2.2",
        "a rules[0].paths[3] 2.2",
        "a rules[0].paths[4] P3",
        "a defaultBackend C5",
        "b rules[0].paths[0] C1",
        "c rules[0].paths[0] D7",
        "wild rules[0].paths[0] H4",
        "wild defaultBackend H4",
        "any rules[0].paths[0] H4",
        "catch defaultBackend C6",
        "theirs rules[0].paths[0] K2",
        "lost rules[0].paths[0] K3",
        "bare rules[0].paths[0] K5",
        "field rules[0].paths[0] K1",
    ];
    expected.sort_unstable();
    assert_eq!(found, expected);
    let hosts: Vec<_> =
        answer.hosts.iter().map(|h| (h.pattern.as_str(), h.chosen, h.rule.as_str())).collect();
    assert_eq!(hosts, [("h.x", true, "H5"), ("*.x", false, "H4"), ("", false, "H4")]);
}

#[test]
fn the_winner_says_why() {
    let compiler = native([
        ingress("a")
            .created(1)
            .prefix("h.x", "/foo", "s:80")
            .specific("h.x", "/foo/bar", "s:80")
            .default_backend("d:80")
            .object(),
        ingress("b").created(2).prefix("h.x", "/b", "s:80").default_backend("e:80").object(),
        ingress("wild").prefix("*.x", "/", "s:80").object(),
        ingress("catch").created(1).default_backend("d:80").object(),
        ingress("late").created(2).default_backend("d:80").object(),
    ]);
    for (url, wins, loses) in [
        ("http://h.x/foo/x", "a rules[0].paths[0] P3", "a rules[0].paths[1] P5"),
        ("http://H.X:8080/foo/bar", "a rules[0].paths[1] P5", "a rules[0].paths[0] 2.2"),
        ("http://h.x/none", "a defaultBackend C5", "b defaultBackend C7"),
        ("http://i.x/none", "wild rules[0].paths[0] P3", "catch defaultBackend C6"),
        ("http://a.b.x/", "catch defaultBackend C6", "late defaultBackend C6"),
        ("http://192.0.2.1/", "catch defaultBackend C6", "late defaultBackend C6"),
        ("http:///", "catch defaultBackend C6", "late defaultBackend C6"),
    ] {
        let answer = ask(&compiler, url);
        agrees(&compiler, &answer);
        assert_eq!(winner(&answer), wins, "{url}");
        assert!(losers(&answer).contains(&loses.to_owned()), "{url}: {:?}", losers(&answer));
    }
}

#[test]
fn what_cannot_be_routed_is_answered_with_its_status() {
    let compiler = native([
        ingress("a").prefix("h.x", "/a", "missing:80").object(),
        ingress("b").prefix("h.x", "/b", "port:81").object(),
        ingress("c").prefix("h.x", "/c", "empty:80").object(),
        ingress("d").prefix("h.x", "/d", "external:80").object(),
        Object::Service(service("port", &[("", 80)])),
        Object::Service(service("empty", &[("", 80)])),
        Object::Service(Service {
            external_name: Some("example.com".into()),
            ..service("external", &[("", 80)])
        }),
    ]);
    for (url, status, reason) in [
        ("http://h.x/none", 404, "C8"),
        ("http://h.x/a", 503, "C9"),
        ("http://h.x/b", 503, "C10"),
        ("http://h.x/c", 503, "C9"),
        ("http://h.x/d", 503, "E15"),
        ("http://h.x/%2f", 400, "escaped slash"),
        ("http://h_x/../a", 400, "above the root"),
        ("http://a b/", 400, "no name"),
    ] {
        let Outcome::Answer { status: found, reason: why } = ask(&compiler, url).outcome else {
            panic!("{url} is not answered");
        };
        assert_eq!(found, status, "{url}");
        assert!(why.contains(reason), "{url}: {why}");
    }
    let answer = ask(&compiler, "http://h.x/a");
    assert!(answer.problems[0].contains("ServiceNotFound"), "{:?}", answer.problems);
}

#[test]
fn redirects_and_rewrites_are_steps_in_their_order() {
    let compiler = nginx(
        [ingress("a")
            .prefix("h.x", "/app(/|$)(.*)", "s:80")
            .rewrite("/$2")
            .tls(&["h.x"], None)
            .object()]
        .into_iter()
        .chain(ready_service("s", "10.0.0.1")),
    );
    let answer = ask(&compiler, "http://h.x/APP/one?q=1");
    assert_eq!(winner(&answer), "a rules[0].paths[0] D5");
    assert_eq!(
        answer.outcome,
        Outcome::Redirect { status: 308, drop_trailing_slash: true, forced: false }
    );
    let steps = |answer: &Explanation| -> Vec<String> {
        answer.steps.iter().map(|step| format!("{}: {}", step.name, step.effect)).collect()
    };
    assert_eq!(steps(&answer)[0], "ssl-redirect: 308 to https");
    let answer = ask(&compiler, "https://h.x/app/one");
    assert_eq!(answer.outcome, Outcome::Forward);
    assert_eq!(steps(&answer)[1], "rewrite-target: /app/one becomes /one");
    assert!(steps(&answer)[2].starts_with("hsts: Strict-Transport-Security: max-age="));
}

#[test]
fn endpoints_are_told_with_their_standing() {
    let set = |name: &str, endpoints| {
        Object::Endpoints(crate::model::EndpointSet { endpoints, ..slice(name, "s", &[]) })
    };
    let not_ready =
        |address| crate::model::Endpoint { ready: false, serving: false, ..endpoint(address) };
    let leaving =
        |address| crate::model::Endpoint { ready: false, terminating: true, ..endpoint(address) };
    let told = |endpoints: Vec<_>| {
        let compiler = native([
            ingress("a").prefix("h.x", "/", "s:80").object(),
            Object::Service(service("s", &[("", 80)])),
            set("s-1", endpoints),
        ]);
        let answer = ask(&compiler, "http://h.x/");
        let endpoints = answer.cluster.unwrap().endpoints;
        endpoints.iter().map(|e| format!("{} {} {}", e.used, e.address, e.why)).collect::<Vec<_>>()
    };
    assert_eq!(
        told(vec![endpoint("10.0.0.1"), not_ready("10.0.0.2"), leaving("10.0.0.3")]),
        [
            "true 10.0.0.1:8080 ready",
            "false 10.0.0.2:8080 not ready",
            "false 10.0.0.3:8080 terminating, and others are ready",
        ]
    );
    assert_eq!(
        told(vec![not_ready("10.0.0.2"), leaving("10.0.0.3")]),
        [
            "true 10.0.0.3:8080 terminating and still serving; no other is ready",
            "false 10.0.0.2:8080 not ready",
        ]
    );
}

#[test]
fn the_certificate_is_told_with_its_secret_and_entry() {
    let compiler = native([
        ingress("a")
            .prefix("h.x", "/", "s:80")
            .prefix("i.x", "/", "s:80")
            .prefix("j.x", "/", "s:80")
            .tls(&["h.x"], Some("own"))
            .tls(&["i.x"], Some("missing"))
            .tls(&["j.x"], None)
            .object(),
        ingress("w").prefix("*.y", "/", "s:80").tls(&["*.y"], Some("wild")).object(),
        Object::Secret(certificate("own", &["h.x"]).into()),
        Object::Secret(certificate("wild", &["*.y"]).into()),
    ]);
    for (url, secret, rule, why) in [
        ("https://h.x/", Some("default/own"), "T7", "host h.x by Ingress default/a spec.tls[0]"),
        ("https://b.y/", Some("default/wild"), "T7", "host *.y by Ingress default/w spec.tls[0]"),
    ] {
        let certificate = ask(&compiler, url).certificate.unwrap();
        assert_eq!(certificate.secret.as_deref(), secret, "{url}");
        assert_eq!((certificate.rule.as_str(), certificate.why.as_str()), (rule, why), "{url}");
    }
    assert_eq!(ask(&compiler, "http://h.x/").certificate, None);
}

#[test]
fn a_host_with_many_paths_lists_what_matches_and_counts_the_rest() {
    let mut many = ingress("a");
    for number in 0..100 {
        many = many.prefix("h.x", &format!("/p{number}"), "s:80");
    }
    let compiler = native([many.prefix("h.x", "/", "s:80").object()]);
    let answer = ask(&compiler, "http://h.x/p7/x");
    assert_eq!(winner(&answer), "a rules[0].paths[7] P3");
    assert_eq!(losers(&answer)[0], "a rules[0].paths[100] 2.2");
    assert_eq!((answer.losers.len(), answer.unlisted), (21, 79));
}

#[test]
fn an_alias_is_explained_by_the_host_that_it_stands_for_and_an_app_root_by_what_it_does() {
    let mut site = ingress("a").prefix("h.x", "/", "s:80").value();
    site.options.aliases = vec![crate::model::HostPattern::Exact("alias.x".into())];
    site.options.redirects.app_root = Some("/start".into());
    let compiler = native([Object::Ingress(site)]);
    assert_eq!(winner(&ask(&compiler, "http://alias.x/y")), "a rules[0].paths[0] P3");
    let root = ask(&compiler, "http://h.x/");
    assert_eq!(root.outcome, Outcome::Moved { status: 302, to: "/start".to_owned() });
    assert_eq!(losers(&root), ["a rules[0].paths[0] C4"]);
}

#[test]
fn access_rules_are_steps_in_their_order() {
    let mut site = ingress("a").prefix("h.x", "/", "s:80").passwords("pw").value();
    let options = &mut site.options;
    options.cors.enabled = true;
    options.access.limits.per_minute = Some(6);
    options.access.limits.connections = Some(3);
    options.access.deny =
        Some(["10.0.0.0/8".parse::<ipnet::IpNet>().unwrap()].into_iter().collect());
    let mut compiler = native([Object::Ingress(site)]);
    let names = |answer: &Explanation| -> Vec<(String, bool)> {
        answer.steps.iter().map(|step| (step.name.clone(), step.answers)).collect()
    };
    let steps = |auth: bool| {
        [
            ("enable-cors", false),
            ("limit-rpm", false),
            ("limit-connections", false),
            ("source-range", false),
            ("auth-type", auth),
        ]
        .map(|(name, answers)| (name.to_owned(), answers))
    };
    assert_eq!(names(&ask(&compiler, "http://h.x/")), steps(true), "nobody comes in");
    let passwords = crate::routing::fixture::secret("pw", &[("auth", "ann:{PLAIN}pw")]);
    compiler.apply(upserts([passwords]), 1000);
    let answer = ask(&compiler, "http://h.x/");
    assert_eq!(names(&answer), steps(false));
    assert_eq!(
        answer.steps[1].effect,
        "refused when more than 30 requests of a client wait to drain, one in 10s"
    );
}

#[test]
fn a_canary_is_told_with_what_of_the_request_chooses_it() {
    let mut new = ingress("new").prefix("h.x", "/", "t:80").value();
    new.options.canary.enabled = true;
    new.options.canary.by_header = Some("x-new".into());
    new.options.canary.by_cookie = Some("try".into());
    new.options.canary.weight = Some(30);
    let main = ingress("main").prefix("h.x", "/", "s:80").object();
    let objects = [main, Object::Ingress(new)].into_iter().chain(ready_service("s", "10.0.0.1"));
    let mut compiler = native(objects.chain(ready_service("t", "10.0.0.2")));
    let told = |compiler: &Compiler, name: &str, value: &str| {
        let mut question = question(false, Some("h.x".to_owned()), "");
        question.headers = vec![(name.to_owned(), value.to_owned())];
        let answer = compiler.explain(&question, false);
        let canary = answer.canary.unwrap();
        assert_eq!((&*canary.backend, canary.weight, canary.total), ("default/t:80", 30, 100));
        (canary.taken, canary.why, answer.cluster.unwrap().name)
    };
    for (name, value, taken, why, cluster) in [
        ("x-new", "always", Some(true), "header x-new: always", "default/t:80"),
        ("x-new", "never", Some(false), "header x-new: never", "default/s:80"),
        ("cookie", "a=b; try=always", Some(true), "cookie try=always", "default/t:80"),
        ("x-new", "maybe", None, "nothing of the request decides: 30 of 100", "default/s:80"),
    ] {
        let expected = (taken, why.to_owned(), cluster.to_owned());
        assert_eq!(told(&compiler, name, value), expected, "{name}: {value}");
    }
    compiler.apply(upserts([Object::Endpoints(slice("t-1", "t", &[]))]), 1000);
    let (taken, why, cluster) = told(&compiler, "x-new", "always");
    assert_eq!((taken, &*cluster), (Some(false), "default/s:80"), "{why}");
}

#[test]
fn strict_sni_ends_handshakes_and_tells_hosts_from_their_names() {
    let compiler = native([
        ingress("a").prefix("h.x", "/", "s:80").tls(&["h.x"], Some("one")).object(),
        ingress("b").prefix("i.x", "/", "s:80").tls(&["i.x"], Some("two")).object(),
        Object::Secret(certificate("one", &["h.x"]).into()),
        Object::Secret(certificate("two", &["i.x"]).into()),
    ]);
    let told = |sni: &str, host: &str, strict: bool| {
        let mut question = question(true, Some(host.to_owned()), "");
        question.sni = (!sni.is_empty()).then(|| sni.to_owned());
        let answer = compiler.explain(&question, strict);
        let status = match answer.outcome {
            Outcome::Answer { status, .. } => status,
            Outcome::NoHandshake { .. } => 0,
            other => panic!("{other:?}"),
        };
        (answer.strict_sni.unwrap(), status)
    };
    for (sni, host, expected) in [
        ("h.x", "h.x", (StrictSni::Served, 503)),
        ("H.x", "h.X:443", (StrictSni::Served, 503)),
        ("h.x", "i.x", (StrictSni::Misdirected, 421)),
        ("h.x", "192.0.2.1", (StrictSni::Misdirected, 421)),
        ("other.x", "h.x", (StrictSni::Unknown, 0)),
        ("", "h.x", (StrictSni::Unknown, 0)),
        ("h.x", "bad host", (StrictSni::Served, 400)),
    ] {
        assert_eq!(told(sni, host, true), expected, "{sni} {host}");
    }
    assert_eq!(told("other.x", "h.x", false), (StrictSni::Off, 503));
    assert_eq!(ask(&compiler, "http://h.x/").strict_sni, None);
}
