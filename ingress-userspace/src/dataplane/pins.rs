//! Where maps and links are pinned, so that they outlive the process.
//!
//! `<directory>/maps-<ABI>/<MAP>` and `<directory>/links/{dispatch, steer-<ifindex>}`. Paths and
//! files only: nothing here knows what is pinned. Who may change it: [`Hold`].

use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::DataplaneError;
use crate::net::sys;

mod hold;

pub use hold::Hold;

const DEFAULT: &str = "/sys/fs/bpf/genkan";
const FILE_SYSTEM: &str = "/sys/fs/bpf";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pins {
    directory: PathBuf,
}

// === impl Pins ===

impl Default for Pins {
    fn default() -> Self {
        Self::new(DEFAULT)
    }
}

impl Pins {
    /// Below a directory of a BPF file system.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the directories, and mounts the BPF file system where it is missing.
    pub(super) fn prepare(&self) -> Result<(), DataplaneError> {
        if !self.on_bpf_file_system() {
            let none = None::<&str>;
            let mounted = if self.directory.starts_with(FILE_SYSTEM) {
                mount(Some("bpf"), FILE_SYSTEM, Some("bpf"), MsFlags::empty(), none)
                    .map_err(io::Error::from)
            } else {
                Err(io::Error::other("only /sys/fs/bpf is mounted by genkan itself"))
            };
            mounted.map_err(|source| DataplaneError::PinFileSystem {
                path: self.directory.clone(),
                source,
            })?;
            tracing::info!(target: "genkan::dataplane", "mounted the BPF file system");
        }
        for directory in [self.maps(), self.links()] {
            std::fs::create_dir_all(&directory).map_err(|error| {
                DataplaneError::io(format!("create {}", directory.display()), error)
            })?;
        }
        Ok(())
    }

    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }

    pub(super) fn dispatch(&self) -> PathBuf {
        self.links().join("dispatch")
    }

    /// Where a new `dispatch` waits to take the place of the old one. No dot: bpffs refuses it.
    pub(super) fn next_dispatch(&self) -> PathBuf {
        self.links().join("dispatch-next")
    }

    pub(super) fn steer(&self, interface: u32) -> PathBuf {
        self.links().join(format!("steer-{interface}"))
    }

    /// The pins of `steer`, with the index of their device.
    pub(super) fn steers(&self) -> Vec<(u32, PathBuf)> {
        let named = |path: PathBuf| {
            let name = path.file_name()?.to_str()?;
            Some((name.strip_prefix("steer-")?.parse().ok()?, path))
        };
        entries(&self.links()).into_iter().filter_map(named).collect()
    }

    /// An empty place for maps that are to replace the pinned ones of this version.
    pub(super) fn stage_maps(&self) -> io::Result<()> {
        remove_all(&self.staged_maps())?;
        std::fs::create_dir(self.staged_maps())
    }

    pub(super) fn staged_map(&self, name: &str) -> PathBuf {
        self.staged_maps().join(name)
    }

    /// Puts the staged maps in the place of the pinned ones.
    pub(super) fn switch_maps(&self) -> io::Result<()> {
        remove_all(&self.maps())?;
        std::fs::rename(self.staged_maps(), self.maps())
    }

    /// Unpins what other versions have left. Returns their directories.
    pub(super) fn remove_other_versions(&self) -> io::Result<Vec<PathBuf>> {
        let (maps, links) = (self.maps(), self.links());
        let others: Vec<PathBuf> = entries(&self.directory)
            .into_iter()
            .filter(|path| *path != maps && *path != links)
            .collect();
        for other in &others {
            remove_all(other)?;
        }
        Ok(others)
    }

    /// Unpins everything, links first: with them the programs go. Returns how many pins there were.
    pub(super) fn remove(&self) -> io::Result<usize> {
        let mut removed = 0;
        for link in entries(&self.links()) {
            release_link(&link)?;
            removed += 1;
        }
        for directory in entries(&self.directory) {
            removed += entries(&directory).len();
            remove_all(&directory)?;
        }
        ignore_missing(std::fs::remove_dir(&self.directory))?;
        Ok(removed)
    }

    fn maps(&self) -> PathBuf {
        self.directory.join(format!("maps-{}", ingress_common::ABI))
    }

    /// No dot: bpffs refuses it.
    fn staged_maps(&self) -> PathBuf {
        self.directory.join(format!("maps-{}-next", ingress_common::ABI))
    }

    fn links(&self) -> PathBuf {
        self.directory.join("links")
    }

    /// Whether the nearest existing parent is on a bpffs.
    fn on_bpf_file_system(&self) -> bool {
        let existing = self.directory.ancestors().find(|path| path.exists());
        existing
            .and_then(|path| statfs(path).ok())
            .is_some_and(|facts| facts.filesystem_type() == BPF_FS_MAGIC)
    }
}

/// Detaches the program of a pinned link, then unpins it. Nothing happens when it is not there.
pub(super) fn release_link(path: &Path) -> io::Result<()> {
    match sys::detach_pinned_link(path) {
        // ENOLINK: its device is gone, and the link has let go.
        Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => {}
        other => ignore_missing(other)?,
    }
    unpin(path)
}

/// Unpins one object. Nothing happens when it is not there.
pub(super) fn unpin(path: &Path) -> io::Result<()> {
    ignore_missing(std::fs::remove_file(path))
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).collect()
}

/// A pin directory holds no directories.
fn remove_all(directory: &Path) -> io::Result<()> {
    for pin in entries(directory) {
        unpin(&pin)?;
    }
    ignore_missing(std::fs::remove_dir(directory))
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
