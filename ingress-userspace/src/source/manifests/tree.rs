//! The directory tree on disk: which files there are, which have changed, what they hold.
//!
//! Out: [`Content`]s of changed files. The only part of the source that reads the file system; it
//! knows nothing of what is in the files.
//!
//! Files ending in `.yaml`, `.yml` and `.json` are read, in subdirectories too. Names that begin
//! with a dot are not: editors keep their temporary files there, and a mounted ConfigMap its
//! versions (`..data`); its visible files are symlinks and are followed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::catalog::Content;

/// A file beyond this many bytes is refused.
const FILE_LIMIT: u64 = 256 << 20;

/// A file that was written less than this before it was read may be written once more without a
/// visible change of its times.
const RACY: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    /// Files known to the receiver. `None`: to be read again in any case.
    known: BTreeMap<PathBuf, Option<Stamp>>,
    /// Directories that could not be listed the last time.
    closed: BTreeSet<PathBuf>,
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
}

// === impl Tree ===

impl Tree {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), known: BTreeMap::new(), closed: BTreeSet::new() }
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

    /// Looks at every file of the tree and reads those that have changed; `busy` ones are left for
    /// later. With `afresh` all are read.
    pub(super) fn scan(
        &mut self,
        afresh: bool,
        busy: impl Fn(&Path) -> bool,
    ) -> Vec<(PathBuf, Content)> {
        let mut found = Found::default();
        walk(&self.root, &mut Vec::new(), &mut found);

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
            out.push((path, Content::Gone));
        }
        for opened in self.closed.iter().filter(|path| !found.closed.contains_key(*path)) {
            out.push((opened.clone(), Content::Gone));
        }
        self.closed = found.closed.keys().cloned().collect();
        for (path, reason) in found.closed {
            out.push((path, Content::Unreadable(reason)));
        }
        for (path, stamp) in found.files {
            let same = self.known.get(&path).is_some_and(|known| *known == Some(stamp));
            if (afresh || !same) && !busy(&path) {
                out.extend(self.read(path));
            }
        }
        out
    }

    /// Reads one file whatever its times say; `None` when the path is no file, so that a scan has
    /// to tell what became of it.
    pub(super) fn read(&mut self, path: PathBuf) -> Option<(PathBuf, Content)> {
        let (content, stamp) = match read_file(&path) {
            Ok((text, stamp)) => (Content::Text(text), stamp),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.known.remove(&path);
                return Some((path, Content::Gone));
            }
            Err(error) if error.kind() == ErrorKind::IsADirectory => return None,
            Err(error) => (Content::Unreadable(error.to_string()), None),
        };
        self.known.insert(path.clone(), stamp);
        Some((path, content))
    }
}

fn walk(directory: &Path, above: &mut Vec<(u64, u64)>, found: &mut Found) {
    let depth = above.len();
    let list = |above: &mut Vec<(u64, u64)>| -> io::Result<Vec<(PathBuf, Metadata)>> {
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

fn read_file(path: &Path) -> io::Result<(String, Option<Stamp>)> {
    let metadata = fs::metadata(path)?;
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
    let text = fs::read_to_string(path)?;
    let settled = metadata
        .modified()
        .ok()
        .and_then(|modified| SystemTime::now().duration_since(modified).ok())
        .is_some_and(|age| age > RACY);
    Ok((text, settled.then(|| Stamp::of(&metadata))))
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
}
