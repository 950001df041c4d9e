//! A service manager: a real systemd that runs a unit on a lab host.
//!
//! It is process 1 of its own process, mount and cgroup namespaces and has the root file system of
//! this machine as a copy that vanishes. It knows the unit under test and the targets that units
//! need by default, nothing else: no unit of the machine is started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::deadline::{DEADLINE, eventually_some};
use super::lab::{Host, Process};

const BOOT: &str = include_str!("service_host/boot.sh");
/// What units depend on unless they say otherwise.
const TARGETS: [&str; 6] =
    ["default", "sysinit", "basic", "shutdown", "network-online", "multi-user"];

/// A running systemd. Everything that it has started ends when it is dropped.
#[derive(Debug)]
pub struct ServiceHost {
    boot: Process,
    /// Its process number on this machine.
    manager: i32,
    units: PathBuf,
    _directory: TempDir,
}

// === impl ServiceHost ===

impl ServiceHost {
    /// Boots on `host` with one unit, whose `/usr/bin/genkan` is `program` and whose `/etc/genkan`
    /// is the directory `configuration`.
    pub fn boot(host: &Host, unit: &Path, program: &Path, configuration: &Path) -> Self {
        let directory = tempfile::Builder::new().prefix("genkan-systemd").tempdir().unwrap();
        let (root, units) = (directory.path().join("root"), directory.path().join("units"));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&units).unwrap();
        for target in TARGETS {
            let text = format!("[Unit]\nDescription={target}\nDefaultDependencies=no\n");
            fs::write(units.join(format!("{target}.target")), text).unwrap();
        }
        fs::copy(unit, units.join(unit.file_name().unwrap())).unwrap();
        let paths = [&root, program, configuration, &units].map(|path| path.to_str().unwrap());
        let mut arguments = vec!["-c", BOOT, "sh"];
        arguments.extend(paths);
        let boot = host.spawn("sh", &arguments);
        let line = boot.wait_for_line("started ", DEADLINE);
        let unshare: u32 = line.trim_start_matches("started ").parse().unwrap();
        let manager = eventually_some("systemd is process 1", || manager_below(unshare));
        let started = Self { boot, manager, units, _directory: directory };
        eventually_some("systemd answers", || {
            let output = started.systemctl(&["is-active", "default.target"]);
            output.stdout.starts_with(b"active").then_some(())
        });
        started
    }

    /// Adds a drop-in to the unit.
    pub fn drop_in(&self, unit: &str, name: &str, text: &str) {
        let directory = self.units.join(format!("{unit}.d"));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("{name}.conf")), text).unwrap();
        self.done(&["daemon-reload"]);
    }

    pub fn systemctl(&self, arguments: &[&str]) -> Output {
        self.command("systemctl").args(arguments).output().unwrap()
    }

    /// Panics when it fails, with what systemd and the unit have said.
    pub fn done(&self, arguments: &[&str]) {
        let output = self.systemctl(arguments);
        let said = self.boot.output();
        assert!(output.status.success(), "systemctl {arguments:?}: {output:?}\n{said}");
    }

    /// A property of a unit, as `systemctl show` prints it.
    pub fn property(&self, unit: &str, name: &str) -> String {
        let output = self.systemctl(&["show", "--value", "--property", name, unit]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A command beside the units, as a person on this machine would run it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.manager.to_string(), "--all", "--", program]);
        command
    }
}

impl Drop for ServiceHost {
    fn drop(&mut self) {
        // Process 1 takes all others with it, and what booted it cleans up.
        let _ = kill(Pid::from_raw(self.manager), Signal::SIGKILL);
        if !std::thread::panicking() {
            self.boot.wait(DEADLINE);
        }
    }
}

/// The child of `unshare` that has become systemd.
fn manager_below(unshare: u32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).ok()?;
    let child = children.split_whitespace().next()?.parse().ok()?;
    let name = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
    (name.trim() == "systemd").then_some(child)
}
