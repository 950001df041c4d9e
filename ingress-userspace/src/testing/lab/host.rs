//! One test host: its namespaces, and ways to run something in it.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use super::{Process, checked, host_prefix, namespace_path, run};

/// A network namespace and a mount namespace with its own bpffs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Host {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    namespace: String,
    network: OwnedFd,
    mounts: OwnedFd,
}

// === impl Host ===

impl Host {
    pub(super) fn create(lab: &str, name: &str) -> Self {
        let namespace = format!("{lab}-{name}");
        run("ip", &["netns", "add", &namespace]);
        let network = File::open(namespace_path(&namespace)).unwrap().into();
        let mounts = private_mounts();
        let shared = Shared { name: name.to_owned(), namespace, network, mounts };
        let host = Self { shared: Arc::new(shared) };
        host.ip(&["link", "set", "lo", "up"]);
        // Addresses must be usable at once.
        host.sysctl("net.ipv6.conf.default.accept_dad", "0");
        host.sysctl("net.ipv6.conf.all.accept_dad", "0");
        host
    }

    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The name that `ip netns` knows.
    pub fn namespace(&self) -> &str {
        &self.shared.namespace
    }

    /// The command line that opens a shell in this host.
    pub fn enter_hint(&self) -> String {
        format!("nsenter --net={}", namespace_path(self.namespace()).display())
    }

    /// `ip` in this host. Panics with its output when it fails.
    pub fn ip(&self, arguments: &[&str]) -> String {
        let mut all = vec!["-n", self.namespace()];
        all.extend(arguments);
        run("ip", &all)
    }

    /// Adds an address with its prefix (`10.1.0.2/24`).
    pub fn address(&self, interface: &str, address: &str) -> &Self {
        if address.contains(':') {
            self.ip(&["addr", "add", address, "dev", interface, "nodad"]);
        } else {
            self.ip(&["addr", "add", address, "dev", interface]);
        }
        self
    }

    /// Adds an address that is used as a source only by who asks for it.
    pub fn spare_address(&self, interface: &str, address: IpAddr) -> &Self {
        let prefix = host_prefix(address);
        self.ip(&["addr", "add", &prefix, "dev", interface, "nodad", "preferred_lft", "0"]);
        self
    }

    /// A route to one address by a neighbour.
    pub fn route_to(&self, address: IpAddr, via: IpAddr) -> &Self {
        self.route(&host_prefix(address), via)
    }

    /// A route to a prefix, or to `default`.
    pub fn route(&self, prefix: &str, via: IpAddr) -> &Self {
        let family = if via.is_ipv6() { "-6" } else { "-4" };
        self.ip(&[family, "route", "replace", prefix, "via", &via.to_string()]);
        self
    }

    pub fn sysctl(&self, name: &str, value: &str) -> &Self {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        self.run(|| std::fs::write(&path, value)).unwrap_or_else(|error| panic!("{path}: {error}"));
        self
    }

    /// A command that runs in this host: in its network and in its mounts. The working directory is
    /// `/`, so paths in the arguments must be absolute.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let mounts = format!("/proc/{}/fd/{}", std::process::id(), self.shared.mounts.as_raw_fd());
        command
            .arg(format!("--net={}", namespace_path(self.namespace()).display()))
            .arg(format!("--mount={mounts}"))
            .arg("--")
            .arg(program);
        command
    }

    /// Runs a tool to its end and gives what it printed. Panics when it fails.
    pub fn output(&self, program: &str, arguments: &[&str]) -> String {
        checked(self.command(program).args(arguments))
    }

    /// Starts a program whose output is collected. It ends with the returned value.
    pub fn spawn(&self, program: &str, arguments: &[&str]) -> Process {
        let mut command = self.command(program);
        command.args(arguments);
        Process::spawn(&format!("{}: {program}", self.name()), command)
    }

    /// Runs a closure on a thread inside this host. Threads that it starts are inside too.
    pub fn run<R: Send>(&self, inside: impl FnOnce() -> R + Send) -> R {
        let result = std::thread::scope(|scope| {
            let name = std::thread::current().name().unwrap_or("lab").to_owned();
            let body = || {
                self.enter();
                inside()
            };
            std::thread::Builder::new().name(name).spawn_scoped(scope, body).unwrap().join()
        });
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Moves the calling thread into this host for good.
    pub fn enter(&self) {
        setns(self.shared.network.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
        // A thread can change its mounts only when it shares root and directory with no other.
        unshare(CloneFlags::CLONE_FS).unwrap();
        setns(self.shared.mounts.as_fd(), CloneFlags::CLONE_NEWNS).unwrap();
    }
}

/// A mount namespace that is a private copy of this one, with a new bpffs.
fn private_mounts() -> OwnedFd {
    let create = || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(Some("bpf"), "/sys/fs/bpf", Some("bpf"), MsFlags::empty(), none).unwrap();
        File::open("/proc/thread-self/ns/mnt").unwrap().into()
    };
    std::thread::spawn(create).join().unwrap()
}
