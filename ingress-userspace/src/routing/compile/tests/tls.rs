//! T1-T13, T16: which certificate a name is shown, and what TLS does to its routes.

use std::sync::Arc;

use rustls::sign::CertifiedKey;

use super::{World, decoded, nginx, yaml};
use crate::config::{Config, TlsConfig};
use crate::model::{CertificateSecret, Kind, Object, Reason};
use crate::routing::fixture::{certificate, ingress, removals, upserts};
use crate::routing::{CertificateChoice, Redirect, Settings};
use crate::testing::ca::TestCa;

const DAY: i64 = 24 * 3600;

struct Shown {
    world: World,
}

fn shown(settings: Settings, objects: impl IntoIterator<Item = Object>) -> Shown {
    Shown { world: World::with(settings).and(objects) }
}

impl Shown {
    /// `own` when it is the certificate of `secret`, else which of the others.
    fn to(&self, sni: &str, secret: &CertificateSecret) -> &'static str {
        let is_own = |key: &Arc<CertifiedKey>| Arc::ptr_eq(key, secret.certified.pair());
        match self.world.certificate(sni) {
            CertificateChoice::Known(Some(key)) if is_own(&key) => "own",
            CertificateChoice::Known(Some(_)) => "another's",
            CertificateChoice::Known(None) => "known, default",
            CertificateChoice::Unknown(Some(key)) if is_own(&key) => "catch-all",
            CertificateChoice::Unknown(Some(_)) => "another default",
            CertificateChoice::Unknown(None) => "default",
        }
    }

    fn redirect(&self, host: &str, path: &str) -> Option<Redirect> {
        self.world.route(host, path).expect("a route").https_redirect
    }
}

fn native(objects: impl IntoIterator<Item = Object>) -> Shown {
    shown(Settings::default(), objects)
}

fn secret(value: &CertificateSecret) -> Object {
    Object::Secret(value.clone().into())
}

fn tls(host: &str, name: &str) -> Object {
    ingress("a").prefix(host, "/", "s:80").tls(&[host], Some(name)).object()
}

#[test]
fn t1_several_tls_entries_share_the_port_by_server_name() {
    let (x, y) = (certificate("x", &["x.example"]), certificate("y", &["y.example"]));
    let all = ingress("a")
        .prefix("x.example", "/", "s:80")
        .prefix("y.example", "/", "s:80")
        .tls(&["x.example"], Some("x"))
        .tls(&["y.example"], Some("y"));
    let shown = native([all.object(), secret(&x), secret(&y)]);
    assert_eq!(shown.to("x.example", &x), "own");
    assert_eq!(shown.to("y.example", &y), "own");
}

#[test]
fn t2_entry_without_secret_knows_the_name_and_shows_the_default() {
    let x = certificate("x", &["x"]);
    let shown = native([ingress("a").prefix("h", "/", "s:80").tls(&["h"], None).object()]);
    assert_eq!(shown.to("h", &x), "known, default");
    assert!(shown.redirect("h", "/").is_some());
}

#[test]
fn t2_entry_without_hosts_serves_the_listeners_host() {
    let x = certificate("testsecret", &["some.example"]);
    let all = ingress("no-rules-map").tls(&[], Some("testsecret")).default_backend("s1:80");
    let shown = native([all.object(), secret(&x)]);
    assert_eq!(shown.to("unknown.example", &x), "catch-all");
    assert!(shown.redirect("unknown.example", "/").is_none());
    assert!(shown.world.told_of_rules().is_empty());
}

#[test]
fn t2_tls_host_without_rules_has_its_certificate() {
    let x = certificate("x", &["only.tls"]);
    let all = ingress("a").prefix("h", "/", "s:80").tls(&["only.tls"], Some("x"));
    let shown = native([all.object(), secret(&x)]);
    assert_eq!(shown.to("only.tls", &x), "own");
    assert_eq!(shown.to("h", &x), "default");
    assert!(shown.world.route("only.tls", "/").is_none());
}

#[test]
fn t4_precise_name_then_wildcard_then_default() {
    let (wild, precise) = (certificate("w", &["*.foo"]), certificate("p", &["a.foo"]));
    let all = ingress("a")
        .prefix("*.foo", "/", "s:80")
        .prefix("a.foo", "/", "s:80")
        .tls(&["*.foo"], Some("w"))
        .tls(&["a.foo"], Some("p"));
    let shown = native([all.object(), secret(&wild), secret(&precise)]);
    assert_eq!(shown.to("A.foo.", &precise), "own");
    assert_eq!(shown.to("b.foo", &wild), "own");
    for sni in ["foo", "a.b.foo", "10.0.0.1", "b foo"] {
        assert_eq!(shown.to(sni, &wild), "default", "{sni}");
    }
}

#[test]
fn t5_unknown_name_is_shown_the_default_certificate() {
    let x = certificate("x", &["x"]);
    assert_eq!(native([]).to("unknown", &x), "default");
    let shown = native([tls("known", "missing")]);
    assert_eq!(shown.to("known", &x), "known, default", "known without a usable certificate");
    assert_eq!(shown.to("unknown", &x), "default");
}

#[test]
fn t6_route_goes_by_host_whatever_the_server_name_was() {
    let x = certificate("x", &["x.example"]);
    let all = ingress("a").prefix("y.example", "/", "s:80");
    let shown = native([tls("x.example", "x"), secret(&x), all.object()]);
    assert_eq!(shown.to("x.example", &x), "default", "the second object replaced the first");
    assert_eq!(shown.world.id("y.example", "/"), "a/rules[0].paths[0]");
}

#[test]
fn t7_literal_entry_then_covering_wildcard_then_certificate_names() {
    let literal = certificate("literal", &["a.foo"]);
    let wild = certificate("wild", &["*.foo"]);
    let names = certificate("names", &["a.foo", "b.foo"]);
    let secrets = || [secret(&literal), secret(&wild), secret(&names)];
    let base = || ingress("a").prefix("a.foo", "/", "s:80").tls(&["other"], Some("names"));
    let with_wild = || base().tls(&["*.foo"], Some("wild"));
    let shown = native(secrets()).and([with_wild().tls(&["a.foo"], Some("literal")).object()]);
    assert_eq!(shown.to("a.foo", &literal), "own");
    let shown = shown.and([with_wild().object()]);
    assert_eq!(shown.to("a.foo", &wild), "own");
    let shown = shown.and([base().object()]);
    assert_eq!(shown.to("a.foo", &names), "own");
    assert!(shown.redirect("a.foo", "/").is_some());
}

#[test]
fn t7_nobody_else_puts_a_certificate_on_a_host_with_rules() {
    let x = certificate("thief/x", &["h"]);
    let thief = ingress("thief/t").created(1).prefix("other", "/", "s:80").tls(&["h"], Some("x"));
    let shown = native([thief.object(), secret(&x)]);
    assert_eq!(shown.to("h", &x), "own");
    let shown = shown.and([ingress("a").created(2).prefix("h", "/", "s:80").object()]);
    assert_eq!(shown.to("h", &x), "default");
    assert!(shown.redirect("h", "/").is_none());
}

#[test]
fn t8_certificate_that_does_not_cover_the_host_is_replaced_by_the_default() {
    let x = certificate("x", &["other.example", "*.b.h"]);
    let shown = native([tls("h", "x"), secret(&x)]);
    assert_eq!(shown.to("h", &x), "known, default");
    assert_eq!(shown.world.told_of_rules(), ["CertificateMismatch a spec.tls[0].secretName"]);
    let good = certificate("x", &["h"]);
    let shown = shown.and([secret(&good)]);
    assert_eq!(shown.to("h", &good), "own");
    assert!(shown.world.told_of_rules().is_empty());
}

#[test]
fn t9_missing_secret_shows_the_default_and_keeps_the_host_on_plain_http() {
    let x = certificate("x", &["h"]);
    let shown = native([tls("h", "x")]);
    assert_eq!(shown.to("h", &x), "known, default");
    assert!(shown.redirect("h", "/").is_none());
    assert_eq!(shown.world.told_of_rules(), ["SecretNotFound a spec.tls[0].secretName"]);
    let shown = shown.and([secret(&x)]);
    assert_eq!(shown.to("h", &x), "own");
    assert!(shown.world.told_of_rules().is_empty());
}

#[test]
fn t9_deleted_secret_is_shown_for_an_hour() {
    let x = certificate("x", &["h"]);
    let mut shown = native([tls("h", "x"), secret(&x)]);
    shown.world.apply(removals([(Kind::Secret, "x")]));
    assert_eq!(shown.to("h", &x), "own");
    assert_eq!(shown.world.told_of_rules(), ["SecretNotFound a spec.tls[0].secretName"]);
    let until = shown.world.compiler.next_deadline().expect("a deadline");
    assert_eq!(until, shown.world.now + 3600);
    shown.world.compiler.advance(until - 1);
    assert_eq!(shown.to("h", &x), "own");
    shown.world.compiler.advance(until);
    assert_eq!(shown.to("h", &x), "known, default");
    shown.world.apply(upserts([secret(&x)]));
    assert_eq!(shown.to("h", &x), "own");
}

/// A broken update is told by the model and gives no object: what the compiler has is the last good
/// pair, and it stays whatever else comes. The agent's tests have the same with files.
#[test]
fn t9_broken_update_keeps_the_last_good_pair() {
    let ca = TestCa::new();
    let pair = |names: &[&str]| ca.issue(names).secret_yaml("default", "x");
    let good = pair(&["h"]);
    let mut world = World::new();
    // Certificates of the test CA are valid from 1975 on.
    world.now = 1_800_000_000;
    let mut shown = Shown { world: world.and([tls("h", "x")]).and(yaml(&good)) };
    let fingerprint = |shown: &Shown| match shown.world.certificate("h") {
        CertificateChoice::Known(Some(key)) => key.cert.clone(),
        other => panic!("{other:?}"),
    };
    let before = fingerprint(&shown);
    let other_key = pair(&["h"]);
    let key = other_key.split_once("tls.key: ").unwrap().1;
    for broken in [
        good.replace("tls.key: ", "tls.key: '!'\n  other: "),
        good.replace("tls.crt: ", "other: "),
        format!("{}tls.key: {key}", good.split_once("tls.key: ").unwrap().0),
    ] {
        let (objects, problems) = decoded(&broken);
        let reasons: Vec<Reason> = problems.iter().map(|problem| problem.reason).collect();
        assert_eq!(reasons, [Reason::SecretInvalid], "{problems:?}");
        shown.world.apply(upserts(objects));
        shown.world.compiler.set_settings(nginx());
        shown.world.compiler.set_settings(Settings::default());
        shown.world.compiler.full_list(shown.world.now);
        assert_eq!(fingerprint(&shown), before);
        assert!(shown.redirect("h", "/").is_some() && shown.world.told_of_rules().is_empty());
    }
    let renewed = shown.and(yaml(&other_key));
    assert_ne!(fingerprint(&renewed), before);
}

#[test]
fn t9_broken_at_first_sight_is_shown_the_default() {
    let ca = TestCa::new();
    let broken = ca.issue(&["h"]).secret_yaml("default", "x").replace("tls.crt: ", "other: ");
    let (objects, _) = decoded(&broken);
    let shown = native([tls("h", "x")]).and(objects);
    assert_eq!(shown.to("h", &certificate("y", &["h"])), "known, default");
    assert!(shown.redirect("h", "/").is_none(), "the host stays on plain HTTP");
    assert_eq!(shown.world.told_of_rules(), ["SecretNotFound a spec.tls[0].secretName"]);
}

#[test]
fn t10_expired_certificate_is_shown_and_reported() {
    let mut x = certificate("x", &["h"]);
    x.not_after = 100 * DAY;
    let mut shown = native([tls("h", "x"), secret(&x)]);
    assert!(shown.world.told_of_rules().is_empty());
    let soon = shown.world.compiler.next_deadline().expect("a deadline");
    assert_eq!(soon, 93 * DAY);
    let compiled = shown.world.compiler.advance(soon);
    assert!(compiled.problems[0].message.contains("within a week"));
    let end = shown.world.compiler.next_deadline().expect("a deadline");
    let compiled = shown.world.compiler.advance(end);
    assert!(compiled.problems[0].message.contains("has expired"));
    assert_eq!(compiled.resolved.len(), 1);
    assert_eq!(shown.to("h", &x), "own");
    assert_eq!(shown.world.compiler.next_deadline(), None);
}

#[test]
fn t11_hosts_with_tls_redirect_but_for_acme_and_on_request() {
    let x = certificate("x", &["h"]);
    let all = || {
        ingress("a")
            .prefix("h", "/", "s:80")
            .prefix("h", "/.well-known/acme-challenge/token", "s:80")
            .tls(&["h"], Some("x"))
    };
    let shown = native([all().object(), secret(&x)]);
    let redirect = Redirect { status: 308, drop_trailing_slash: false, forced: false };
    assert_eq!(shown.redirect("h", "/x"), Some(redirect));
    assert_eq!(shown.redirect("h", "/.well-known/acme-challenge/token"), None);
    let shown = shown.and([all().ssl_redirect(false).object()]);
    assert_eq!(shown.redirect("h", "/x"), None);

    let shown = super::tls::shown(nginx(), [all().object(), secret(&x)]);
    assert!(shown.redirect("h", "/x").is_some_and(|redirect| redirect.drop_trailing_slash));

    let tls = TlsConfig { https_redirect: Some(false), ..TlsConfig::default() };
    let off = Settings::from(&Config { tls, ..Config::default() });
    let shown = super::tls::shown(off, [all().object(), secret(&x)]);
    assert_eq!(shown.redirect("h", "/x"), None);
    assert!(shown.and([all().ssl_redirect(true).object()]).redirect("h", "/x").is_some());
}

#[test]
fn t12_host_whose_certificate_is_not_usable_is_not_redirected() {
    let wrong = certificate("x", &["other"]);
    let shown = native([tls("h", "x"), secret(&wrong)]);
    assert!(shown.redirect("h", "/").is_none());
}

#[test]
fn t13_hsts_is_on_in_compat_and_off_natively() {
    let objects = || [ingress("a").prefix("h", "/", "s:80").object()];
    let hsts = |world: World| world.route("h", "/").expect("a route").hsts.clone();
    assert_eq!(hsts(World::of(objects())), None);
    let value = hsts(World::nginx().and(objects()));
    assert_eq!(value.as_deref(), Some("max-age=31536000; includeSubDomains"));
    let tls = TlsConfig { hsts: Some(true), ..TlsConfig::default() };
    let on = Settings::from(&Config { tls, ..Config::default() });
    assert!(hsts(World::with(on).and(objects())).is_some());
}

#[test]
fn t16_new_pair_is_in_the_next_snapshot_and_the_old_snapshot_keeps_its_own() {
    let (old, new) = (certificate("x", &["h"]), certificate("x", &["h"]));
    let mut shown = native([tls("h", "x"), secret(&old)]);
    let before = shown.world.compiler.snapshot().clone();
    shown.world.apply(upserts([secret(&new)]));
    assert_eq!(shown.to("h", &new), "own");
    match before.certificate(Some("h")) {
        CertificateChoice::Known(Some(key)) => assert!(Arc::ptr_eq(&key, old.certified.pair())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn configured_default_certificate_replaces_the_self_signed_one() {
    let x = certificate("ops/default", &["any"]);
    let tls = TlsConfig { default_certificate: Some("ops/default".into()), ..TlsConfig::default() };
    let settings = Settings::from(&Config { tls, ..Config::default() });
    let shown = shown(settings, []);
    assert_eq!(shown.to("h", &x), "default");
    assert_eq!(shown.world.told_of_rules(), ["SecretNotFound default tls.default_certificate"]);
    let shown = shown.and([secret(&x)]);
    assert_eq!(shown.to("h", &x), "catch-all");
    assert!(shown.world.problems().is_empty());
}

impl Shown {
    fn and(self, objects: impl IntoIterator<Item = Object>) -> Self {
        Self { world: self.world.and(objects) }
    }
}
