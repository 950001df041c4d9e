//! The annotations beside a real nginx: each case gives an Ingress to us and to nginx the directives
//! that ingress-nginx writes for it, sends both the same requests, and compares what came back and
//! what the pod saw.
//!
//! A deliberate difference says so in its case, with the reason; a case that differs without one,
//! or that says it differs and does not, fails. Each test prints its part of the table.
#![allow(clippy::unwrap_used, reason = "a failure of test support is the failure of the test")]

#[path = "nginx_parity/access.rs"]
mod access;
#[path = "nginx_parity/auth.rs"]
mod auth;
#[path = "nginx_parity/case.rs"]
#[allow(dead_code, reason = "the vocabulary of cases, as far as their areas use it")]
mod case;
#[path = "nginx_parity/cors.rs"]
mod cors;
#[path = "nginx_parity/forwarding.rs"]
mod forwarding;
#[path = "nginx_parity/limits.rs"]
mod limits;
#[path = "nginx_parity/nginx.rs"]
mod nginx;
#[path = "nginx_parity/redirects.rs"]
mod redirects;
#[path = "nginx_parity/side.rs"]
mod side;
#[path = "nginx_parity/upstream.rs"]
mod upstream;

use genkan::testing::require_tool;

use case::{Case, Outcome};

/// Runs all cases, prints the table, and fails with every difference that is not declared.
fn compare(area: &str, cases: &[Case]) {
    if !require_tool("nginx") {
        return;
    }
    let outcomes: Vec<_> = cases.iter().map(Case::run).collect();
    println!("{area}: key | case | our answers | beside nginx");
    for (case, Outcome { statuses, verdict }) in cases.iter().zip(&outcomes) {
        println!("{area}: {} | {} | {statuses} | {}", case.key, case.what, verdict.word());
    }
    let failed: Vec<String> = outcomes.iter().filter_map(|one| one.verdict.failure()).collect();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

#[test]
fn requests_are_forwarded_as_nginx_forwards_them() {
    compare("forwarding", &forwarding::cases());
}

#[test]
fn redirects_and_rewrites_are_those_of_nginx() {
    compare("redirects", &redirects::cases());
}

#[test]
fn limits_and_timeouts_of_forwarding_are_those_of_nginx() {
    compare("upstream", &upstream::cases());
}

#[test]
fn sources_are_admitted_as_nginx_admits_them() {
    compare("access", &access::cases());
}

#[test]
fn clients_are_limited_as_nginx_limits_them() {
    compare("limits", &limits::cases());
}

#[test]
fn other_origins_are_answered_as_nginx_answers_them() {
    compare("cors", &cors::cases());
}

#[test]
fn passwords_are_asked_for_as_nginx_asks_for_them() {
    compare("auth", &auth::cases());
}
