use super::document::differences;
use super::paths::{crate_paths, extern_paths};
use super::table::{TABLE, row};
use super::{judge, module, without_module};

fn path(module: &str) -> Vec<String> {
    module.split("::").map(str::to_owned).collect()
}

fn named(module: &str, code: &str) -> Vec<String> {
    crate_paths(&path(module), code).iter().map(super::Path::written).collect()
}

fn objections(module: &str, code: &str) -> usize {
    judge(&path(module), code).len()
}

#[test]
fn reads_use_trees_and_paths_in_expressions() {
    let code = "use crate::{a::{self, b as c, d::*}, e};\nfn f(x: crate::g::H<crate::i::J>) {}";
    assert_eq!(named("m", code), ["a", "a::b", "a::d", "e", "g::H", "i::J"]);
}

#[test]
fn reads_groups_over_several_lines() {
    let code = "pub(crate) use crate::{\n    a::B,\n    c::{\n        D,\n    },\n};";
    assert_eq!(named("m", code), ["a::B", "c::D"]);
}

#[test]
fn resolves_super_from_the_module() {
    let code = "use super::x::Y; use super::super::{z, w::V};";
    assert_eq!(named("a::b::c", code), ["a::b::x::Y", "a::z", "a::w::V"]);
}

#[test]
fn visibility_is_not_a_path() {
    assert!(named("a::b", "pub(crate) fn f() {} pub(super) struct S;").is_empty());
}

#[test]
fn external_crates_are_told_from_modules_of_the_same_name() {
    assert!(extern_paths("tokio", "use crate::source::tokio::X; mod tokio;").is_empty());
    let found = extern_paths("tokio", "use tokio::{sync::mpsc, time};");
    assert_eq!(
        found.iter().map(super::Path::written).collect::<Vec<_>>(),
        ["tokio::sync::mpsc", "tokio::time"]
    );
}

#[test]
fn imports_go_down_only() {
    assert_eq!(objections("app", "use crate::proxy::Worker;"), 0);
    assert_eq!(objections("proxy::worker", "use crate::upstream::Pool;"), 0);
    assert_eq!(objections("upstream", "use crate::proxy::Worker;"), 1);
    assert_eq!(objections("net", "use crate::config::Config;"), 1);
}

#[test]
fn neighbours_do_not_know_each_other_unless_written() {
    assert_eq!(objections("source", "use crate::dataplane::Plan;"), 1);
    assert_eq!(objections("routing", "use crate::model::Ingress;"), 0);
    assert_eq!(objections("model", "use crate::routing::Snapshot;"), 1);
}

#[test]
fn the_request_path_knows_routes_but_no_objects() {
    assert_eq!(objections("proxy", "use crate::routing::Snapshot;"), 0);
    assert_eq!(objections("proxy::request", "use crate::model::Ingress;"), 1);
    assert_eq!(objections("tls::store", "use crate::model::Secret;"), 1);
}

#[test]
fn a_stricter_submodule_has_its_own_row() {
    assert_eq!(objections("dataplane::plan", "use super::load::Loaded;"), 1);
    assert_eq!(objections("dataplane::sync", "use super::plan::Plan;"), 0);
    assert_eq!(objections("dataplane::plan::vip", "use super::Plan; use std::net::IpAddr;"), 0);
}

#[test]
fn pure_modules_touch_nothing_outside() {
    assert_eq!(objections("routing::host", "use std::{collections::HashMap, fs};"), 1);
    assert_eq!(objections("model", "let now = std::time::Instant::now();"), 1);
    assert_eq!(objections("model", "fn f(now: std::time::SystemTime) {}"), 0);
    assert_eq!(objections("dataplane::plan", "aya::maps::HashMap"), 1);
    assert_eq!(objections("routing", "use std::net::{IpAddr, TcpStream};"), 1);
    assert_eq!(objections("source", "use std::fs; use kube::Client;"), 0);
}

#[test]
fn a_module_without_a_row_is_an_error() {
    assert_eq!(objections("novelty::part", ""), 1);
    assert_eq!(objections("app", "use crate::novelty::Part;"), 1);
}

#[test]
fn tests_and_the_crate_root_are_free() {
    assert_eq!(module("ingress-userspace/src/lib.rs"), None);
    assert_eq!(module("ingress-userspace/src/model/tests.rs"), None);
    assert_eq!(module("ingress-userspace/tests/tls.rs"), None);
    assert_eq!(module("ingress-userspace/src/model/class.rs"), Some(path("model::class")));
}

#[test]
fn a_row_without_a_module_is_an_error() {
    let mut files: Vec<String> = TABLE
        .iter()
        .map(|row| format!("ingress-userspace/src/{}.rs", row.module.replace("::", "/")))
        .collect();
    assert!(without_module(TABLE, &files).is_empty());
    files.retain(|file| !file.ends_with("http1/head.rs"));
    let wrong = without_module(TABLE, &files);
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].contains("`proxy::http1::head`"), "{wrong:?}");
}

#[test]
fn the_document_shows_the_table_as_it_is() {
    let of = |module: &str| row(&path(module)).map(|row| row.layer).unwrap_or_default();
    let layers: std::collections::BTreeSet<u8> = TABLE.iter().map(|row| row.layer).collect();
    let mut document =
        "# Architecture\n\n## Layers\n\n| layer | modules | |\n|---|---|---|\n".to_owned();
    for layer in layers {
        let modules = TABLE.iter().filter(|row| row.layer == layer);
        let modules: Vec<String> = modules.map(|row| format!("`{}`", row.module)).collect();
        document += &format!("| {layer} name | {} | `pure` |\n", modules.join(", "));
    }
    document += "\n## Next\n\n| 9 other | `table` |\n";
    assert_eq!(differences(TABLE, &document), []);

    let moved = document.replace("`tls`", "`tsl`");
    let wrong: Vec<String> = differences(TABLE, &moved).into_iter().map(|(_, what)| what).collect();
    let layer = of("tls");
    assert_eq!(
        wrong,
        [
            format!("`tls` is in layer {layer} of xtask's table and not here"),
            format!("`tsl` is not in layer {layer} of xtask's table"),
        ]
    );
    assert_eq!(differences(TABLE, "# Architecture\n").len(), 1);
}
