//! The 30 scenarios that the ingress-controller-conformance project describes, as values.
//!
//! Each has objects of its own in a namespace of its own. What is asked and expected is here; how
//! it is asked is in `play`.

/// What lies in the namespace before the first request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Objects {
    /// `defaultBackend` alone.
    DefaultBackend,
    /// A TLS host and a wildcard host.
    Hosts,
    /// An Ingress of a class that nobody serves.
    ForeignClass,
    /// One path to ten pods.
    TenPods,
    /// Exact, Prefix, both on one path, and paths that end in a slash.
    Paths,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Expected {
    /// 200 by a pod of this Service, with the fields that every answer has.
    Served(&'static str),
    NotFound,
    /// No address is ever written.
    NoAddress,
    /// In a hundred requests each pod answers.
    EveryPod,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) feature: &'static str,
    pub(super) name: &'static str,
    pub(super) objects: Objects,
    pub(super) method: &'static str,
    /// `http://HOST/PATH` or `https://...`; an empty host is the address itself.
    pub(super) url: &'static str,
    pub(super) expected: Expected,
}

pub(super) const DEFAULT: &str = "echo-service";
pub(super) const TLS_HOST: &str = "foo.bar.com";
pub(super) const WILDCARD_HOST: &str = "*.foo.com";
pub(super) const PODS: usize = 10;

/// Host, type and path of each rule of [`Objects::Paths`], and its Service.
pub(super) const PATH_RULES: [(&str, &str, &str, &str); 7] = [
    ("exact-path-rules", "Exact", "/foo", "foo-exact"),
    ("prefix-path-rules", "Prefix", "/foo", "foo-prefix"),
    ("prefix-path-rules", "Prefix", "/aaa/bbb", "aaa-slash-bbb-prefix"),
    ("prefix-path-rules", "Prefix", "/aaa", "aaa-prefix"),
    ("mixed-path-rules", "Prefix", "/foo", "foo-prefix"),
    ("mixed-path-rules", "Exact", "/foo", "foo-exact"),
    ("trailing-slash-path-rules", "Prefix", "/aaa/bbb/", "aaa-slash-bbb-slash-prefix"),
];
/// The one rule that would be an eighth: an Exact path that ends in a slash.
pub(super) const EXACT_SLASH: (&str, &str, &str, &str) =
    ("trailing-slash-path-rules", "Exact", "/foo/", "foo-slash-exact");

/// All of them, in the order of the features.
pub(super) fn all() -> Vec<Scenario> {
    [default_backend(), hosts(), others(), paths()].concat()
}

fn default_backend() -> Vec<Scenario> {
    let asked = [
        ("GET", "http:///"),
        ("GET", "http://my-host/"),
        ("POST", "http://some-host/sub-path"),
        ("PUT", "http://some-host/resource"),
        ("DELETE", "http://some-host/resource"),
        ("PATCH", "http://my-host/resource"),
    ];
    let scenario = |(method, url)| Scenario {
        feature: "default_backend",
        name: "any host and path go to the default backend",
        objects: Objects::DefaultBackend,
        method,
        url,
        expected: Expected::Served(DEFAULT),
    };
    asked.map(scenario).to_vec()
}

fn hosts() -> Vec<Scenario> {
    use Expected::{NotFound, Served};
    let asked = [
        ("a TLS host shows its certificate", "https://foo.bar.com/", Served("foo-bar-com")),
        ("an exact host", "http://foo.bar.com/", Served("foo-bar-com")),
        ("a name below an exact host", "http://subdomain.bar.com/", NotFound),
        ("one label in place of a wildcard", "http://bar.foo.com/", Served("wildcard-foo-com")),
        ("two labels in place of a wildcard", "http://baz.bar.foo.com/", NotFound),
        ("the parent of a wildcard", "http://foo.com/", NotFound),
    ];
    let scenario = |(name, url, expected)| Scenario {
        feature: "host_rules",
        name,
        objects: Objects::Hosts,
        method: "GET",
        url,
        expected,
    };
    asked.map(scenario).to_vec()
}

fn others() -> Vec<Scenario> {
    vec![
        Scenario {
            feature: "ingress_class",
            name: "a class that nobody serves gets no address",
            objects: Objects::ForeignClass,
            method: "GET",
            url: "http://foreign-class/",
            expected: Expected::NoAddress,
        },
        Scenario {
            feature: "load_balancing",
            name: "every pod answers in a hundred requests",
            objects: Objects::TenPods,
            method: "GET",
            url: "http://load-balancing/",
            expected: Expected::EveryPod,
        },
    ]
}

fn paths() -> Vec<Scenario> {
    use Expected::{NotFound, Served};
    let prefix = Served("foo-prefix");
    let asked = [
        ("Exact: the path itself", "http://exact-path-rules/foo", Served("foo-exact")),
        ("Exact: not with a slash", "http://exact-path-rules/foo/", NotFound),
        ("Exact: not in capitals", "http://exact-path-rules/FOO", NotFound),
        ("Exact: not another path", "http://exact-path-rules/bar", NotFound),
        ("Prefix: the path itself", "http://prefix-path-rules/foo", prefix),
        ("Prefix: with a slash", "http://prefix-path-rules/foo/", prefix),
        ("Prefix: with a slash and a query", "http://prefix-path-rules/foo/?q=1", prefix),
        ("Prefix: not in capitals", "http://prefix-path-rules/FOO", NotFound),
        (
            "Prefix: the longer one",
            "http://prefix-path-rules/aaa/bbb",
            Served("aaa-slash-bbb-prefix"),
        ),
        (
            "Prefix: below the longer one",
            "http://prefix-path-rules/aaa/bbb/ccc",
            Served("aaa-slash-bbb-prefix"),
        ),
        ("Prefix: below the shorter one", "http://prefix-path-rules/aaa/ccc", Served("aaa-prefix")),
        ("Prefix: whole elements only", "http://prefix-path-rules/aaaccc", NotFound),
        ("Exact before Prefix", "http://mixed-path-rules/foo", Served("foo-exact")),
        (
            "Prefix with a slash: without it",
            "http://trailing-slash-path-rules/aaa/bbb",
            Served("aaa-slash-bbb-slash-prefix"),
        ),
        (
            "Prefix with a slash: with it",
            "http://trailing-slash-path-rules/aaa/bbb/",
            Served("aaa-slash-bbb-slash-prefix"),
        ),
        ("Exact with a slash: not without it", "http://trailing-slash-path-rules/foo", NotFound),
    ];
    let scenario = |(name, url, expected)| Scenario {
        feature: "path_rules",
        name,
        objects: Objects::Paths,
        method: "GET",
        url,
        expected,
    };
    asked.map(scenario).to_vec()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn there_are_as_many_as_in_the_original() {
        let mut count = BTreeMap::<&str, usize>::new();
        for scenario in all() {
            *count.entry(scenario.feature).or_default() += 1;
        }
        let expected = [
            ("default_backend", 6),
            ("host_rules", 6),
            ("ingress_class", 1),
            ("load_balancing", 1),
            ("path_rules", 16),
        ];
        assert_eq!(count, BTreeMap::from(expected));
    }
}
