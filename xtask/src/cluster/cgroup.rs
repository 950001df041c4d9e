//! The control group of a cluster: everything that was started for it is in there, pods as well.
//!
//! Ends a cluster whole, whatever its processes forked, and also one whose starter was killed. It
//! lives in the unified hierarchy (cgroup v2, also beside v1 on hybrid machines) and is named after
//! the cluster, so it is found without any record.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::plan::Host;

/// Killed processes are gone at once, unless they hang in the kernel.
const END: Duration = Duration::from_secs(20);

/// The control group of the cluster of one name.
#[derive(Clone, Debug)]
pub(super) struct Cgroup {
    /// Its path in every hierarchy, without a leading slash.
    name: String,
    /// Where the hierarchies are mounted; the unified one first.
    hierarchies: Vec<PathBuf>,
}

// === impl Cgroup ===

impl Cgroup {
    /// # Errors
    /// The machine has no unified hierarchy.
    pub(super) fn of(cluster: &str) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/mounts").context("read /proc/mounts")?;
        let hierarchies = hierarchies(&mounts);
        if hierarchies.is_empty() {
            bail!(
                "no cgroup v2 hierarchy is mounted; `mount -t cgroup2 cgroup2 DIRECTORY` has one"
            );
        }
        Ok(Self { name: format!("{cluster}.cluster"), hierarchies })
    }

    /// The group for processes of a host that are not in pods, made when absent. A leaf: a group
    /// with controllers has no processes of its own.
    ///
    /// # Errors
    /// It can't be made.
    pub(super) fn processes(&self, host: Host) -> Result<PathBuf> {
        let group = self.root().join(host.to_string()).join("processes");
        fs::create_dir_all(&group).with_context(|| format!("create {}", group.display()))?;
        Ok(group.join("cgroup.procs"))
    }

    /// The group of a node's pods, as the kubelet wants it.
    pub(super) fn pods(&self, host: Host) -> String {
        format!("/{}/{host}/pods", self.name)
    }

    /// Whether this process is one of the cluster's and runs: numbers of ended processes are used
    /// again, and a zombie is still in its group.
    pub(super) fn has(&self, process: u32) -> bool {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        if stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X'])) {
            return false;
        }
        let groups = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
        let inside = format!("0::/{}/", self.name);
        groups.lines().any(|line| line.starts_with(&inside))
    }

    /// Whether anything of the cluster runs.
    pub(super) fn is_populated(&self) -> bool {
        fs::read_to_string(self.root().join("cgroup.events"))
            .is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
    }

    /// Kills every process, waits until all are gone, and removes the groups. False when there
    /// was none.
    ///
    /// # Errors
    /// A process does not end, or a group can't be removed.
    pub(super) fn remove(&self) -> Result<bool> {
        let root = self.root();
        let existed = root.is_dir();
        if existed {
            fs::write(root.join("cgroup.kill"), "1").context("kill the cluster's processes")?;
            let started = Instant::now();
            while self.is_populated() {
                if started.elapsed() > END {
                    bail!("processes of {} do not end", root.display());
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        for hierarchy in &self.hierarchies {
            remove_tree(&hierarchy.join(&self.name))?;
        }
        Ok(existed)
    }

    fn root(&self) -> PathBuf {
        self.hierarchies[0].join(&self.name)
    }
}

/// Mount points of all hierarchies, the unified one first; none when it is missing.
fn hierarchies(mounts: &str) -> Vec<PathBuf> {
    let of_type = |wanted: &'static str| {
        mounts.lines().filter_map(move |line| {
            let mut fields = line.split(' ').skip(1);
            let (point, kind) = (fields.next()?, fields.next()?);
            (kind == wanted).then(|| PathBuf::from(point))
        })
    };
    let Some(unified) = of_type("cgroup2").next() else { return Vec::new() };
    [unified].into_iter().chain(of_type("cgroup")).collect()
}

/// Groups are removed from the leaves up; their files are not.
fn remove_tree(group: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(group) else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(group) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", group.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unified_hierarchy_comes_first_on_hybrid_machines() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let found = hierarchies(mounts);
        assert_eq!(found[0], Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(found[1], Path::new("/sys/fs/cgroup/memory"));
    }

    #[test]
    fn without_a_unified_hierarchy_there_is_none() {
        assert!(hierarchies("cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n").is_empty());
    }
}
