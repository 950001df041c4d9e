//! A lab of test hosts: network namespaces joined by veth pairs, on this machine, as root.
//!
//! Each [`Host`] has its own network namespace and a mount namespace with its own bpffs. Names are
//! unique per run; everything goes when the lab is dropped, also by a panic, and a new lab removes
//! what killed runs left behind. Nothing touches the machine's own namespace.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

mod edge;
mod host;
mod pass;
mod process;

pub use edge::EdgeLab;
pub use host::Host;
pub use pass::PASS_PROGRAM;
pub use process::Process;

/// Where `ip netns` keeps the names of namespaces.
const NAMESPACES: &str = "/run/netns";
/// Namespaces of unnamed labs begin with this, followed by the process id and a counter.
const PREFIX: &str = "gk";

/// The hosts of one test, and their end.
#[derive(Debug)]
pub struct Lab {
    name: String,
    hosts: Vec<Host>,
    keep: bool,
}

// === impl Lab ===

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Lab {
    /// A lab with a name that no other run uses.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let pid = std::process::id();
        sweep(dead_owner);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { name: format!("{PREFIX}{pid}x{count}"), hosts: Vec::new(), keep: false }
    }

    /// A lab with a fixed name: what is left of an earlier one with that name is removed first.
    pub fn named(name: &str) -> Self {
        remove_named(name);
        Self { name: name.to_owned(), hosts: Vec::new(), keep: false }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A new host, with nothing but loopback.
    pub fn host(&mut self, name: &str) -> Host {
        let host = Host::create(&self.name, name);
        eprintln!("{name}: {}", host.enter_hint());
        self.hosts.push(host.clone());
        host
    }

    /// A veth pair between two hosts, up, without transmit checksum offload: what is redirected or
    /// rewritten on the way would keep its partial checksum.
    pub fn link(&self, one: (&Host, &str), other: (&Host, &str)) {
        let (a, b) = (one.0.namespace(), other.0.namespace());
        run(
            "ip",
            &["-n", a, "link", "add", one.1, "type", "veth", "peer", "name", other.1, "netns", b],
        );
        for (host, interface) in [one, other] {
            host.output("ethtool", &["-K", interface, "tx", "off"]);
            host.ip(&["link", "set", interface, "up"]);
        }
    }

    /// Leaves the hosts up when this value goes.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        for host in self.hosts.drain(..) {
            remove(host.namespace());
        }
    }
}

/// Removes every host of the lab with this name, and the processes in them.
pub fn remove_named(name: &str) {
    let name = name.to_owned();
    sweep(|lab| lab == name);
}

/// `203.0.113.1/32`, `2001:db8::1/128`.
pub fn host_prefix(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}/32"),
        IpAddr::V6(address) => format!("{address}/128"),
    }
}

fn sweep(gone: impl Fn(&str) -> bool) {
    let Ok(entries) = std::fs::read_dir(NAMESPACES) else { return };
    for entry in entries.flatten() {
        let file = entry.file_name();
        let Some((lab, _)) = file.to_str().and_then(|name| name.rsplit_once('-')) else { continue };
        if gone(lab) {
            remove(&file.to_string_lossy());
        }
    }
}

/// Whether the process that made this unnamed lab is gone.
fn dead_owner(lab: &str) -> bool {
    let pid = lab.strip_prefix(PREFIX).and_then(|rest| rest.split_once('x'));
    pid.and_then(|(pid, _)| pid.parse::<u32>().ok())
        .is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}

/// Ends the processes of a namespace and removes it. What is gone already is no error.
fn remove(namespace: &str) {
    if let Ok(output) = Command::new("ip").args(["netns", "pids", namespace]).output() {
        let own = nix::unistd::getpid();
        for pid in String::from_utf8_lossy(&output.stdout).split_whitespace() {
            let Ok(pid) = pid.parse() else { continue };
            let pid = nix::unistd::Pid::from_raw(pid);
            if pid != own {
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            }
        }
    }
    let _ = Command::new("ip").args(["netns", "del", namespace]).output();
}

fn namespace_path(namespace: &str) -> PathBuf {
    Path::new(NAMESPACES).join(namespace)
}

/// Runs a tool to its end. Panics with its output when it fails.
fn run(program: &str, arguments: &[&str]) -> String {
    checked(Command::new(program).args(arguments))
}

fn checked(command: &mut Command) -> String {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            panic!("{command:?}: not installed")
        }
        Err(error) => panic!("{command:?}: {error}"),
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}{errors}", output.status);
    text
}

#[cfg(test)]
mod tests;
