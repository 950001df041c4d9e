//! The directory tree on disk: which files there are, which have changed, what they hold.
//!
//! Out: [`Content`]s of changed files. The only part of the source that reads the file system; it
//! knows nothing of what is in the files, but doubts what may be half of a file: one that changed
//! while it was read, that its writer has emptied, or that became shorter in its place. A file that
//! was replaced is whole.
//!
//! Files ending in `.yaml`, `.yml` and `.json` are read, in subdirectories too. Names that begin
//! with a dot are not: editors keep their temporary files there, and a mounted ConfigMap its
//! versions (`..data`); its visible files are symlinks and are followed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::catalog::Content;

/// A file beyond this many bytes is refused.
const FILE_LIMIT: u64 = 256 << 20;

/// A file that was written less than this before it was read may be written once more without a
/// visible change of its times.
const RACY: Duration = Duration::from_secs(2);

/// Time for the event of a writer that has just begun to come.
const CONFIRM: Duration = Duration::from_millis(15);

/// An empty file that held something is waiting for its new content, more often than not.
const CONFIRM_EMPTY: Duration = Duration::from_secs(1);

/// In a file that was written less than this ago somebody may still be writing.
const YOUNG: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    /// Files known to the receiver. `None`: was not readable.
    known: BTreeMap<PathBuf, Option<Known>>,
    /// Directories that could not be listed the last time.
    closed: BTreeSet<PathBuf>,
    /// Something in the tree is a symlink, so that what names and places say is not all.
    has_links: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    stamp: Stamp,
    /// Written so shortly before it was read that it has to be read again in any case.
    racy: bool,
}

/// One look at a path.
#[derive(Debug)]
pub(super) enum Look {
    Content(PathBuf, Content),
    /// What it holds may be half of what it is going to hold: to be looked at again after this
    /// long without an event.
    Doubtful(PathBuf, Duration),
    /// A scan has to tell what became of it.
    NoFile,
}

/// When equal, the content is taken to be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What one walk over the tree has found.
#[derive(Debug, Default)]
struct Found {
    files: BTreeMap<PathBuf, Stamp>,
    closed: BTreeMap<PathBuf, String>,
    has_links: bool,
}

// === impl Tree ===

impl Tree {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            known: BTreeMap::new(),
            closed: BTreeSet::new(),
            has_links: false,
        }
    }

    /// Whether `path`, which lies in the tree, may be a manifest by its name.
    pub(super) fn is_manifest(&self, path: &Path) -> bool {
        let inside = path.strip_prefix(&self.root).unwrap_or(path);
        let visible = inside.iter().all(|name| !is_hidden(name));
        visible && has_manifest_extension(path)
    }

    /// Identity of the root directory, to notice that another one took its place.
    pub(super) fn root_identity(&self) -> Option<(u64, u64)> {
        fs::metadata(&self.root).ok().map(|metadata| (metadata.dev(), metadata.ino()))
    }

    /// Whether an event on `path`, which is no manifest by its name, may concern one: not for the
    /// temporary files of editors, unless a symlink could lead there.
    pub(super) fn may_matter(&self, path: &Path) -> bool {
        if self.has_links {
            return true;
        }
        let inside = path.strip_prefix(&self.root).unwrap_or(path);
        if inside.iter().any(is_hidden) {
            return false;
        }
        // What is not there may have been a directory.
        fs::symlink_metadata(path).map_or(true, |metadata| !metadata.is_file())
    }

    /// Looks at every file of the tree and reads those that have changed, with `afresh` all;
    /// `busy` ones are left for later.
    pub(super) fn scan(&mut self, afresh: bool, busy: impl Fn(&Path) -> bool) -> Vec<Look> {
        let mut found = Found::default();
        walk(&self.root, &mut Vec::new(), &mut found);
        self.has_links = found.has_links;

        let mut out = Vec::new();
        // What lies in a directory that cannot be listed now is neither gone nor changed.
        let gone: Vec<PathBuf> = self
            .known
            .keys()
            .filter(|path| !found.files.contains_key(*path))
            .filter(|path| !path.ancestors().any(|above| found.closed.contains_key(above)))
            .cloned()
            .collect();
        for path in gone {
            self.known.remove(&path);
            out.push(Look::Content(path, Content::Gone));
        }
        for opened in self.closed.iter().filter(|path| !found.closed.contains_key(*path)) {
            out.push(Look::Content(opened.clone(), Content::Gone));
        }
        self.closed = found.closed.keys().cloned().collect();
        for (path, reason) in found.closed {
            out.push(Look::Content(path, Content::Unreadable(reason)));
        }
        for (path, stamp) in found.files {
            let known = self.known.get(&path).copied().flatten();
            let same = known.is_some_and(|known| known.stamp == stamp && !known.racy);
            if busy(&path) || (same && !afresh) {
                continue;
            }
            // No event has said that its writer is done.
            if known.is_some_and(|known| known.stamp.is_newer_in_place(stamp)) && stamp.is_young() {
                out.push(Look::Doubtful(path, CONFIRM));
            } else {
                out.push(self.read(path, false));
            }
        }
        out
    }

    /// Reads one file whatever its times say. `confirmed`: it was doubted, and nothing has
    /// happened to it since.
    pub(super) fn read(&mut self, path: PathBuf, confirmed: bool) -> Look {
        let known = self.known.get(&path).copied().flatten();
        let (text, stamp) = match read_file(&path) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.known.remove(&path);
                return Look::Content(path, Content::Gone);
            }
            Err(error) if error.kind() == ErrorKind::IsADirectory => return Look::NoFile,
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                return Look::Doubtful(path, CONFIRM);
            }
            Err(error) => {
                self.known.insert(path.clone(), None);
                return Look::Content(path, Content::Unreadable(error.to_string()));
            }
        };
        if let Some(known) = known.filter(|_| !confirmed) {
            if text.trim().is_empty() && known.stamp.length > 0 {
                return Look::Doubtful(path, CONFIRM_EMPTY);
            }
            if known.stamp.is_shorter_in_place(stamp) {
                return Look::Doubtful(path, CONFIRM);
            }
        }
        self.known.insert(path.clone(), Some(Known { stamp, racy: stamp.is_racy() }));
        Look::Content(path, Content::Text(text))
    }
}

fn walk(directory: &Path, above: &mut Vec<(u64, u64)>, found: &mut Found) {
    let depth = above.len();
    let mut list = |above: &mut Vec<(u64, u64)>| -> io::Result<Vec<(PathBuf, Metadata)>> {
        let metadata = fs::metadata(directory)?;
        let identity = (metadata.dev(), metadata.ino());
        if above.contains(&identity) {
            // A symlink to a directory above.
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if is_hidden(&entry.file_name()) {
                continue;
            }
            found.has_links |= entry.file_type()?.is_symlink();
            // Without a target: a dangling symlink, or gone since it was listed.
            if let Ok(metadata) = fs::metadata(entry.path()) {
                entries.push((entry.path(), metadata));
            }
        }
        above.push(identity);
        Ok(entries)
    };
    match list(above) {
        Ok(entries) => {
            for (path, metadata) in entries {
                if metadata.is_dir() {
                    walk(&path, above, found);
                } else if metadata.is_file() && has_manifest_extension(&path) {
                    found.files.insert(path, Stamp::of(&metadata));
                }
            }
        }
        // A subdirectory that went away between two steps is gone, not closed.
        Err(error) if error.kind() == ErrorKind::NotFound && depth > 0 => {}
        Err(error) => {
            let reason = format!("the directory cannot be read: {error}");
            found.closed.insert(directory.to_owned(), reason);
        }
    }
    above.truncate(depth);
}

/// [`ErrorKind::ResourceBusy`] when it changed meanwhile.
fn read_file(path: &Path) -> io::Result<(String, Stamp)> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if metadata.len() > FILE_LIMIT {
        return Err(io::Error::other(format!(
            "{} bytes, at most {FILE_LIMIT} are read",
            metadata.len()
        )));
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let stamp = Stamp::of(&metadata);
    if Stamp::of(&file.metadata()?) != stamp {
        return Err(ErrorKind::ResourceBusy.into());
    }
    Ok((text, stamp))
}

fn is_hidden(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn has_manifest_extension(path: &Path) -> bool {
    path.extension().and_then(|e| e.to_str()).is_some_and(|e| matches!(e, "yaml" | "yml" | "json"))
}

// === impl Stamp ===

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether `now` is the same file with other content.
    fn is_newer_in_place(self, now: Self) -> bool {
        self != now && (self.device, self.inode) == (now.device, now.inode)
    }

    fn is_shorter_in_place(self, now: Self) -> bool {
        self.is_newer_in_place(now) && now.length < self.length
    }

    fn is_young(self) -> bool {
        self.age().is_none_or(|age| age < YOUNG)
    }

    fn is_racy(self) -> bool {
        self.age().is_none_or(|age| age < RACY)
    }

    /// `None` for a time to come.
    fn age(self) -> Option<Duration> {
        let (seconds, nanos) = self.modified;
        let modified = UNIX_EPOCH
            + Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanos).unwrap_or(0));
        SystemTime::now().duration_since(modified).ok()
    }
}
