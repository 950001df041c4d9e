//! `cargo xtask cluster`: a real Kubernetes on this one machine, without Docker.
//!
//! etcd, API server, controller manager, scheduler, kubelets with containerd and runc, kube-proxy:
//! each host of the cluster is a network namespace, the nodes behind an edge router. Starts in
//! seconds, is the same for tests and for trying things out, and leaves nothing.

mod api;
mod cgroup;
mod control_plane;
mod down;
mod forward;
mod guard;
mod host;
mod images;
mod lab;
mod node;
mod pki;
mod plan;
mod programs;
mod readiness;
mod state;
mod status;
mod topology;
mod up;

pub(crate) use lab::Lab;
pub(crate) use programs::kubernetes as kubernetes_program;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::program;
use crate::progress::Step;
use crate::setup::{self, Purpose};
use plan::Host;
use state::State;
use status::Status;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Several clusters may run side by side, each with a name of its own
    #[arg(long, global = true, default_value = "genkan", value_parser = cluster_name)]
    name: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Start it: client, router, control plane and nodes
    Up {
        /// How many nodes
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=i64::from(plan::MAX_NODES)))]
        nodes: u8,
        /// Without kube-proxy no ClusterIP works, also not that of the API server
        #[arg(long)]
        without_kube_proxy: bool,
    },
    /// Remove it, or what an interrupted run left of it
    Down,
    /// Every component, and the nodes; fails when one is not ready
    Status {
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Print the path of a kubeconfig that works outside of the lab, on this machine
    Kubeconfig,
    /// Print `export` lines for a shell: KUBECONFIG, and PATH with kubectl
    Env,
    /// Run a command on a host: client, router, control, node1, node2, …
    Exec {
        host: String,
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Import image archives (of OCI or Docker) into every node
    Load {
        #[arg(required = true)]
        archives: Vec<PathBuf>,
    },
    /// Carry connections to the API server; standard input is the listening socket
    #[command(hide = true)]
    Forward,
    /// Wait for a start to end, and clean up when it was interrupted
    #[command(hide = true)]
    Guard,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Output {
    Text,
    Json,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let name = &arguments.name;
    if !program::is_root() {
        bail!("a cluster is made of namespaces, mounts and control groups: run this as root");
    }
    match &arguments.command {
        Command::Up { nodes, without_kube_proxy } => up(name, *nodes, !without_kube_proxy),
        Command::Down => take_down(name),
        Command::Status { output } => show(&State::running(name)?, *output),
        Command::Kubeconfig => {
            println!("{}", State::running(name)?.outside_kubeconfig().display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Env => {
            print!("{}", environment(&State::running(name)?));
            Ok(ExitCode::SUCCESS)
        }
        Command::Exec { host, command } => {
            let state = State::running(name)?;
            host::exec(&state, named(host, &state)?, command)
        }
        Command::Load { archives } => load(&State::running(name)?, archives),
        Command::Forward => forward::run(),
        Command::Guard => guard::run(name),
    }
}

fn up(name: &str, nodes: u8, kube_proxy: bool) -> Result<ExitCode> {
    setup::prepare(Purpose::Cluster)?;
    let _ours = state::lock(name)?;
    if let Ok(state) = State::running(name) {
        bail!(
            "cluster `{name}` is up already, started from {}; take it down, or start another one \
             with --name",
            state.checkout.display()
        );
    }
    if down::remove(name)? {
        println!("removed what an interrupted run left of cluster `{name}`");
    }
    let state = up::start(name, nodes, kube_proxy)?;
    let shown = show(&state, Output::Text)?;
    println!(
        "\neval \"$(cargo xtask cluster --name {name} env)\" && kubectl get nodes\n\
         cargo xtask cluster --name {name} exec client -- ping -c 1 {}",
        Host::Node(1).addresses().v4,
    );
    Ok(shown)
}

fn environment(state: &State) -> String {
    let (kubeconfig, programs) = (state.outside_kubeconfig(), state.programs());
    format!(
        "export KUBECONFIG='{}'\nexport PATH='{}':$PATH\n",
        kubeconfig.display(),
        programs.display()
    )
}

fn take_down(name: &str) -> Result<ExitCode> {
    let removed = down::remove(name)?;
    println!("{}", if removed { "the cluster is removed" } else { "no cluster is up" });
    Ok(ExitCode::SUCCESS)
}

fn show(state: &State, output: Output) -> Result<ExitCode> {
    let status = Status::of(state)?;
    match output {
        Output::Text => print!("{}", status.table()),
        Output::Json => println!("{}", status.json()),
    }
    Ok(if status.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn load(state: &State, archives: &[PathBuf]) -> Result<ExitCode> {
    for archive in archives {
        let step = Step::begin(format!("load {}", archive.display()));
        let mut said = String::new();
        for on in Host::nodes(state.nodes) {
            said = images::load(state, on, archive)?;
        }
        step.ok(said.trim());
    }
    Ok(ExitCode::SUCCESS)
}

fn named(host: &str, state: &State) -> Result<Host> {
    Host::named(host, state.nodes).with_context(|| {
        let known: Vec<String> = Host::all(state.nodes).iter().map(Host::to_string).collect();
        format!("no host `{host}` in this cluster; it has {}", known.join(", "))
    })
}

/// Part of the names of namespaces, control groups and files.
fn cluster_name(name: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > 30 || !name.bytes().all(fits) || name.starts_with('-') {
        return Err("a name has 1 to 30 of a-z, 0-9 and -, and does not begin with -".to_owned());
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::cluster_name;

    #[test]
    fn names_are_no_paths() {
        assert!(cluster_name("genkan").is_ok());
        assert!(cluster_name("two-1").is_ok());
        for name in ["", "..", "a/b", "-x", "UPPER", "a.b"] {
            assert!(cluster_name(name).is_err(), "{name}");
        }
    }
}
