//! `cluster down`: whatever is there of a cluster goes, also of one whose start was killed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::cgroup::Cgroup;
use super::state::State;
use super::topology;

/// Removes processes, namespaces, files and the record. Logs stay. False when there was nothing.
///
/// # Errors
/// Something can't be removed; the message says what.
pub(super) fn remove(cluster: &str) -> Result<bool> {
    // A record of an older version does not keep the rest from being removed.
    let state = State::load(cluster).ok().flatten();
    let ran = Cgroup::of(cluster)?.remove()?;
    // The mounts went with the last process of their namespaces.
    let networks = topology::remove(cluster)?;
    if let Some(state) = &state {
        remove_files(&state.directory)?;
    }
    State::remove(cluster);
    Ok(ran || networks > 0 || state.is_some())
}

fn remove_files(directory: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for entry in entries.flatten().filter(|entry| entry.file_name() != "log") {
        let path = entry.path();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }
            .with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(())
}
