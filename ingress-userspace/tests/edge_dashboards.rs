//! The dashboard, the alerts and the page of metrics name what the program really exports.
#![allow(clippy::unwrap_used, reason = "a failure of a story is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use genkan::config::cluster::CacheConfig;
use genkan::testing::api_server::ApiServer;
use genkan::testing::ca::TestCa;
use genkan::testing::deadline::eventually_some;
use genkan::testing::lab::EdgeLab;
use genkan::testing::openmetrics::{self, Families};
use genkan::testing::require_root;
use genkan::testing::story::{Ingress, Request, Story, any_certificate};
use regex::Regex;
use serde_json::Value;

/// Labels that the scraper adds.
const OF_TARGET: [&str; 2] = ["job", "instance"];
/// Labels whose values are a closed list that is exported as a whole.
const CLOSED: [&str; 6] = ["verdict", "state", "mode", "result", "connection", "side"];

/// Names of samples with their labels.
struct Exported {
    families: Families,
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// What an expression says about one metric.
struct Selector {
    metric: String,
    /// Label, operator and value.
    matchers: Vec<(String, String, String)>,
}

#[test]
fn dashboard_alerts_and_page_name_what_the_program_exports() {
    if !require_root() {
        return;
    }
    let exported = exported();
    let mut faults = Vec::new();
    for (place, expression, shown) in dashboard().into_iter().chain(alerts()) {
        exported.check(&expression, &shown, |why| faults.push(format!("{place}: {why}")));
    }
    exported.check_page(&text("docs/metrics.md"), |why| faults.push(format!("metrics.md: {why}")));
    check_runbook(|why| faults.push(format!("alerts.md: {why}")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A scrape of a process to which everything has happened that makes a series.
fn exported() -> Exported {
    let mut story = Story::new(env!("CARGO_BIN_EXE_genkan"), 1);
    // A cluster has families of its own, and all others.
    let cluster = story.edge().run(ApiServer::start);
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let cache = directory.path().join("cache");
    story.configure(|config| config.cluster.cache = CacheConfig::At(cache));
    story.watch_cluster(&cluster.kubeconfig(directory.path()));
    cluster.apply(&story.service_yaml("pods", &[0]));
    let ca = TestCa::new();
    let leaf = ca.issue(&["shop.example"]);
    cluster.apply(&leaf.secret_yaml("default", "shop-tls"));
    let shop = Ingress::new("shop")
        .tls("shop-tls", &["shop.example"])
        .rule("shop.example", "/", "pods")
        .rule("lost.example", "/", "no-such-service");
    cluster.apply(&shop.yaml());
    story.start();
    let request = Request::get("shop.example", "/").tls(&any_certificate(&["h2"]));
    story.send(EdgeLab::VIP4, &request).unwrap();
    let families = eventually_some("the request is counted", || {
        let text = story.admin().get("/metrics?form=openmetrics").unwrap().text();
        let families = openmetrics::parse(&text).unwrap_or_else(|why| panic!("{why}\n{text}"));
        (families.sum("genkan_upstream_response_seconds_count", &[]) == 1.0).then_some(families)
    });
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sample in families.by_name.values().flat_map(|family| &family.samples) {
        let known = labels.entry(sample.name.clone()).or_default();
        known.extend(sample.labels.keys().cloned());
    }
    Exported { families, labels }
}

// === impl Exported ===

impl Exported {
    /// `shown`: a text that names labels of the result, such as a legend.
    fn check(&self, expression: &str, shown: &str, mut fault: impl FnMut(String)) {
        let mut known: BTreeSet<&str> = OF_TARGET.into();
        for selector in selectors(expression) {
            let metric = &selector.metric;
            let Some(labels) = self.labels.get(metric) else {
                fault(format!("{metric} is not exported"));
                continue;
            };
            known.extend(labels.iter().map(String::as_str));
            for (label, operator, value) in &selector.matchers {
                if !labels.contains(label) && !OF_TARGET.contains(&label.as_str()) {
                    fault(format!("{metric} has no label {label}"));
                } else if CLOSED.contains(&label.as_str()) && operator.starts_with('=') {
                    for value in value.split('|') {
                        if !self.has(metric, label, value) {
                            fault(format!("{metric} never has {label}={value:?}"));
                        }
                    }
                }
            }
        }
        for label in grouped(expression).iter().chain(&templated(shown)) {
            if !known.contains(label.as_str()) {
                fault(format!("no metric of {expression} has a label {label}"));
            }
        }
    }

    fn has(&self, metric: &str, label: &str, value: &str) -> bool {
        self.families.samples(metric).any(|sample| sample.labels[label] == value)
    }

    /// Each row names a metric that is exported, with its type and labels, and none is missing.
    fn check_page(&self, page: &str, mut fault: impl FnMut(String)) {
        let mut rows: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
        for line in page.lines() {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            // What only an agent exports is asked of one in `edge_split`.
            if let [_, name, kind, labels, says, _] = cells[..]
                && !says.starts_with("of `genkan agent`")
                && let Some(name) = name.strip_prefix('`')
            {
                let labels = labels.split(", ").map(|label| label.trim_matches('`').to_owned());
                let labels = labels.filter(|label| !label.is_empty()).collect();
                rows.insert(name.trim_matches('`').to_owned(), (kind.to_owned(), labels));
            }
        }
        for (name, family) in &self.families.by_name {
            let suffix = match family.kind.as_str() {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            let shown = format!("{name}{suffix}");
            let Some((kind, labels)) = rows.remove(&shown) else {
                fault(format!("{shown} is exported, but has no row"));
                continue;
            };
            let mut exported: BTreeSet<String> =
                family.samples.iter().flat_map(|sample| sample.labels.keys().cloned()).collect();
            exported.remove("le");
            if kind != family.kind || labels != exported {
                let real = &family.kind;
                fault(format!(
                    "{shown} is a {real} with {exported:?}, not a {kind} with {labels:?}"
                ));
            }
        }
        for name in rows.into_keys() {
            fault(format!("{name} is not exported"));
        }
    }
}

fn selectors(expression: &str) -> Vec<Selector> {
    let selector = Regex::new(r"\b((?:genkan|process)_[a-z_]+)(?:\{([^}]*)\})?").unwrap();
    let matcher = Regex::new(r#"([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)""#).unwrap();
    let found = selector.captures_iter(expression).map(|found| {
        let inside = found.get(2).map_or("", |inside| inside.as_str());
        let matchers = matcher.captures_iter(inside);
        let part = |found: &regex::Captures<'_>, at: usize| found[at].to_owned();
        Selector {
            metric: part(&found, 1),
            matchers: matchers.map(|m| (part(&m, 1), part(&m, 2), part(&m, 3))).collect(),
        }
    });
    found.collect()
}

/// Labels in `by (...)` and `on (...)`.
fn grouped(expression: &str) -> Vec<String> {
    let lists = Regex::new(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)").unwrap();
    let names = lists
        .captures_iter(expression)
        .flat_map(|list| list[1].split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>());
    names.collect()
}

/// Labels in `{{name}}` of a legend and `$labels.name` of an alert.
fn templated(text: &str) -> Vec<String> {
    let names = Regex::new(r"\{\{\s*([a-z_]+)\s*\}\}|\$labels\.([a-z_]+)").unwrap();
    let name = |found: regex::Captures<'_>| {
        found.get(1).or_else(|| found.get(2)).map(|name| name.as_str().to_owned())
    };
    names.captures_iter(text).filter_map(name).collect()
}

/// Place, expression and legend of everything that the dashboard asks for.
fn dashboard() -> Vec<(String, String, String)> {
    let dashboard: Value = serde_json::from_str(&text("grafana/genkan.json")).unwrap();
    let string = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let place = format!("dashboard, panel {}", panel["title"]);
            found.push((place, string(&target["expr"]), string(&target["legendFormat"])));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let query = string(&variable["query"]["query"]);
        if let Some((metric, label)) =
            query.strip_prefix("label_values(").and_then(|q| q.strip_suffix(')')?.rsplit_once(", "))
        {
            let place = format!("dashboard, variable {}", variable["name"]);
            found.push((place, metric.to_owned(), format!("{{{{{label}}}}}")));
        }
    }
    assert!(found.len() > 40, "the dashboard has {} expressions", found.len());
    found
}

fn alerts() -> Vec<(String, String, String)> {
    let string = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found: Vec<_> = rules()
        .iter()
        .map(|rule| {
            let place = format!("alert {}", rule["alert"]);
            (place, string(&rule["expr"]), string(&rule["annotations"]["summary"]))
        })
        .collect();
    assert!(found.len() > 10, "{} alerts", found.len());
    found
}

fn rules() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(&text("alerts/genkan.yaml")).unwrap();
    let groups = file["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// Each alert has a section of its own, and the other way round.
fn check_runbook(mut fault: impl FnMut(String)) {
    let page = text("docs/alerts.md");
    let sections: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let rules = rules();
    let names: BTreeSet<&str> = rules.iter().filter_map(|rule| rule["alert"].as_str()).collect();
    for name in names.symmetric_difference(&sections) {
        fault(format!("{name} is only in one of the file and the page"));
    }
    for rule in &rules {
        let name = rule["alert"].as_str().unwrap();
        let runbook = format!("deploy/docs/alerts.md#{}", name.to_lowercase());
        if rule["annotations"]["runbook"] != *runbook {
            fault(format!("{name} does not name {runbook}"));
        }
    }
}

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
