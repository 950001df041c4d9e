//! Takes from this process, for good, what one that reads bytes from strangers must not have: new
//! rights, capabilities, and the system calls that lead out of it.
//!
//! A list of what is refused, not of what is allowed: allocator, TLS and runtime change the calls
//! that they make from version to version, and one that is missing on some machine would be an
//! outage. What is refused is what an intruder needs for a next step: another program, another
//! process, another namespace, the kernel's own interfaces, sockets below IP.

use std::collections::BTreeMap;
use std::io;

use caps::CapSet;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// Answered with EPERM.
const REFUSED: &[libc::c_long] = &[
    // Other programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Other namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    // The kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_io_uring_setup,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_fanotify_init,
    libc::SYS_personality,
    // The clock and the name of the host.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
];

/// Families of sockets that are not refused.
const FAMILIES: [libc::c_int; 3] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];

/// Flags of `clone` that make a namespace.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    #[error("new rights cannot be given up: {0}")]
    NewRights(#[source] io::Error),
    #[error("capabilities cannot be given up: {0}")]
    Capabilities(String),
    #[error("system calls cannot be filtered: {0}")]
    Filter(String),
}

/// For this thread and those that it starts: to be called before there are others.
///
/// # Errors
///
/// When the kernel refuses one of the steps; those before it hold.
pub fn confine() -> Result<(), ConfineError> {
    nix::sys::prctl::set_no_new_privs().map_err(|error| ConfineError::NewRights(error.into()))?;
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).map_err(|error| ConfineError::Capabilities(error.to_string()))?;
    }
    for program in programs().map_err(|error| ConfineError::Filter(error.to_string()))? {
        seccompiler::apply_filter(&program)
            .map_err(|error| ConfineError::Filter(error.to_string()))?;
    }
    Ok(())
}

fn programs() -> Result<[BpfProgram; 2], seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|&call| (call, Vec::new())).collect();
    let argument = |operator, value: libc::c_int| {
        // Flags and families are small positive numbers.
        let value = u64::from(value.unsigned_abs());
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, operator, value)
    };
    let other = FAMILIES.map(|family| argument(SeccompCmpOp::Ne, family));
    let other = other.into_iter().collect::<Result<Vec<_>, _>>()?;
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(other)?]);
    let namespaces = NAMESPACES.iter().map(|&flag| {
        let is_set = SeccompCmpOp::MaskedEq(u64::from(flag.unsigned_abs()));
        SeccompRule::new(vec![argument(is_set, flag)?])
    });
    rules.insert(libc::SYS_clone, namespaces.collect::<Result<_, _>>()?);
    let refused = filter(rules, libc::EPERM)?;
    // Its flags are out of a filter's sight; without it, libraries fall back to `clone`.
    let unknown = filter(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)?;
    Ok([refused, unknown])
}

fn filter(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    error: libc::c_int,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let answer = SeccompAction::Errno(error.unsigned_abs());
    let target = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, answer, target)?.try_into()
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;

    use super::*;

    /// A thread is confined for itself, so that the other tests are not.
    #[test]
    fn a_confined_thread_serves_and_can_do_nothing_else() {
        let confined = thread::spawn(|| {
            confine().unwrap();
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let value = |name: &str| {
                let line = status.lines().find(|line| line.starts_with(name)).unwrap();
                line.split_whitespace().nth(1).unwrap().to_owned()
            };
            for set in ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"] {
                assert_eq!(u64::from_str_radix(&value(set), 16).unwrap(), 0, "{set}");
            }
            assert_eq!((value("NoNewPrivs:"), value("Seccomp:")), ("1".into(), "2".into()));

            // What a worker does.
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            std::os::unix::net::UnixStream::pair().unwrap();
            thread::spawn(|| ()).join().unwrap();

            let refused = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
            let raw = socket2::Socket::new(socket2::Domain::PACKET, socket2::Type::RAW, None);
            assert!(refused(raw.unwrap_err()));
            let flags = nix::sched::CloneFlags::CLONE_NEWUSER;
            assert!(refused(nix::sched::unshare(flags).unwrap_err().into()));
            assert!(refused(Command::new("/bin/true").status().unwrap_err()));
        });
        confined.join().unwrap();
    }
}
