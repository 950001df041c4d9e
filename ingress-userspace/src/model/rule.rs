//! The rules that decide what becomes of an object, by stable names.
//!
//! A problem names the rule that it breaks or that settled it, so that people can look it up
//! (`deploy/docs/rules.md`) and programs can count it. Names are never used for another rule.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)+) => {
        /// A rule by its name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum RuleId {
            $($(#[doc = $doc])+ $name,)+
        }

        impl RuleId {
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// What it says, for people.
            pub const fn statement(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

rules! {
    // Hosts
    /// A host is a lower-case DNS name, or a wildcard with `*` as its whole first label; no IP address, no port.
    H1 = "H1";
    /// The host is chosen before any path: a host that has rules never falls through to a wildcard or to rules without host, only to the default.
    H4 = "H4";
    /// A precise host comes before a wildcard, a wildcard before rules without host.
    H5 = "H5";
    /// A rule without `http` sends its host to the default backend of its Ingress.
    H9 = "H9";
    // Paths
    /// `Exact` is equality of bytes.
    P2 = "P2";
    /// `Prefix` compares whole elements between slashes.
    P3 = "P3";
    /// `ImplementationSpecific` is taken as `Prefix`; in compat mode as a prefix of bytes.
    P5 = "P5";
    /// Exact before everything else; then the longer path; on a tie `Prefix` before the others.
    PathOrder = "2.2";
    /// The rules of the API server's validation are repeated here, because nothing else may have applied them.
    Validation = "2.4";
    /// `use-regex` or a rewrite turns paths into case-insensitive regexes, longest first: those of type `ImplementationSpecific` of the Ingress; in compat mode all of the host.
    D5 = "D5";
    /// A path is brought into one form before it is compared; what can never have that form can never be requested.
    D7 = "D7";
    // Conflicts and defaults
    /// One host, path and type twice: the oldest Ingress wins, then by namespace and name, then by order in the object.
    C1 = "C1";
    /// A property of a whole host is decided by the first Ingress that sets it, in the order of C1.
    C4 = "C4";
    /// The default backend of an Ingress with rules serves what no path of its hosts takes.
    C5 = "C5";
    /// The default backend of an Ingress without rules serves the whole listener; the first in the order of C1 wins.
    C6 = "C6";
    /// Several default backends for one host: the first Ingress in the order of C1 wins.
    C7 = "C7";
    /// Nothing matches and there is no default: 404.
    C8 = "C8";
    /// A backend whose Service is missing or has no usable endpoint answers 503 and keeps its place.
    C9 = "C9";
    /// A port by name is the Service port's name, by number its `port`; in compat mode a numeric `targetPort` too.
    C10 = "C10";
    /// Resource backends are not supported; their paths answer 503.
    C12 = "C12";
    /// What cannot be read disables itself only; a rule that restricts access closes its paths instead (503).
    C13 = "C13";
    // Classes
    /// Ours by a class whose `spec.controller` is ours.
    K1 = "K1";
    /// The annotation `kubernetes.io/ingress.class` wins over the field.
    K2 = "K2";
    /// A class that does not exist is nobody's until it appears.
    K3 = "K3";
    /// An Ingress without a class is ignored unless `classes.serve_classless` is on.
    K5 = "K5";
    // TLS
    /// A `tls` entry without `secretName`, or without `hosts`, is shown the default certificate, or shows its own to unknown names.
    T2 = "T2";
    /// A certificate Secret has `tls.crt` (leaf first) and `tls.key`, which belong together.
    T3 = "T3";
    /// The certificate is chosen by server name: precise, then wildcard, then default.
    T4 = "T4";
    /// No or an unknown server name: the default certificate; under `tls.strict_sni` the handshake ends.
    T5 = "T5";
    /// The Secret of a host: the `tls` entry that lists it, then a wildcard entry, then names in certificates; the first Ingress in the order of C1.
    T7 = "T7";
    /// A certificate that does not cover its host is replaced by the default certificate.
    T8 = "T8";
    /// A missing Secret: the default certificate, no redirect; one that was good before is shown for an hour more.
    T9 = "T9";
    /// A certificate that is not valid now, or ends within a week, is shown and reported.
    T10 = "T10";
    /// Plain HTTP of a host with TLS is redirected to HTTPS with 308.
    T11 = "T11";
    // Endpoints
    /// Of an endpoint its first address counts; it has to be an IP address of the slice's type.
    E2 = "E2";
    /// Those that are ready and do not terminate get requests; if there is none, those that terminate and still serve.
    E4 = "E4";
    /// Ports of slices are found by the name of the Service port.
    E6 = "E6";
    /// Endpoints may not point at loopback, link-local, multicast or our own addresses, unless `endpoints.allow` says so.
    E9 = "E9";
    /// Services of type ExternalName are not served.
    E15 = "E15";
    // Decisions
    /// Annotations of ingress-nginx are read in compat mode only; those with our own prefix always, and they win.
    D19 = "D19";
    /// A bad or unknown annotation is ignored and reported; one that restricts access, or may, closes paths instead (C13).
    D20 = "D20";
}

// === impl RuleId ===

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RuleId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_rule_says_something() {
        let mut names = std::collections::BTreeSet::new();
        for rule in RuleId::ALL {
            assert!(names.insert(rule.as_str()), "{rule} twice");
            assert!(rule.statement().ends_with('.'), "{rule}");
        }
    }

    #[test]
    fn the_document_lists_the_rules_as_they_are() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/docs/rules.md");
        let document = std::fs::read_to_string(path).unwrap();
        // The first table; the second one is of rules that only the source names.
        let rows: Vec<&str> = document
            .lines()
            .skip_while(|line| !line.starts_with("| `"))
            .take_while(|line| line.starts_with("| `"))
            .collect();
        let expected: Vec<String> =
            RuleId::ALL.iter().map(|rule| format!("| `{rule}` | {} |", rule.statement())).collect();
        assert_eq!(rows, expected, "{path} is to be brought up to date");
    }
}
