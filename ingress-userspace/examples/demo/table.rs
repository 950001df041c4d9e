//! What is printed: a line for each request while it runs, the table at the end.

use std::collections::BTreeMap;
use std::fmt;

use genkan::testing::lab::EdgeLab;
use ingress_common::verdict::Verdict;

use crate::stage::Stage;

/// One request and what became of it.
#[derive(Default)]
pub(crate) struct Row {
    pub(crate) request: String,
    pub(crate) answer: String,
    pub(crate) pod: Option<String>,
    pub(crate) worker: Option<u64>,
    /// Verdict counters of the VIP that moved, by name.
    pub(crate) moved: BTreeMap<&'static str, u64>,
    /// Why the answer is not as promised.
    pub(crate) wrong: Option<String>,
}

// === impl Row ===

impl Row {
    fn pod(&self) -> &str {
        self.pod.as_deref().unwrap_or("-")
    }

    fn worker(&self) -> String {
        self.worker.map_or_else(|| "-".to_owned(), |worker| worker.to_string())
    }

    fn counters(&self) -> String {
        let moved: Vec<String> =
            self.moved.iter().map(|(name, count)| format!("{name} {count}")).collect();
        moved.join(", ")
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}, {}", self.request, self.answer, self.pod())?;
        self.wrong.as_ref().map_or(Ok(()), |wrong| write!(f, "   WRONG: {wrong}"))
    }
}

pub(crate) fn print(rows: &[Row], stage: &Stage) {
    let head = ["request", "answer", "pod", "worker", "steer and dispatch counters that moved"];
    let cells: Vec<[String; 5]> = rows
        .iter()
        .map(|row| {
            let request = row.request.clone();
            [request, row.answer.clone(), row.pod().to_owned(), row.worker(), row.counters()]
        })
        .collect();
    let width = |column: usize| {
        let texts = cells.iter().map(|row| row[column].as_str()).chain([head[column]]);
        texts.map(str::len).max().unwrap_or_default()
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |row: [&str; 5]| {
        let padded = row.iter().zip(widths).map(|(text, width)| format!("{text:width$}"));
        println!("{}", padded.collect::<Vec<_>>().join("  ").trim_end());
    };
    println!();
    line(head);
    println!("{}", "-".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1)));
    for row in &cells {
        line(row.each_ref().map(String::as_str));
    }
    totals(stage);
    verdict(rows);
}

/// Every counter of the VIP (both its addresses) that is not zero, with what it means.
fn totals(stage: &Stage) {
    println!("\nverdicts of the VIP since the start");
    let counted = stage.story.counters(EdgeLab::VIP4);
    for &verdict in Verdict::ALL.iter().filter(|verdict| counted.of(**verdict) > 0) {
        let (name, count) = (verdict.name(), counted.of(verdict));
        println!("  {name:<24} {count:>8}   {}", verdict.description());
    }
}

fn verdict(rows: &[Row]) {
    let wrong: Vec<&Row> = rows.iter().filter(|row| row.wrong.is_some()).collect();
    println!("\n{} requests, {} answered as promised", rows.len(), rows.len() - wrong.len());
    for row in wrong {
        println!("  {row}");
    }
}
