//! Files as a tar archive whose bytes depend on nothing but the files.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use tar::{Builder, EntryType, Header};

/// A regular file to be.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) content: Vec<u8>,
    /// Permission bits.
    pub(crate) mode: u32,
}

/// Files by their paths, without a leading slash.
pub(crate) type Tree = BTreeMap<String, File>;

/// Parents before children, otherwise by path; owned by root, at the beginning of time.
///
/// # Errors
/// A path does not fit the format.
pub(super) fn pack(tree: &Tree) -> Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    for directory in directories(tree) {
        let mut header = header(EntryType::Directory, 0o755, 0);
        archive
            .append_data(&mut header, format!("{directory}/"), &[][..])
            .with_context(|| format!("pack {directory}"))?;
    }
    for (path, file) in tree {
        let mut header = header(EntryType::Regular, file.mode, file.content.len() as u64);
        archive
            .append_data(&mut header, path, file.content.as_slice())
            .with_context(|| format!("pack {path}"))?;
    }
    archive.into_inner().context("finish an archive")
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// All directories that the files are in.
fn directories(tree: &Tree) -> BTreeSet<&str> {
    tree.keys().flat_map(|path| path.match_indices('/').map(move |(at, _)| &path[..at])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> File {
        File { content: content.into(), mode: 0o755 }
    }

    #[test]
    fn has_every_directory_before_what_is_in_it() {
        let tree = Tree::from([("a/b/c".to_owned(), file("1")), ("d".to_owned(), file("2"))]);
        let packed = pack(&tree).unwrap();
        let mut archive = tar::Archive::new(packed.as_slice());
        let paths: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(paths, ["a/", "a/b/", "a/b/c", "d"]);
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let tree = Tree::from([("x".to_owned(), file("1")), ("y/z".to_owned(), file("2"))]);
        assert_eq!(pack(&tree).unwrap(), pack(&tree.clone()).unwrap());
    }
}
