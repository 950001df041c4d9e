//! A running host: its namespaces, and starting and running programs in them.
//!
//! A host is a process that sleeps, in namespaces of its own: network, mounts, host name.
//! Everything enters these by that process. A node sees its own `/run`, `/var/log`, `/var/lib` and
//! `/sys/fs/bpf`, so its kubelet and containerd find what they find on a machine of their own and
//! leave nothing on this one. `/sys` is this machine's: a fresh one would hide the control groups.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::cgroup::Cgroup;
use super::plan::Host;
use super::state::{Component, HOLDER, State};
use super::topology;
use crate::program::tail;

/// Joins the control group `$0` and becomes the rest of the arguments.
const JOIN: &str = r#"echo $$ >"$0" && exec "$@""#;
/// What a holder says when its namespaces are complete.
const HELD: &str = "held";
/// `$1` is the host's name.
const HOLD: &str = r#"set -e
hostname "$1"
mount -t bpf bpf /sys/fs/bpf
mount --make-rshared /
echo held
exec sleep infinity >&- 2>&-"#;
/// `$2` is the node's directory. `/run/node` is that directory; `/var/lib` is this machine's with
/// changes on the node's tmpfs.
const HOLD_NODE: &str = r#"set -e
hostname "$1"
mkdir -p "$2/containerd" "$2/kubelet" "$2/log"
mkdir /tmp/$$ && mount --bind "$2" /tmp/$$
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/node /run/changes/lib /run/changes/work
mount --move /tmp/$$ /run/node && rmdir /tmp/$$
mount -t overlay -o lowerdir=/var/lib,upperdir=/run/changes/lib,workdir=/run/changes/work overlay /var/lib
mkdir -p /var/lib/containerd /var/lib/kubelet
mount --bind /run/node/containerd /var/lib/containerd
mount --bind /run/node/kubelet /var/lib/kubelet
mount --bind /run/node/log /var/log
mount -t bpf bpf /sys/fs/bpf
mount --make-rshared /
echo held
exec sleep infinity >&- 2>&-"#;

/// Makes the namespaces of a host beside its network namespace, and keeps them.
///
/// # Errors
/// A mount fails; the message is that of the failing command.
pub(super) fn hold(state: &mut State, cgroup: &Cgroup, host: Host) -> Result<()> {
    let own = state.path(host.to_string());
    fs::create_dir_all(&own).with_context(|| format!("create {}", own.display()))?;
    let network = format!("--net=/run/netns/{}", topology::namespace(&state.name, host));
    let script = if matches!(host, Host::Node(_)) { HOLD_NODE } else { HOLD };
    let mut child = Command::new("setsid")
        .args(["sh", "-c", JOIN])
        .arg(cgroup.processes(host)?)
        .args(["nsenter", &network, "unshare", "--mount", "--uts", "--propagation", "private"])
        .args(["sh", "-c", script, "sh", &host.to_string()])
        .arg(&own)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start setsid")?;
    let mut said = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut said).context("wait for a host's namespaces")?;
    }
    if said.trim() != HELD {
        let ended = child.wait_with_output().context("wait for a host's namespaces")?;
        let errors = String::from_utf8_lossy(&ended.stderr);
        bail!("the mounts of {host} failed: {}", errors.trim());
    }
    state.components.push(Component {
        name: HOLDER.to_owned(),
        host: host.to_string(),
        process: child.id(),
        log: own,
        ready_ms: Some(0),
        started: None,
    });
    state.save()
}

/// Starts a program that stays, with its output in a log of its own.
///
/// # Errors
/// It can't be started. That it runs well shows only later.
pub(super) fn start(
    state: &mut State,
    cgroup: &Cgroup,
    host: Host,
    name: &str,
    arguments: &[String],
) -> Result<()> {
    start_with_input(state, cgroup, host, name, Path::new(name), arguments, None)
}

/// As [`start`]; `input`, for example a socket of another network namespace, is its standard input.
///
/// # Errors
/// As [`start`].
pub(super) fn start_with_input(
    state: &mut State,
    cgroup: &Cgroup,
    host: Host,
    name: &str,
    program: &Path,
    arguments: &[String],
    input: Option<OwnedFd>,
) -> Result<()> {
    let log = state.path("log").join(format!("{host}-{name}.log"));
    let output = File::create(&log).with_context(|| format!("create {}", log.display()))?;
    let errors = output.try_clone().context("open the log twice")?;
    let child = inside(state, cgroup, host, "setsid", &state.directory)?
        .arg(program)
        .args(arguments)
        .stdin(input.map_or_else(Stdio::null, Stdio::from))
        .stdout(output)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("start {name} on {host}"))?;
    state.components.push(Component {
        name: name.to_owned(),
        host: host.to_string(),
        process: child.id(),
        log,
        ready_ms: None,
        started: Some(Instant::now()),
    });
    state.save()
}

/// Standard output of a short program on a host.
///
/// # Errors
/// The program fails; the message has its standard error.
pub(super) fn output(state: &State, host: Host, arguments: &[&str]) -> Result<String> {
    output_of(state, host, arguments, Stdio::null())
}

/// As [`output`], of a program with an input.
///
/// # Errors
/// As [`output`].
pub(super) fn output_of(
    state: &State,
    host: Host,
    arguments: &[&str],
    input: Stdio,
) -> Result<String> {
    let cgroup = Cgroup::of(&state.name)?;
    let ended = inside(state, &cgroup, host, "env", &state.directory)?
        .args(arguments)
        .stdin(input)
        .output()
        .with_context(|| format!("start {arguments:?} on {host}"))?;
    if !ended.status.success() {
        let errors = String::from_utf8_lossy(&ended.stderr);
        bail!("`{}` on {host}: {}: {}", arguments.join(" "), ended.status, errors.trim());
    }
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}

/// Runs a program of the user's on a host with this terminal, in the current directory.
///
/// # Errors
/// It can't be started.
pub(super) fn exec(state: &State, host: Host, arguments: &[String]) -> Result<ExitCode> {
    let cgroup = Cgroup::of(&state.name)?;
    let here = std::env::current_dir().context("find the current directory")?;
    let status = inside(state, &cgroup, host, "env", &here)?
        .args(arguments)
        .status()
        .with_context(|| format!("start {arguments:?} on {host}"))?;
    Ok(exit_code(status))
}

/// A command in a host's namespaces; a program and its arguments follow.
///
/// # Errors
/// The host is not there.
pub(super) fn command(state: &State, host: Host) -> Result<Command> {
    inside(state, &Cgroup::of(&state.name)?, host, "env", &state.directory)
}

/// What a process that has ended left in its log.
///
/// # Errors
/// Always when it has ended: with the end of its log.
pub(super) fn check(cgroup: &Cgroup, component: &Component) -> Result<()> {
    if cgroup.has(component.process) {
        return Ok(());
    }
    let (name, host, log) = (&component.name, &component.host, &component.log);
    bail!("{name} on {host} has ended:\n{}\n(whole log: {})", tail(log), log.display())
}

/// A command that joins the control group of a host and its namespaces; a program and its
/// arguments follow. `first` is `setsid` for what outlives the terminal.
fn inside(
    state: &State,
    cgroup: &Cgroup,
    host: Host,
    first: &str,
    directory: &Path,
) -> Result<Command> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(first);
    command
        .args(["sh", "-c", JOIN])
        .arg(cgroup.processes(host)?)
        .args(["nsenter", "--target", &state.holder(host)?.to_string()])
        .args(["--mount", "--net", "--uts", "--", "env"])
        // Entering the mounts has changed the directory.
        .arg(format!("--chdir={}", directory.display()))
        .arg(format!("KUBECONFIG={}", state.kubeconfig().display()))
        .arg(format!("KUBECACHEDIR={}", state.path("kubectl-cache").display()))
        .arg(format!("PATH={}:{path}:/usr/sbin:/sbin", state.programs().display()));
    Ok(command)
}

/// As a shell has it: 128 and the number of the signal.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_passed_on_and_signals_told_as_a_shell_does() {
        let code = |raw| exit_code(ExitStatus::from_raw(raw));
        assert_eq!(format!("{:?}", code(7 << 8)), format!("{:?}", ExitCode::from(7)));
        assert_eq!(format!("{:?}", code(9)), format!("{:?}", ExitCode::from(137)));
    }
}
