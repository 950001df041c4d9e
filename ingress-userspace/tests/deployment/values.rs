//! The schema of the chart's values knows the keys of the configuration, no more and no less: a
//! misspelt one is refused before it is in the cluster.

use std::collections::BTreeSet;

use genkan::config::{Config, NewFlowBudget, VipConfig};
use serde_json::Value;

use super::read;

/// Set by the chart itself: two pods of one node must not meet there.
const OF_THE_CHART: &str = "admin.";

/// `a.b` for each property, those of the entries of lists too.
fn keys(properties: &Value, prefix: &str, into: &mut BTreeSet<String>) {
    for (name, schema) in properties.as_object().unwrap() {
        let key = format!("{prefix}{name}");
        let inner = schema.get("properties").or_else(|| schema.pointer("/items/properties"));
        // A word or a map; its fields are in the second form.
        let inner = inner.or_else(|| schema.pointer("/anyOf/1/properties"));
        if let Some(inner) = inner {
            keys(inner, &format!("{key}."), into);
        } else {
            into.insert(key);
        }
    }
}

/// As the configuration writes itself, with a VIP that has everything.
fn configuration_keys() -> BTreeSet<String> {
    fn collect(value: &Value, prefix: &str, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    collect(value, &format!("{prefix}{dot}{name}"), into);
                }
            }
            Value::Array(entries) if entries.first().is_some_and(Value::is_object) => {
                collect(&entries[0], prefix, into);
            }
            _ => {
                into.insert(prefix.to_owned());
            }
        }
    }
    let mut vip: VipConfig =
        serde_json::from_str(r#"{"name": "edge", "addresses": ["203.0.113.80"]}"#).unwrap();
    vip.new_flow_budget = Some(NewFlowBudget { per_second: 1, burst: 1 });
    let config = Config { vips: vec![vip], ..Config::default() };
    let mut found = BTreeSet::new();
    collect(&serde_json::to_value(config).unwrap(), "", &mut found);
    found
}

#[test]
fn the_values_of_the_chart_take_the_keys_of_the_configuration() {
    let schema: Value = serde_json::from_str(&read("deploy/chart/values.schema.json")).unwrap();
    let mut found = BTreeSet::new();
    keys(schema.pointer("/properties/config/properties").unwrap(), "", &mut found);
    let expected: BTreeSet<String> =
        configuration_keys().into_iter().filter(|key| !key.starts_with(OF_THE_CHART)).collect();
    assert_eq!(found, expected);
}
