//! `cluster status`, and the table at the end of `up`.

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use super::api::{self, Api};
use super::cgroup::Cgroup;
use super::readiness;
use super::state::{Component, HOLDER, State};

/// What one process is doing.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    component: String,
    host: String,
    state: &'static str,
    process: u32,
    /// From its start until it was ready, milliseconds.
    took_ms: Option<u64>,
}

/// Every process of the cluster, and the nodes as the API server sees them.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    name: String,
    kube_proxy: bool,
    components: Vec<Line>,
    /// Names of nodes that are Ready; `None` when the API server does not answer.
    ready_nodes: Option<Vec<String>>,
    nodes: u8,
    kubeconfig: std::path::PathBuf,
}

// === impl Status ===

impl Status {
    /// # Errors
    /// The machine's control groups can't be read.
    pub(super) fn of(state: &State) -> Result<Self> {
        let cgroup = Cgroup::of(&state.name)?;
        let nodes = Api::of(state).get("/api/v1/nodes").ok();
        let ready_nodes = nodes.map(|list| api::with_condition(&list, "Ready"));
        let line = |component: &Component| Line {
            component: component.name.clone(),
            host: component.host.clone(),
            state: match readiness::probe(state, component) {
                _ if !cgroup.has(component.process) => "ended",
                Ok(()) => "ready",
                Err(_) => "not ready",
            },
            process: component.process,
            took_ms: component.ready_ms,
        };
        let shown = state.components.iter().filter(|component| component.name != HOLDER);
        Ok(Self {
            name: state.name.clone(),
            kube_proxy: state.kube_proxy,
            components: shown.map(line).collect(),
            ready_nodes,
            nodes: state.nodes,
            kubeconfig: state.outside_kubeconfig(),
        })
    }

    /// Whether everything runs and every node is Ready.
    pub(super) fn is_good(&self) -> bool {
        let ready = self.ready_nodes.as_ref().map_or(0, Vec::len);
        ready == usize::from(self.nodes) && self.components.iter().all(|line| line.state == "ready")
    }

    pub(super) fn json(&self) -> String {
        format!("{:#}", json!(self))
    }

    pub(super) fn table(&self) -> String {
        let mut text = format!("{:<24} {:<8} {:<10} {:>8}\n", "COMPONENT", "HOST", "STATE", "TOOK");
        for Line { component, host, state, took_ms, .. } in &self.components {
            let took = took_ms.map_or_else(|| "-".to_owned(), seconds);
            text += &format!("{component:<24} {host:<8} {state:<10} {took:>8}\n");
        }
        match &self.ready_nodes {
            Some(ready) => text += &format!("{} of {} nodes are Ready\n", ready.len(), self.nodes),
            None => text += "the API server does not answer\n",
        }
        text
    }
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(states: &[&'static str], ready: Option<usize>) -> Status {
        let line = |state: &&'static str| Line {
            component: "kubelet".to_owned(),
            host: "node1".to_owned(),
            state,
            process: 1,
            took_ms: Some(1250),
        };
        Status {
            name: "lab".to_owned(),
            kube_proxy: true,
            components: states.iter().map(line).collect(),
            ready_nodes: ready.map(|count| vec!["node".to_owned(); count]),
            nodes: 2,
            kubeconfig: "kubeconfig".into(),
        }
    }

    #[test]
    fn is_good_only_when_all_run_and_all_nodes_are_ready() {
        assert!(status(&["ready", "ready"], Some(2)).is_good());
        assert!(!status(&["ready", "ended"], Some(2)).is_good());
        assert!(!status(&["ready"], Some(1)).is_good());
        assert!(!status(&["ready"], None).is_good());
    }

    #[test]
    fn the_table_tells_how_long_each_took() {
        let table = status(&["ready"], Some(1)).table();
        assert!(
            table.contains("kubelet                  node1    ready         1.2 s\n"),
            "{table}"
        );
        assert!(table.ends_with("1 of 2 nodes are Ready\n"));
    }
}
