//! The Debian packages that each purpose needs, with the reason for each.

use std::env;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Purpose;
use crate::program::{self, Program};
use crate::progress::Step;

/// A package, how its presence shows, and what it is for.
struct Need {
    package: &'static str,
    shows: Shows,
    why: &'static str,
    group: Group,
}

/// The sign that a need is met.
enum Shows {
    /// A program of this name can be found, whatever package brought it.
    Program(&'static str),
    /// dpkg says that the package is installed.
    Package,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Group {
    /// Compiling anything of ours.
    Host,
    /// Compiling the kernel programs.
    Kernel,
    /// Judging the sources.
    Lint,
    /// Network namespaces.
    Lab,
    /// Kubernetes in them.
    Cluster,
    /// Tools that only tests use.
    Tests,
    /// Load generators.
    Load,
    /// The proxy that we compare with.
    Comparison,
}

const fn tool(
    package: &'static str,
    program: &'static str,
    why: &'static str,
    group: Group,
) -> Need {
    Need { package, shows: Shows::Program(program), why, group }
}

const fn library(package: &'static str, why: &'static str, group: Group) -> Need {
    Need { package, shows: Shows::Package, why, group }
}

const NEEDS: &[Need] = &[
    tool("gcc", "cc", "links every program; compiles the cryptography", Group::Host),
    library("libc6-dev", "C headers for the same", Group::Host),
    tool("make", "make", "builds the memory allocator", Group::Host),
    library("rustc-web", "a compiler for the kernel programs", Group::Kernel),
    library("libstd-rust-web-dev-bpf", "its core library for the bpf target", Group::Kernel),
    library("llvm-22-dev", "bpf-linker is built on LLVM", Group::Kernel),
    library("libpolly-22-dev", "part of LLVM that bpf-linker links", Group::Kernel),
    library("zlib1g-dev", "used by LLVM", Group::Kernel),
    library("libzstd-dev", "used by LLVM", Group::Kernel),
    library("libxml2-dev", "used by LLVM", Group::Kernel),
    library("rust-web-clippy", "lints the kernel programs", Group::Lint),
    tool("git", "git", "lists the files that lint reads", Group::Lint),
    tool("iproute2", "ip", "makes network namespaces and routes", Group::Lab),
    tool("ethtool", "ethtool", "switches offloads of virtual links", Group::Lab),
    tool("iputils-ping", "ping", "asks a VIP for an echo", Group::Lab),
    tool("curl", "curl", "asks the lab that the demo left up, and in the tests", Group::Lab),
    tool("containerd", "containerd", "runs the pods of the cluster", Group::Cluster),
    tool("runc", "runc", "starts their containers", Group::Cluster),
    library("containernetworking-plugins", "the network of the pods", Group::Cluster),
    tool("nftables", "nft", "kube-proxy's rules", Group::Cluster),
    tool("openssl", "openssl", "the cluster's certificates", Group::Cluster),
    tool("procps", "sysctl", "settings of the cluster's hosts", Group::Cluster),
    tool("chromium", "chromium", "shows the page of the administration in a test", Group::Tests),
    tool("bpftool", "bpftool", "looks at kernel programs beside ours", Group::Tests),
    tool("nftables", "nft", "holds packets back where a test needs that", Group::Tests),
    tool("nghttp2-client", "h2load", "HTTP/2 clients of other people", Group::Tests),
    tool("slowhttptest", "slowhttptest", "clients that drip", Group::Tests),
    tool("systemd", "systemd-analyze", "checks the unit file", Group::Tests),
    tool("wrk", "wrk", "load generator", Group::Load),
    tool("nginx-light", "nginx", "the proxy that we compare with", Group::Comparison),
    library("libnginx-mod-http-headers-more-filter", "as ingress-nginx has it", Group::Comparison),
];

fn groups(purpose: Purpose) -> &'static [Group] {
    match purpose {
        Purpose::Build => &[Group::Host, Group::Kernel],
        Purpose::Demo => &[Group::Host, Group::Kernel, Group::Lab],
        Purpose::Cluster => &[Group::Lab, Group::Cluster],
        Purpose::Bench => &[Group::Host, Group::Kernel, Group::Lab, Group::Load, Group::Comparison],
        Purpose::Lint => &[Group::Host, Group::Kernel, Group::Lint],
        Purpose::Test => &[
            Group::Host,
            Group::Kernel,
            Group::Lint,
            Group::Lab,
            Group::Load,
            Group::Tests,
            Group::Comparison,
        ],
    }
}

/// False when a ready object (or none) is embedded instead of building the kernel programs.
pub(super) fn kernel_programs_are_built() -> bool {
    env::var_os("GENKAN_BPF_OBJECT").is_none() && env::var_os("GENKAN_BPF_SKIP").is_none()
}

pub(super) fn install(purpose: Purpose) -> Result<()> {
    let missing = missing(purpose);
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|need| need.package).collect();
    println!("missing Debian packages:");
    for need in &missing {
        println!("   {:<24} {}", need.package, need.why);
    }
    if !program::exists("apt-get") {
        bail!(
            "this is not Debian (no apt-get): install the equivalents of the packages above; \
             deploy/docs/development.md says how the kernel programs build elsewhere"
        );
    }
    if !program::is_root() {
        bail!("installing needs root; as root run: apt-get install {}", names.join(" "));
    }
    let step = Step::begin("apt-get update");
    apt(&["update"]).limit(Duration::from_secs(300)).checked(&step, "apt-update")?;
    step.ok("");
    let step = Step::begin(format!("apt-get install {}", names.join(" ")));
    let _quiet = NoServices::begin()?;
    apt(&["install", "--yes", "--no-install-recommends"])
        .args(&names)
        .limit(Duration::from_secs(1200))
        .checked(&step, "apt-install")?;
    step.ok("");
    Ok(())
}

fn apt(args: &[&str]) -> Program {
    Program::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(args)
}

fn missing(purpose: Purpose) -> Vec<&'static Need> {
    let groups = groups(purpose);
    let kernel = kernel_programs_are_built();
    NEEDS
        .iter()
        .filter(|need| groups.contains(&need.group))
        .filter(|need| kernel || need.group != Group::Kernel)
        .filter(|need| match need.shows {
            Shows::Program(name) => !program::exists(name),
            Shows::Package => !is_installed(need.package),
        })
        .collect()
}

fn is_installed(package: &str) -> bool {
    Program::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .output()
        .is_ok_and(|status| status == "installed")
}

/// While this lives, freshly installed packages don't start their services: nobody asked for an
/// nginx on port 80 of this machine.
struct NoServices {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn begin() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        let mut file = File::create(POLICY).with_context(|| format!("create {POLICY}"))?;
        file.write_all(b"#!/bin/sh\nexit 101\n").with_context(|| format!("write {POLICY}"))?;
        file.set_permissions(Permissions::from_mode(0o755))
            .with_context(|| format!("make {POLICY} executable"))?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("warning: remove {POLICY} by hand: {error}");
        }
    }
}
