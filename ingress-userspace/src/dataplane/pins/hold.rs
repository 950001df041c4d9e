//! Who may write what is pinned: one process at a time.
//!
//! Everybody who sees the same BPF file system finds the pins; processes find each other only in
//! the same runtime directory. So the lock is where the pins are: an exclusive `flock` on the pin
//! directory itself. It belongs to the open descriptor and ends with its last copy, also when its
//! owner is killed. A successor gets a copy, so that no third process can come between both.

use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Pins;
use crate::dataplane::DataplaneError;

/// An owner that has just been killed or told to stop is about to let go.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

/// The right to write the pinned maps and to replace the pinned links. Dropping it gives it back.
#[derive(Debug)]
pub struct Hold {
    directory: File,
}

// === impl Hold ===

impl Hold {
    /// Waits some seconds for an owner that is about to end. Makes the pin directory where it is
    /// missing.
    ///
    /// # Errors
    ///
    /// [`DataplaneError::Held`] when another process has it, and what kept the directory from being
    /// made.
    pub fn take(pins: &Pins) -> Result<Self, DataplaneError> {
        let advice = "it cannot be asked for its place, because it has another --runtime-dir, or \
                      one of both cannot use its own: give both the same one, or stop it first";
        patiently(pins, advice, || {
            pins.prepare()?;
            // Removed at this very moment: once more.
            Ok(lock(pins)?.unwrap_or(Lock::Held))
        })
    }

    /// The same for whoever takes everything away: `None` when nothing is there.
    ///
    /// # Errors
    ///
    /// [`DataplaneError::Held`].
    pub(in crate::dataplane) fn take_existing(pins: &Pins) -> Result<Option<Self>, DataplaneError> {
        let advice = "stop it first, or use --force: it serves its VIPs no more then, and has to \
                      be started anew";
        if lock(pins)?.is_none() {
            return Ok(None);
        }
        patiently(pins, advice, || Ok(lock(pins)?.unwrap_or(Lock::Held))).map(Some)
    }

    /// A copy for a successor. Both hold it until they drop their own.
    pub fn share(&self) -> io::Result<OwnedFd> {
        self.directory.as_fd().try_clone_to_owned()
    }

    /// The other end of [`Self::share`]. `None`: the pins have been removed since, or the copy is
    /// none; then the hold of what is there now has to be taken.
    pub fn shared(copy: OwnedFd, pins: &Pins) -> Option<Self> {
        let hold = Self { directory: File::from(copy) };
        // A lock that the descriptor has already is granted again.
        (hold.is_of(pins) && hold.directory.try_lock().is_ok()).then_some(hold)
    }

    /// Whether this is still the directory in which pins are found.
    fn is_of(&self, pins: &Pins) -> bool {
        let own = self.directory.metadata().map(|found| identity(&found));
        let there = std::fs::metadata(pins.directory()).map(|found| identity(&found));
        matches!((own, there), (Ok(own), Ok(there)) if own == there)
    }
}

enum Lock {
    Ours(Hold),
    Held,
}

/// `None`: there is no such directory.
fn lock(pins: &Pins) -> Result<Option<Lock>, DataplaneError> {
    let path = pins.directory();
    let failed = |attempt: &str, source| {
        DataplaneError::io(format!("{attempt} the pin directory {}", path.display()), source)
    };
    let directory = match File::open(path) {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", error)),
    };
    match directory.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Some(Lock::Held)),
        Err(TryLockError::Error(error)) => return Err(failed("lock", error)),
    }
    let hold = Hold { directory };
    // The lock of a directory that was removed meanwhile keeps nobody out.
    Ok(Some(if hold.is_of(pins) { Lock::Ours(hold) } else { Lock::Held }))
}

fn patiently(
    pins: &Pins,
    advice: &'static str,
    mut attempt: impl FnMut() -> Result<Lock, DataplaneError>,
) -> Result<Hold, DataplaneError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt()? {
            Lock::Ours(hold) => return Ok(hold),
            Lock::Held if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Lock::Held => {
                let path = pins.directory().to_owned();
                return Err(DataplaneError::Held { by: owner(&path), path, advice });
            }
        }
    }
}

/// The process with the lock, in words. Not every process can be looked at.
fn owner(directory: &Path) -> String {
    let unknown = || "a process that cannot be seen from here".to_owned();
    let Ok(directory) = std::fs::metadata(directory) else { return unknown() };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    // Not `self`.
    let numbered = processes.filter(|process| {
        process.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok())
    });
    let mut owners = numbered.map(|process| process.path()).filter(|process| {
        let descriptors = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        descriptors.into_iter().any(|descriptor| {
            let same = std::fs::metadata(descriptor.path())
                .is_ok_and(|open| identity(&open) == identity(&directory));
            let facts = process.join("fdinfo").join(descriptor.file_name());
            // The kernel shows a lock where it is held (proc(5), `lock:`).
            same && std::fs::read_to_string(facts).is_ok_and(|facts| facts.contains("FLOCK"))
        })
    });
    let Some(owner) = owners.next() else { return unknown() };
    let number = owner.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = std::fs::read_to_string(owner.join("comm")).unwrap_or_default();
    format!("process {number} ({})", name.trim())
}

fn identity(found: &std::fs::Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lock of any directory is the same; that of a BPF file system is in the stories.
    fn pins() -> (tempfile::TempDir, Pins) {
        let directory = tempfile::tempdir().unwrap();
        let pins = Pins::new(directory.path().join("genkan"));
        std::fs::create_dir(pins.directory()).unwrap();
        (directory, pins)
    }

    fn taken(pins: &Pins) -> Option<Hold> {
        match lock(pins).unwrap().unwrap() {
            Lock::Ours(hold) => Some(hold),
            Lock::Held => None,
        }
    }

    /// Tests beside this one start programs: between fork and exec these have copies.
    fn soon(pins: &Pins) -> Hold {
        patiently(pins, "", || Ok(lock(pins)?.unwrap_or(Lock::Held))).unwrap()
    }

    #[test]
    fn one_at_a_time_and_the_owner_is_named() {
        let (_directory, pins) = pins();
        let hold = taken(&pins).unwrap();
        assert!(taken(&pins).is_none());
        assert!(owner(pins.directory()).starts_with(&format!("process {} (", std::process::id())));
        drop(hold);
        soon(&pins);
    }

    #[test]
    fn copy_holds_when_the_first_owner_lets_go() {
        let (_directory, pins) = pins();
        let hold = taken(&pins).unwrap();
        let copy = Hold::shared(hold.share().unwrap(), &pins).unwrap();
        drop(hold);
        assert!(taken(&pins).is_none());
        drop(copy);
        soon(&pins);
    }

    #[test]
    fn hold_of_a_directory_that_was_removed_is_none() {
        let (_directory, pins) = pins();
        let hold = taken(&pins).unwrap();
        std::fs::remove_dir(pins.directory()).unwrap();
        assert!(lock(&pins).unwrap().is_none(), "nothing is there");
        assert!(Hold::take_existing(&pins).unwrap().is_none());
        std::fs::create_dir(pins.directory()).unwrap();
        assert!(Hold::shared(hold.share().unwrap(), &pins).is_none());
        soon(&pins);
    }

    #[test]
    fn children_do_not_inherit_it() {
        let (_directory, pins) = pins();
        let hold = taken(&pins).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        drop(hold);
        soon(&pins);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
