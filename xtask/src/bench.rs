//! `cargo xtask bench`: the benchmark programs of the workspace, and the proxy beside nginx.
//!
//! A benchmark program prints lines with a spread `min - median - max`; every such line becomes one
//! measurement of the JSON output. Verdicts are ratios taken in one run: the same machine, the same
//! minute.

mod network;
mod proxy;
mod spread;

use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::program::Program;
use crate::progress::Step;
use crate::setup::{self, Purpose};
use spread::Spread;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run only these
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Bench>,
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Bench {
    /// The kernel programs by test runs, net of a program that only passes; needs root
    Packet,
    /// Route lookup and edits at 10 to 100,000 hosts
    Routing,
    /// Counting and logging of a request, on and off
    Observability,
    /// From the edit of a manifest to the first right answer on the wire; needs root
    Propagation,
    /// One request path beside nginx with the same backend; needs root
    Proxy,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// One line of a benchmark.
struct Measurement {
    name: String,
    spread: Spread,
    /// What stands behind the spread, usually the ratio to a floor.
    verdict: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let chosen = |bench: &Bench| arguments.only.is_empty() || arguments.only.contains(bench);
    let benches: Vec<Bench> =
        Bench::value_variants().iter().copied().filter(|bench| chosen(bench)).collect();
    let with_nginx = benches.contains(&Bench::Proxy);
    setup::prepare(if with_nginx { Purpose::Bench } else { Purpose::Build })?;
    let mut report = serde_json::Map::new();
    for bench in benches {
        let text = match bench {
            Bench::Packet => program("packet")?,
            Bench::Routing => program("routing")?,
            Bench::Observability => program("observability")?,
            Bench::Propagation => program("propagation")?,
            Bench::Proxy => proxy::run()?,
        };
        if arguments.output == Output::Text {
            println!("\n{text}");
        }
        let measured: Vec<Value> = text.lines().filter_map(measurement).map(value).collect();
        report.insert(format!("{bench:?}").to_lowercase(), Value::Array(measured));
    }
    if arguments.output == Output::Json {
        println!("{:#}", Value::Object(report));
    }
    Ok(ExitCode::SUCCESS)
}

/// A benchmark of the userspace crate, in the release profile.
fn program(name: &str) -> Result<String> {
    let step = Step::begin(format!("bench {name}"));
    let log = format!("bench-{name}");
    let bench = ["bench", "--package", "ingress-userspace", "--locked", "--quiet", "--bench", name];
    let text = Program::cargo().args(bench).reported(&step, &log)?;
    step.ok("");
    Ok(text)
}

/// Reads `name  …  1.0 - 2.0 - 3.0  ratio`.
fn measurement(line: &str) -> Option<Measurement> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let dash = words.windows(3).position(|window| window[0] == "-" && window[2] == "-")?;
    let number = |index: usize| words.get(index)?.replace(',', "").parse::<f64>().ok();
    let first = dash.checked_sub(1)?;
    let spread = Spread { min: number(first)?, median: number(dash + 1)?, max: number(dash + 3)? };
    let verdict = words.get(dash + 4..).unwrap_or_default().join(" ");
    Some(Measurement { name: words[..first].join(" "), spread, verdict })
}

fn value(measured: Measurement) -> Value {
    let Spread { min, median, max } = measured.spread;
    json!({
        "name": measured.name, "min": min, "median": median, "max": max,
        "verdict": measured.verdict,
    })
}

#[cfg(test)]
mod tests {
    use super::measurement;

    #[test]
    fn reads_the_spread_of_a_line() {
        let line = "route lookup      100000      101.5 - 110 - 1,234    1.31";
        let measured = measurement(line).expect("a spread");
        assert_eq!(measured.name, "route lookup 100000");
        assert_eq!((measured.spread.min, measured.spread.max), (101.5, 1234.0));
        assert_eq!((measured.spread.median, measured.verdict.as_str()), (110.0, "1.31"));
    }

    #[test]
    fn a_headline_is_no_measurement() {
        assert!(measurement("hosts  ns min-median-max  ratio").is_none());
        assert!(measurement("").is_none());
    }
}
