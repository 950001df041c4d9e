//! What is known of a running cluster, for the next command: a file that a reboot removes with it.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::cgroup::Cgroup;
use super::plan::Host;
use crate::workspace;

/// Records of all clusters of this machine, of whatever checkout.
const RECORDS: &str = "/run/genkan-cluster";

/// A cluster that was started, as far as its start came.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct State {
    pub(super) name: String,
    pub(super) nodes: u8,
    pub(super) kube_proxy: bool,
    /// The checkout that started it.
    pub(super) checkout: PathBuf,
    /// Its files; `log` in there outlives it.
    pub(super) directory: PathBuf,
    /// Where the API server is reachable from this machine's own namespace; 0 until it is known.
    pub(super) port: u16,
    pub(super) components: Vec<Component>,
}

/// A process of a host.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Component {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) process: u32,
    pub(super) log: PathBuf,
    /// From its start until it was ready; `None` until then.
    pub(super) ready_ms: Option<u64>,
    /// Known to the process that started it only.
    #[serde(skip)]
    pub(super) started: Option<Instant>,
}

/// The process that keeps a host's namespaces.
pub(super) const HOLDER: &str = "namespaces";

// === impl State ===

impl State {
    /// A cluster of which nothing runs yet, in a directory of this checkout.
    ///
    /// # Errors
    /// The directory can't be made.
    pub(super) fn new(name: &str, nodes: u8, kube_proxy: bool) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            nodes,
            kube_proxy,
            checkout: workspace::root(),
            directory: fs::canonicalize(workspace::own(&format!("cluster/{name}"))?)
                .context("find the cluster's directory")?,
            port: 0,
            components: Vec::new(),
        })
    }

    /// The record of a cluster of this name; `None` when there is none.
    ///
    /// # Errors
    /// There is a record that can't be read.
    pub(super) fn load(name: &str) -> Result<Option<Self>> {
        let file = record(name);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
        };
        serde_json::from_str(&text)
            .map(Some)
            .with_context(|| format!("{} is no record of a cluster", file.display()))
    }

    /// The record of a cluster that runs.
    ///
    /// # Errors
    /// None of this name runs.
    pub(super) fn running(name: &str) -> Result<Self> {
        match Self::load(name)? {
            Some(state) if Cgroup::of(name)?.is_populated() => Ok(state),
            _ => bail!("no cluster `{name}` is up; `cargo xtask cluster up` starts one"),
        }
    }

    /// # Errors
    /// The record can't be written.
    pub(super) fn save(&self) -> Result<()> {
        let file = record(&self.name);
        let fresh = file.with_extension("new");
        let text = serde_json::to_string_pretty(self).context("write the cluster's record")?;
        fs::create_dir_all(RECORDS).with_context(|| format!("create {RECORDS}"))?;
        fs::write(&fresh, text).with_context(|| format!("write {}", fresh.display()))?;
        fs::rename(&fresh, &file).with_context(|| format!("write {}", file.display()))
    }

    /// Forgets the cluster of this name.
    pub(super) fn remove(name: &str) {
        // Neither was there after a complete `down`.
        fs::remove_file(record(name)).ok();
        fs::remove_dir(RECORDS).ok();
    }

    /// The process in whose namespaces a host is.
    ///
    /// # Errors
    /// The host is not of this cluster, or its namespaces are gone.
    pub(super) fn holder(&self, host: Host) -> Result<u32> {
        let name = host.to_string();
        let holder = self
            .components
            .iter()
            .find(|component| component.name == HOLDER && component.host == name)
            .with_context(|| format!("host {host} was not started"))?;
        if !Cgroup::of(&self.name)?.has(holder.process) {
            bail!("host {host} has ended; `cargo xtask cluster down` removes what is left");
        }
        Ok(holder.process)
    }

    pub(super) fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        self.directory.join(inside)
    }

    /// Where programs of the cluster are: kubectl and the components.
    pub(super) fn programs(&self) -> PathBuf {
        self.path("bin")
    }

    /// Administrator, from the hosts of the lab.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig-in-hosts")
    }

    /// Administrator, from this machine's own network namespace.
    pub(super) fn outside_kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }
}

/// Keeps a second start of the same cluster out while this value lives. An abstract socket: the
/// kernel frees it with the process, and it is no file to be left behind.
///
/// # Errors
/// Another process is starting it.
pub(super) fn lock(name: &str) -> Result<UnixListener> {
    let address = SocketAddr::from_abstract_name(format!("genkan-cluster-{name}"))
        .context("name the cluster's lock")?;
    UnixListener::bind_addr(&address)
        .with_context(|| format!("cluster `{name}` is being started by another process"))
}

fn record(name: &str) -> PathBuf {
    Path::new(RECORDS).join(format!("{name}.json"))
}

#[cfg(test)]
mod tests {
    use super::lock;

    #[test]
    fn a_second_start_is_kept_out_until_the_first_has_ended() {
        let name = format!("lock-{}", std::process::id());
        let first = lock(&name).unwrap();
        assert!(lock(&name).is_err());
        drop(first);
        assert!(lock(&name).is_ok());
    }
}
