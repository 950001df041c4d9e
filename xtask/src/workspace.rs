//! Where things are: the workspace root, its tracked files, and directories for logs and caches.
//!
//! Everything is found at run time, so that a moved or copied checkout keeps working and no path
//! of the machine that compiled `xtask` is in the binary.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::program::Program;

/// The directory with the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    let here = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .or_else(|| env::current_dir().ok())
        .unwrap_or_else(|| PathBuf::from("."));
    here.ancestors()
        .find(|directory| directory.join("Cargo.lock").is_file())
        .map_or_else(|| here.clone(), Path::to_path_buf)
}

/// Cargo's target directory for this workspace.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A directory under the target directory that belongs to `xtask`; created when absent.
///
/// # Errors
/// The directory can't be created.
pub(crate) fn own(name: &str) -> Result<PathBuf> {
    let directory = target().join("xtask").join(name);
    fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    Ok(directory)
}

/// A directory for what is built once for all checkouts: `$XDG_CACHE_HOME/genkan/NAME`, by default
/// in `~/.cache`; created when absent.
///
/// # Errors
/// No variable says where, or the directory can't be created.
pub(crate) fn cache(name: &str) -> Result<PathBuf> {
    let base = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME says where to keep what is built")?;
    let cache = base.join("genkan").join(name);
    fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
    Ok(cache)
}

/// Files that git tracks or would track (new and not ignored), relative to the root, in order.
///
/// # Errors
/// git is missing or this is no git checkout.
pub(crate) fn files() -> Result<Vec<String>> {
    let listed = Program::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .output()?;
    let root = root();
    let mut files: Vec<String> = listed
        .split('\0')
        .filter(|name| !name.is_empty() && root.join(name).is_file())
        .map(str::to_owned)
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}
