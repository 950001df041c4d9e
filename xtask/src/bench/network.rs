//! Two hosts for the proxy benchmark: a client, and an edge that has proxies and backend.
//!
//! Network namespaces joined by a veth pair; gone when the value is dropped. The names follow the
//! lab of the tests, so that a killed run's are swept like theirs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Child;

use anyhow::{Context, Result, bail};

use crate::program::Program;

/// Device of the edge on which requests arrive.
pub(super) const UPLINK: &str = "uplink";
/// Served by Genkan.
pub(super) const VIP: &str = "203.0.113.80";
/// The edge's own address, on which the compared proxy listens.
pub(super) const EDGE: &str = "10.2.0.2";
/// Where the backend listens, on the edge's loopback device.
pub(super) const BACKEND: &str = "10.42.0.11";

const CLIENT: &str = "10.2.0.1";

pub(super) struct Network {
    client: String,
    edge: String,
}

/// A server that ends with this value.
pub(super) struct Server {
    name: String,
    child: Child,
    pub(super) log: PathBuf,
}

// === impl Network ===

impl Network {
    pub(super) fn create() -> Result<Self> {
        let host = |name: &str| format!("gk{}x0-{name}", std::process::id());
        let network = Self { client: host("client"), edge: host("edge") };
        for namespace in [&network.client, &network.edge] {
            ip(&["netns", "add", namespace])?;
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        }
        let (client, edge) = (network.client.as_str(), network.edge.as_str());
        let veth = ["link", "add", "eth0", "type", "veth", "peer", "name", UPLINK, "netns", edge];
        ip(&[&["-n", client], &veth[..]].concat())?;
        for (namespace, device, address) in [(client, "eth0", CLIENT), (edge, UPLINK, EDGE)] {
            ip(&["-n", namespace, "addr", "add", &format!("{address}/24"), "dev", device])?;
            ip(&["-n", namespace, "link", "set", device, "up"])?;
            inside(namespace, "ethtool").args(["-K", device, "tx", "off"]).output()?;
        }
        ip(&["-n", client, "route", "add", VIP, "via", EDGE])?;
        ip(&["-n", edge, "addr", "add", &format!("{BACKEND}/32"), "dev", "lo"])?;
        Ok(network)
    }

    /// A program at the client.
    pub(super) fn client(&self, program: &str) -> Program {
        inside(&self.client, program)
    }

    /// A server at the edge, with a bpffs of its own.
    pub(super) fn serve(&self, name: &str, command: &[&str], log: PathBuf) -> Result<Server> {
        let output = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        // Every program on this line replaces the one before: the process is the server.
        let child = inside(&self.edge, "unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .args(["mount -t bpf bpf /sys/fs/bpf && exec \"$@\"", "sh"])
            .args(command)
            .background(output)?;
        Ok(Server { name: name.to_owned(), child, log })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in [&self.client, &self.edge] {
            Program::new("ip").args(["netns", "delete", namespace]).succeeds();
        }
    }
}

// === impl Server ===

impl Server {
    /// Processor time of the process and its threads so far, in clock ticks.
    ///
    /// # Errors
    /// The server has ended; the message has the end of its log.
    pub(super) fn ticks(&mut self) -> Result<u64> {
        if let Some(status) = self.child.try_wait().context("look after a server")? {
            bail!("{}: {status}\n{}", self.name, crate::program::tail(&self.log));
        }
        let path = Path::new("/proc").join(self.child.id().to_string()).join("stat");
        let stat = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        // utime and stime, fields 14 and 15; the name in field 2 ends with the last parenthesis.
        let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
        let times: Vec<u64> =
            after.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
        match times[..] {
            [user, system] => Ok(user + system),
            _ => bail!("{}: not the form of proc(5)", path.display()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn inside(namespace: &str, program: &str) -> Program {
    Program::new("nsenter").args([&format!("--net=/run/netns/{namespace}"), "--", program])
}

fn ip(arguments: &[&str]) -> Result<String> {
    Program::new("ip").args(arguments).output().with_context(|| format!("ip {arguments:?}"))
}
