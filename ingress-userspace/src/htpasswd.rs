//! Password entries as `htpasswd` and `crypt(3)` write them: read once, checked for each password.
//!
//! In: the text of a password file, or names and hashes. Out: [`Users`] with the entries that can be
//! checked, and a [`Fault`] for each that cannot. Pure. Nothing of it is ever shown: `Debug` tells
//! the number of users only.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

mod entry;
mod md5_crypt;

pub use entry::{Entry, MAX_PASSWORD};

/// Who may come in with which password.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Written", from = "Written")]
pub struct Users {
    /// By name; the first entry of a name counts, as in nginx. Absent: it cannot be checked, which
    /// locks the user out whatever follows.
    entries: BTreeMap<Box<[u8]>, Option<Entry>>,
    /// Name of an entry that takes as long to check as any.
    decoy: Option<Box<[u8]>>,
}

type Name = Box<[u8]>;
type Hash = Box<str>;

/// Users as they go to another process: each name with its hash, where there is a usable one. The
/// decoy goes along, because which entry it is depends on their order in the file.
#[derive(Serialize, Deserialize)]
struct Written {
    entries: Vec<(Name, Option<Hash>)>,
    decoy: Option<Box<[u8]>>,
}

/// An entry that is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `line 3`, or `user "x"`.
    pub place: String,
    pub why: &'static str,
}

// === impl Users ===

impl Users {
    /// Reads a password file: `user:hash` on each line, more after another colon is a remark.
    pub fn read(file: &[u8]) -> (Self, Vec<Fault>) {
        let (mut users, mut faults) = (Self::default(), Vec::new());
        for (number, line) in file.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let mut parts = line.split(|byte| *byte == b':');
            let read = match (parts.next(), parts.next()) {
                (Some(name), Some(hash)) if !name.is_empty() => users.add(name, hash),
                _ => Err("not user:hash"),
            };
            if let Err(why) = read {
                faults.push(Fault { place: format!("line {}", number + 1), why });
            }
        }
        (users, faults)
    }

    /// Reads a hash for each name.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> (Self, Vec<Fault>) {
        let (mut users, mut faults) = (Self::default(), Vec::new());
        for (name, hash) in pairs {
            if let Err(why) = users.add(name.as_bytes(), hash.trim_ascii_end()) {
                faults.push(Fault { place: format!("user {name:?}"), why });
            }
        }
        (users, faults)
    }

    pub fn find(&self, name: &[u8]) -> Option<&Entry> {
        self.entries.get(name)?.as_ref()
    }

    /// What a password of an unknown user is checked against, so that the time of a refusal does
    /// not tell who exists: an entry that is meant to take long, when there is one.
    pub fn decoy(&self) -> Option<&Entry> {
        self.find(self.decoy.as_ref()?)
    }

    pub fn is_empty(&self) -> bool {
        self.decoy.is_none()
    }

    fn add(&mut self, name: &[u8], hash: &[u8]) -> Result<(), &'static str> {
        if self.entries.contains_key(name) {
            return Err("a second entry of this user; the first counts");
        }
        let read = Entry::read(hash);
        if let Ok(entry) = &read
            && self.decoy().is_none_or(|decoy| decoy.is_cheap() && !entry.is_cheap())
        {
            self.decoy = Some(name.into());
        }
        self.entries.insert(name.into(), read.clone().ok());
        read.map(drop)
    }
}

impl From<Users> for Written {
    fn from(users: Users) -> Self {
        let hash = |entry: Option<Entry>| entry.map(|entry| Box::from(&**entry.text()));
        let entries = users.entries.into_iter().map(|(name, entry)| (name, hash(entry)));
        Self { entries: entries.collect(), decoy: users.decoy }
    }
}

impl From<Written> for Users {
    /// A hash that cannot be checked locks its user out, as everywhere.
    fn from(written: Written) -> Self {
        let entry = |hash: Option<Box<str>>| Entry::read(hash?.as_bytes()).ok();
        let entries = written.entries.into_iter().map(|(name, hash)| (name, entry(hash)));
        Self { entries: entries.collect(), decoy: written.decoy }
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({})", self.entries.values().flatten().count())
    }
}

#[cfg(test)]
mod tests;
