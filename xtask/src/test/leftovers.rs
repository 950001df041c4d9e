//! Network namespaces that killed test processes left behind.
//!
//! The lab of the tests names a namespace `gk<process id>x<number>-<host>`. Only those whose
//! process is gone are removed, with what still runs in them; nobody else's are touched.

use std::fs;
use std::path::Path;

use crate::program::{self, Program};

/// Where `ip netns` keeps the names of namespaces.
const NAMESPACES: &str = "/run/netns";

pub(super) fn sweep() {
    if !program::is_root() {
        return;
    }
    for entry in fs::read_dir(NAMESPACES).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if owner(&name).is_some_and(|process| !is_alive(process)) {
            remove(&name);
        }
    }
}

/// The process that made a namespace of the lab.
fn owner(namespace: &str) -> Option<u32> {
    let (process, rest) = namespace.strip_prefix("gk")?.split_once('x')?;
    rest.split_once('-')?.0.parse::<u32>().ok()?;
    process.parse().ok()
}

fn is_alive(process: u32) -> bool {
    Path::new("/proc").join(process.to_string()).exists()
}

fn remove(namespace: &str) {
    let inside = Program::new("ip").args(["netns", "pids", namespace]).output().unwrap_or_default();
    if !inside.trim().is_empty() {
        Program::new("kill").args(["-KILL"]).args(inside.split_whitespace()).succeeds();
    }
    if Program::new("ip").args(["netns", "delete", namespace]).succeeds() {
        println!("removed {namespace}, left behind by a killed run");
    }
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn only_names_of_the_lab_have_an_owner() {
        assert_eq!(owner("gk123x0-edge"), Some(123));
        assert_eq!(owner("gk123x0"), None);
        assert_eq!(owner("gkx0-edge"), None);
        assert_eq!(owner("demo-edge"), None);
    }
}
