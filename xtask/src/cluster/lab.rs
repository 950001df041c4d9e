//! A cluster that a command of ours owns: it starts with the command and goes with it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::cgroup::Cgroup;
use super::plan::{Host, VIPS};
use super::state::{self, State};
use super::{down, host, images, up};

/// A running cluster. Removed on drop, unless it is kept.
pub(crate) struct Lab {
    state: State,
    kept: bool,
}

/// The answer of a program on a host.
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) output: String,
    pub(crate) errors: String,
}

// === impl Lab ===

impl Lab {
    /// The image whose pods answer with what they saw of a request, on port 3000.
    pub(crate) const ECHO: &str = images::ECHO;

    /// Starts it; what is left of an earlier one of this name is removed first.
    ///
    /// # Errors
    /// A component does not become ready; the message has the end of its log.
    pub(crate) fn start(name: &str, nodes: u8) -> Result<Self> {
        let _ours = state::lock(name)?;
        down::remove(name)?;
        Ok(Self { state: up::start(name, nodes, true)?, kept: false })
    }

    /// It stays when this value goes.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }

    /// The hosts that are nodes.
    pub(crate) fn nodes(&self) -> Vec<String> {
        Host::nodes(self.state.nodes).map(|node| node.to_string()).collect()
    }

    /// The same address of each family that the router sends to all nodes.
    pub(crate) fn vips() -> [String; 2] {
        VIPS.map(|prefix| match prefix.split_once("0/") {
            Some((network, _)) => format!("{network}80"),
            None => prefix.replace(":/64", ":80"),
        })
    }

    /// A directory of this cluster's, which every host sees.
    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.state.path(name)
    }

    pub(crate) fn kubeconfig(&self) -> std::path::PathBuf {
        self.state.kubeconfig()
    }

    /// Standard output of kubectl on the control host.
    ///
    /// # Errors
    /// It fails; the message has its standard error.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        host::output(&self.state, Host::Control, &[&["kubectl"], arguments].concat())
    }

    /// Creates or changes objects.
    ///
    /// # Errors
    /// The API server refuses one; the message has its reason.
    pub(crate) fn apply(&self, objects: &[serde_json::Value]) -> Result<()> {
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let mut kubectl = self.command(Host::Control)?;
        kubectl.args(["kubectl", "apply", "--filename", "-"]).stdin(Stdio::piped());
        kubectl.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = kubectl.spawn().context("start kubectl")?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(list.to_string().as_bytes()).context("write to kubectl")?;
        }
        let ended = child.wait_with_output().context("wait for kubectl")?;
        if !ended.status.success() {
            bail!("kubectl apply: {}", String::from_utf8_lossy(&ended.stderr).trim());
        }
        Ok(())
    }

    /// Runs a program on the client host to its end, whatever that is.
    ///
    /// # Errors
    /// It can't be started.
    pub(crate) fn client(&self, arguments: &[&str]) -> Result<Said> {
        let ended = self
            .command(Host::Client)?
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("start {arguments:?} on the client"))?;
        Ok(Said {
            success: ended.status.success(),
            output: String::from_utf8_lossy(&ended.stdout).into_owned(),
            errors: String::from_utf8_lossy(&ended.stderr).trim().to_owned(),
        })
    }

    /// Starts a program on a node that stays until the cluster goes; its log is in the cluster's.
    ///
    /// # Errors
    /// It can't be started, or the node is not of this cluster.
    pub(crate) fn serve(&mut self, node: &str, program: &Path, arguments: &[String]) -> Result<()> {
        let on = Host::named(node, self.state.nodes).with_context(|| format!("no node {node}"))?;
        let cgroup = Cgroup::of(&self.state.name)?;
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
        host::start_with_input(&mut self.state, &cgroup, on, &name, program, arguments, None)
    }

    /// Whether a program on a node succeeds.
    ///
    /// # Errors
    /// It fails, or the node is not of this cluster.
    pub(crate) fn on(&self, node: &str, arguments: &[&str]) -> Result<String> {
        let on = Host::named(node, self.state.nodes).with_context(|| format!("no node {node}"))?;
        host::output(&self.state, on, arguments)
    }

    fn command(&self, on: Host) -> Result<Command> {
        host::command(&self.state, on)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = down::remove(&self.state.name) {
            eprintln!("warning: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lab;

    #[test]
    fn vips_are_of_the_prefixes_that_the_router_knows() {
        assert_eq!(Lab::vips(), ["203.0.113.80", "2001:db8:113::80"]);
    }
}
