//! What is known of the cluster, in a file: a start without API server serves it.
//!
//! A journal: one line for each object, one more when it changes or goes, the last one counts. An
//! edit writes what it changes; when more than half of the file is outdated, what counts is copied
//! to a new file. A new file takes the place of the old one by a rename, so that at any moment the
//! whole of one state is there. Not synced: the file is for a new process, not for a crash of the
//! machine, and belongs on a tmpfs, because it holds the keys of Secrets. Mode 0600.
//!
//! ```text
//! genkan objects 1 https://192.0.2.1:6443/
//! +{"apiVersion":"v1","kind":"Service","metadata":{...},...}
//! -{"kind":"Service","namespace":"shop","name":"web"}
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hashbrown::HashMap;
use nix::libc::O_NOFOLLOW;
use nix::sys::statfs::{FsType, TMPFS_MAGIC, fstatfs};
use serde_json::{Value, json};

use super::item::Item;
use crate::model::ObjectRef;

/// The file that is written.
#[derive(Debug)]
pub(super) struct Cache {
    path: PathBuf,
    server: String,
    file: File,
    /// Bytes of the file, and those of lines that count.
    length: u64,
    live: u64,
    lines: HashMap<ObjectRef, Line>,
    /// It has the name under which it is looked for.
    is_published: bool,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    at: u64,
    length: u32,
}

/// What a file held.
pub(super) struct Kept {
    pub(super) items: Vec<Item>,
    /// When it was written last.
    pub(super) written: SystemTime,
}

const VERSION: &str = "genkan objects 1";
/// Outdated lines up to here are no reason to write a new file.
const SLACK: u64 = 1 << 20;
/// Of one line; the API server takes objects of 3 MiB.
const LONGEST_LINE: u64 = 16 << 20;

// === impl Cache ===

impl Cache {
    /// Begins a new file beside the present one.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or is not on a tmpfs and `on_disk` does not say that it may.
    pub(super) fn begin(path: &Path, server: &str, on_disk: bool) -> io::Result<Self> {
        let file = create(path)?;
        if !on_disk && !is_in_memory(&file)? {
            let _ = fs::remove_file(beside(path));
            let why = "not on a tmpfs: keys of Secrets would be written to a disk";
            return Err(io::Error::other(why));
        }
        let mut cache = Self {
            path: path.to_owned(),
            server: server.to_owned(),
            file,
            length: 0,
            live: 0,
            lines: HashMap::new(),
            is_published: false,
        };
        cache.write_header()?;
        Ok(cache)
    }

    /// Gives the file its name: what it holds is complete. Nothing to do from the second time on.
    pub(super) fn publish(&mut self) -> io::Result<()> {
        if !self.is_published {
            fs::rename(beside(&self.path), &self.path)?;
            self.is_published = true;
        }
        Ok(())
    }

    pub(super) fn put(&mut self, object: &ObjectRef, item: &Item) -> io::Result<()> {
        let mut line = Vec::with_capacity(1024);
        line.push(b'+');
        serde_json::to_writer(&mut line, item)?;
        line.push(b'\n');
        let place = Line { at: self.length, length: u32::try_from(line.len()).unwrap_or(u32::MAX) };
        self.append(&line)?;
        self.live += u64::from(place.length);
        if let Some(old) = self.lines.insert(object.clone(), place) {
            self.live -= u64::from(old.length);
        }
        self.tidy()
    }

    pub(super) fn remove(&mut self, object: &ObjectRef) -> io::Result<()> {
        let Some(old) = self.lines.remove(object) else { return Ok(()) };
        self.live -= u64::from(old.length);
        let (namespace, name) = (&*object.namespace, &*object.name);
        let gone = json!({"kind": object.kind.as_str(), "namespace": namespace, "name": name});
        self.append(format!("-{gone}\n").as_bytes())?;
        self.tidy()
    }

    /// Bytes of the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Takes the file away: it is not kept up any more.
    pub(super) fn discard(self) {
        let path = if self.is_published { self.path } else { beside(&self.path) };
        let _ = fs::remove_file(path);
    }

    fn write_header(&mut self) -> io::Result<()> {
        let header = format!("{VERSION} {}\n", self.server);
        self.append(header.as_bytes())?;
        self.live = self.length;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Copies what counts to a new file when most of this one does not.
    fn tidy(&mut self) -> io::Result<()> {
        if self.length - self.live <= self.live + SLACK {
            return Ok(());
        }
        if self.is_published && !self.is_named()? {
            // A successor has put its own file there, and this process is about to end.
            return Ok(());
        }
        let mut next = Self::begin(&self.path, &self.server, true)?;
        let mut bytes = Vec::new();
        for (object, line) in &self.lines {
            bytes.resize(line.length as usize, 0);
            self.file.read_exact_at(&mut bytes, line.at)?;
            next.lines.insert(object.clone(), Line { at: next.length, length: line.length });
            next.append(&bytes)?;
        }
        next.live = next.length;
        if self.is_published {
            next.publish()?;
        }
        *self = next;
        Ok(())
    }

    /// Whether the file under the name is this one.
    fn is_named(&self) -> io::Result<bool> {
        let own = self.file.metadata()?;
        let named = fs::symlink_metadata(&self.path);
        Ok(named.is_ok_and(|named| (named.dev(), named.ino()) == (own.dev(), own.ino())))
    }
}

/// What the file of an earlier process holds about this server; `None` without a file.
///
/// # Errors
///
/// When it cannot be read, is not this user's alone, or is about another server. A last line that
/// was not finished is left out.
pub(super) fn read(path: &Path, server: &str) -> io::Result<Option<Kept>> {
    let file = match OpenOptions::new().read(true).custom_flags(O_NOFOLLOW).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let facts = file.metadata()?;
    if facts.uid() != nix::unistd::geteuid().as_raw() || facts.mode() & 0o077 != 0 {
        return Err(io::Error::other("others than this user may write or read it"));
    }
    let mut reader = BufReader::new(file);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let expected = format!("{VERSION} {server}");
    if line.trim_end() != expected {
        let why = format!("it begins with {:?}, and not with {expected:?}", line.trim_end());
        return Err(io::Error::other(why));
    }
    let mut items: HashMap<(String, String, String), Item> = HashMap::new();
    loop {
        line.clear();
        let length = io::Read::take(&mut reader, LONGEST_LINE).read_line(&mut line)?;
        if length == 0 || !line.ends_with('\n') {
            break;
        }
        let (sign, text) = line.split_at_checked(1).unwrap_or_default();
        match sign {
            "+" => {
                let item: Item = serde_json::from_str(text)?;
                items.insert(item.identity(), item);
            }
            "-" => {
                let gone: Value = serde_json::from_str(text)?;
                let part = |key| gone[key].as_str().unwrap_or_default().to_owned();
                items.remove(&(part("kind"), part("namespace"), part("name")));
            }
            _ => return Err(io::Error::other("a line begins with neither + nor -")),
        }
    }
    Ok(Some(Kept { items: items.into_values().collect(), written: facts.modified()? }))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn create(path: &Path) -> io::Result<File> {
    let path = beside(path);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(path)
}

fn is_in_memory(file: &File) -> io::Result<bool> {
    const RAMFS: FsType = FsType(0x8584_58f6);
    let kind = fstatfs(file)?.filesystem_type();
    Ok(kind == TMPFS_MAGIC || kind == RAMFS)
}

#[cfg(test)]
mod tests;
