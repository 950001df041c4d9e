//! `cargo xtask conformance`: suites that judge an Ingress controller, on a real Kubernetes.
//!
//! `ingress` plays the 30 scenarios of the ingress-controller-conformance project: real Deployments
//! on real kubelets, requests from a client behind the router through the VIP to whichever node the
//! router picks. Nothing is retried: the address in the status is the promise that the routes are
//! live on every node.
//!
//! Two things differ from the original: the Ingress of a scenario is gone before the next one is
//! applied (the original deletes namespaces and does not wait, so two of them may claim one host),
//! and one of two equal requests has a query instead.

mod edge;
mod objects;
mod play;
mod scenario;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::cluster::Lab;
use crate::program::{self, Program};
use crate::progress::Step;
use crate::setup::{self, Purpose};
use scenario::Scenario;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Which suite
    #[arg(value_enum)]
    suite: Suite,
    /// Nodes of the cluster, each an edge node
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    nodes: u8,
    /// All scenarios so many times
    #[arg(long, default_value_t = 1)]
    runs: u32,
    /// Only scenarios whose feature or name contains this text
    #[arg(long)]
    only: Option<String>,
    /// Leave the cluster `conformance` up
    #[arg(long)]
    keep: bool,
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Suite {
    Ingress,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Output {
    Text,
    Json,
}

const CLUSTER: &str = "conformance";
const CLASS: &str = "genkan";

/// What became of one scenario.
struct Outcome {
    scenario: Scenario,
    run: u32,
    seconds: f64,
    failure: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if !program::is_root() {
        bail!("a cluster is made of namespaces, mounts and control groups: run this as root");
    }
    let Suite::Ingress = arguments.suite;
    setup::prepare(Purpose::Cluster)?;
    let step = Step::begin("build genkan");
    Program::cargo()
        .args(["build", "--package", "ingress-userspace", "--bin", "genkan", "--locked"])
        .checked(&step, "conformance-build")?;
    step.ok("");

    let mut lab = Lab::start(CLUSTER, arguments.nodes)?;
    if arguments.keep {
        lab.keep();
    }
    edge::start(&mut lab, CLASS)?;
    let chosen = |scenario: &Scenario| {
        let only = arguments.only.as_deref().unwrap_or_default();
        scenario.feature.contains(only) || scenario.name.contains(only)
    };
    let mut outcomes = Vec::new();
    for run in 1..=arguments.runs {
        for (number, scenario) in scenario::all().into_iter().filter(chosen).enumerate() {
            outcomes.push(one(&lab, scenario, run, number));
        }
    }
    if arguments.output == Output::Json {
        println!("{:#}", outcomes.iter().map(value).collect::<Value>());
    }
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    println!("{} passed, {failed} failed, 0 skipped", outcomes.len() - failed);
    Ok(if failed == 0 && !outcomes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn one(lab: &Lab, scenario: Scenario, run: u32, number: usize) -> Outcome {
    let asked = format!("{} {}", scenario.method, scenario.url);
    let step = Step::begin(format!("{}: {} ({asked})", scenario.feature, scenario.name));
    let namespace = format!("ingress-conformance-{run}-{number}");
    let began = Instant::now();
    let played = play::play(lab, &scenario, &namespace, CLASS);
    let time = began.elapsed();
    let failure = played.err().map(|error| format!("{error:#}"));
    match &failure {
        None => step.ok(""),
        Some(why) => step.failed(why),
    }
    // The next scenario has the same hosts: the older Ingress would keep them while it is there.
    let ingress = ["delete", "ingress", "--all", "--namespace", &namespace];
    for delete in [&ingress[..], &["delete", "namespace", &namespace, "--wait=false"]] {
        if let Err(error) = lab.kubectl(delete) {
            eprintln!("warning: {error:#}");
        }
    }
    Outcome { scenario, run, seconds: time.as_secs_f64(), failure }
}

fn value(outcome: &Outcome) -> Value {
    let Scenario { feature, name, method, url, .. } = outcome.scenario;
    json!({
        "feature": feature, "name": name, "request": format!("{method} {url}"),
        "run": outcome.run, "seconds": outcome.seconds, "failure": outcome.failure,
    })
}
