//! Running other programs: output to a log that is shown on failure, a deadline, no orphans.
//!
//! Children stay in our process group, so Ctrl-C on a terminal reaches them as well. Past its
//! deadline a program is killed with all its descendants.

use std::collections::HashMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::progress::{Step, short};
use crate::workspace;

const POLL: Duration = Duration::from_millis(50);
/// Lines of a log shown when its program failed.
const TAIL: usize = 60;

/// A program about to be started in the workspace root.
pub(crate) struct Program {
    name: String,
    command: Command,
    limit: Duration,
}

/// How a program ended.
pub(crate) struct Ended {
    pub(crate) success: bool,
    /// `exit status: 101`, or what limit it ran into.
    pub(crate) how: String,
    pub(crate) log: PathBuf,
}

impl Program {
    pub(crate) fn new(name: &str) -> Self {
        let mut command = Command::new(name);
        command.current_dir(workspace::root()).env("PATH", search_path()).stdin(Stdio::null());
        Self { name: name.to_owned(), command, limit: Duration::from_secs(3600) }
    }

    /// The cargo that runs us, or the one in the search path.
    pub(crate) fn cargo() -> Self {
        let mut program = Self::new(&env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
        "cargo".clone_into(&mut program.name);
        // What cargo sets for `cargo run` would make build scripts of the child rerun.
        for (variable, _) in env::vars_os() {
            let name = variable.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                program.command.env_remove(&variable);
            }
        }
        program
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn directory(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// The program and its descendants are killed when it runs longer; one hour by default.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Standard output of a short query.
    ///
    /// # Errors
    /// The program is absent or fails; the message has its standard error.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self.command.output().with_context(|| format!("start {}", self.name))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{} ended with {}: {}", self.name, output.status, said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whether it starts and succeeds; says nothing.
    pub(crate) fn succeeds(mut self) -> bool {
        let quiet = self.command.stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    }

    /// Runs with the terminal as its output.
    ///
    /// # Errors
    /// The program can't be started or waited for.
    pub(crate) fn visible(mut self) -> Result<ExitStatus> {
        self.command.stdin(Stdio::inherit());
        self.command.status().with_context(|| format!("start {}", self.name))
    }

    /// Starts it and returns; its output goes to a file.
    ///
    /// # Errors
    /// The program can't be started.
    pub(crate) fn background(mut self, output: File) -> Result<Child> {
        let errors = output.try_clone().context("open the output file twice")?;
        self.command.stdout(output).stderr(errors);
        self.command.spawn().with_context(|| format!("start {}", self.name))
    }

    /// Runs with its output in the log `name`, whose last line is shown beside the step.
    ///
    /// # Errors
    /// The program can't be started, or the log can't be written.
    pub(crate) fn logged(mut self, step: &Step, name: &str) -> Result<Ended> {
        let log = workspace::own("log")?.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let errors = file.try_clone().with_context(|| format!("open {}", log.display()))?;
        self.command.stdout(file).stderr(errors);
        let mut child = self.command.spawn().with_context(|| format!("start {}", self.name))?;
        let (success, how) = self.wait(&mut child, step, &log)?;
        Ok(Ended { success, how, log })
    }

    /// As [`Self::checked`], but the log has standard output alone: what the program reports.
    ///
    /// # Errors
    /// Also when the program fails.
    pub(crate) fn reported(mut self, step: &Step, name: &str) -> Result<String> {
        let log = workspace::own("log")?.join(format!("{name}.log"));
        let errors = log.with_extension("errors.log");
        let create =
            |path: &Path| File::create(path).with_context(|| format!("create {}", path.display()));
        self.command.stdout(create(&log)?).stderr(create(&errors)?);
        let mut child = self.command.spawn().with_context(|| format!("start {}", self.name))?;
        let (success, how) = self.wait(&mut child, step, &errors)?;
        if !success {
            bail!("{}: {how}\n{}", self.name, tail(&errors));
        }
        fs::read_to_string(&log).with_context(|| format!("read {}", log.display()))
    }

    /// As [`Self::logged`]; a failure is an error that ends with the tail of the log.
    ///
    /// # Errors
    /// Also when the program fails.
    pub(crate) fn checked(self, step: &Step, name: &str) -> Result<()> {
        let what = self.name.clone();
        let ended = self.logged(step, name)?;
        if ended.success {
            return Ok(());
        }
        bail!("{what}: {}\n{}\n(whole log: {})", ended.how, tail(&ended.log), ended.log.display())
    }

    fn wait(&self, child: &mut Child, step: &Step, log: &Path) -> Result<(bool, String)> {
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait().context("wait for a child")? {
                return Ok((status.success(), status.to_string()));
            }
            if started.elapsed() > self.limit {
                kill_tree(child);
                return Ok((false, format!("killed after its limit of {}", short(self.limit))));
            }
            step.note(&last_line(log));
            thread::sleep(POLL);
        }
    }
}

/// Whether a program of this name is in the search path.
pub(crate) fn exists(name: &str) -> bool {
    env::split_paths(&search_path()).any(|directory| directory.join(name).is_file())
}

/// Whether we may change the machine: user id 0.
pub(crate) fn is_root() -> bool {
    Program::new("id").args(["-u"]).output().is_ok_and(|id| id.trim() == "0")
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

/// `PATH` with cargo's install directory first and the system directories that a plain user's
/// `PATH` lacks last.
fn search_path() -> OsString {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cargo = env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let inherited = env::var_os("PATH").unwrap_or_default();
    let mut directories = vec![cargo.join("bin")];
    directories.extend(env::split_paths(&inherited));
    for system in ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"] {
        if !directories.iter().any(|directory| directory == Path::new(system)) {
            directories.push(PathBuf::from(system));
        }
    }
    env::join_paths(directories).unwrap_or(inherited)
}

/// Kills a child and everything that descends from it.
fn kill_tree(child: &mut Child) {
    let mut doomed = vec![child.id()];
    let parents = parents();
    let mut next = 0;
    while let Some(&parent) = doomed.get(next) {
        doomed.extend(parents.iter().filter(|(_, of)| **of == parent).map(|(process, _)| process));
        next += 1;
    }
    let victims = doomed.iter().map(u32::to_string);
    Program::new("kill").args(["-KILL".to_owned()].into_iter().chain(victims)).succeeds();
    // Reaps it; the signal can't be refused.
    child.wait().ok();
}

/// Parent of every process, from `/proc/PID/stat` (field 4, after the parenthesised name).
fn parents() -> HashMap<u32, u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parent_of = |process: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    processes.filter_map(|process| Some((process, parent_of(process)?))).collect()
}

/// The last line of a growing log, without reading all of it.
fn last_line(log: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(400)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        Ok(end)
    };
    let end = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&end);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}
