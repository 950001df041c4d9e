//! The layer table as people see it: that of ARCHITECTURE.md names the same modules in the same layers.
//!
//! In: the source table and the document. A row of the document begins with the number of its layer;
//! its second cell lists the modules in backquotes.

use std::collections::{BTreeMap, BTreeSet};

use super::table::Row;

const HEADING: &str = "## Layers";

/// Line of the document and what differs there.
pub(super) fn differences(table: &[Row], document: &str) -> Vec<(usize, String)> {
    let mut layers: BTreeMap<u8, BTreeSet<&str>> = BTreeMap::new();
    for row in table {
        layers.entry(row.layer).or_default().insert(row.module);
    }
    let lines = || document.lines().zip(1..);
    let Some((_, heading)) = lines().find(|(line, _)| *line == HEADING) else {
        return vec![(1, format!("`{HEADING}` is missing"))];
    };
    let section = lines()
        .skip_while(|(_, number)| *number <= heading)
        .take_while(|(line, _)| !line.starts_with("## "));
    let mut wrong = Vec::new();
    for (layer, shown, line) in section.filter_map(|(line, number)| {
        let (layer, shown) = layer_row(line)?;
        Some((layer, shown, number))
    }) {
        let Some(modules) = layers.remove(&layer) else {
            wrong.push((line, format!("xtask's layer table has no further layer {layer}")));
            continue;
        };
        let missing = modules.difference(&shown).map(|module| {
            (line, format!("`{module}` is in layer {layer} of xtask's table and not here"))
        });
        let surplus = shown
            .difference(&modules)
            .map(|module| (line, format!("`{module}` is not in layer {layer} of xtask's table")));
        wrong.extend(missing.chain(surplus));
    }
    wrong.extend(layers.keys().map(|layer| (heading, format!("layer {layer} is missing"))));
    wrong
}

/// `| 3 pure domain | `routing`, `model` | … |`
fn layer_row(line: &str) -> Option<(u8, BTreeSet<&str>)> {
    let mut cells = line.strip_prefix("| ")?.split('|');
    let (number, _) = cells.next()?.split_once(' ')?;
    let modules = cells.next()?.split('`').skip(1).step_by(2).collect();
    Some((number.parse().ok()?, modules))
}
