//! Whether a component does its work: asked while the cluster starts, and by `status`.

use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::api::{self, Api};
use super::cgroup::Cgroup;
use super::host;
use super::plan::Host;
use super::state::{Component, State};
use crate::program::tail;
use crate::progress::Step;

const POLL: Duration = Duration::from_millis(50);
/// Far more than a loaded machine needs.
const LIMIT: Duration = Duration::from_secs(180);

/// Waits until every component is ready that was started so far, and notes how long each took.
///
/// # Errors
/// One has ended or does not become ready; the message has the end of its log.
pub(super) fn wait(state: &mut State, cgroup: &Cgroup, step: &Step) -> Result<()> {
    let started = Instant::now();
    loop {
        let mut lack = None;
        for at in 0..state.components.len() {
            if state.components[at].ready_ms.is_some() {
                continue;
            }
            match probe(state, &state.components[at]) {
                Ok(()) => {
                    let component = &mut state.components[at];
                    let took = component.started.map(|started| started.elapsed());
                    let took = took.unwrap_or_default().as_millis();
                    component.ready_ms = Some(u64::try_from(took).unwrap_or(u64::MAX));
                }
                Err(error) => lack = Some((at, error)),
            }
        }
        let Some((at, error)) = lack else { return state.save() };
        state.components.iter().try_for_each(|component| host::check(cgroup, component))?;
        let Component { name, host, log, .. } = &state.components[at];
        if started.elapsed() > LIMIT {
            bail!(
                "{name} on {host} is not ready after {} s: {error:#}\n{}\n(whole log: {})",
                LIMIT.as_secs(),
                tail(log),
                log.display()
            );
        }
        step.note(&format!("{name} on {host}"));
        thread::sleep(POLL);
    }
}

/// # Errors
/// The component is not ready; the message says why.
pub(super) fn probe(state: &State, component: &Component) -> Result<()> {
    let on = Host::named(&component.host, state.nodes)
        .with_context(|| format!("{} is no host", component.host))?;
    match component.name.as_str() {
        "etcd" => Api::of(state).get_text("/readyz/etcd").map(drop),
        "kube-apiserver" => Api::of(state).get_text("/readyz").map(drop),
        "kube-controller-manager" => healthz(state, on, "https://127.0.0.1:10257/healthz"),
        "kube-scheduler" => healthz(state, on, "https://127.0.0.1:10259/healthz"),
        "kube-proxy" => healthz(state, on, "http://127.0.0.1:10256/healthz"),
        "containerd" => host::output(state, on, &["ctr", "version"]).map(drop),
        "kubelet" => node(state, &component.host),
        FORWARD => TcpStream::connect((Ipv4Addr::LOCALHOST, state.port))
            .map(drop)
            .context("the API server's port in this namespace"),
        // A holder is ready from the beginning.
        _ => Ok(()),
    }
}

/// The process that carries connections to the API server.
pub(super) const FORWARD: &str = "api-forward";

fn healthz(state: &State, on: Host, url: &str) -> Result<()> {
    // Certificates of health ports are self-signed.
    let curl = ["curl", "--silent", "--show-error", "--fail", "--insecure", "--noproxy", "*", url];
    host::output(state, on, &curl).map(drop)
}

/// The kubelet runs well when its node is Ready.
fn node(state: &State, name: &str) -> Result<()> {
    let nodes = Api::of(state).get("/api/v1/nodes")?;
    if !api::with_condition(&nodes, "Ready").iter().any(|ready| ready == name) {
        bail!("node {name} is not Ready");
    }
    Ok(())
}
