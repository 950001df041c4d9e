//! A story: client, router, an edge node that runs the real `genkan`, and pods that answer.
//!
//! In: the path of the program, the number of pods, a [`Config`] to change before or while it runs.
//! The story owns the lab, the configuration file, the manifests directory and the process; requests
//! go out from the client host and come back as an [`Answer`]. Everything ends when it is dropped.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::backend::{Backend, Protocol};
use super::deadline::{DEADLINE, eventually_some};
use super::lab::{EdgeLab, Host, Process};
use crate::admin::client::Client;
use crate::config::admin::AdminSocket;
use crate::config::{Config, VipConfig};

mod client;
mod connection;
mod kernel;
mod load;
mod manifests;
mod node;
mod session;
pub mod soak;
mod split;

pub use client::{Answer, Request, any_certificate};
pub use connection::{Connect, Listener, connect, exchange, websocket_echo};
pub use kernel::{Counted, PINS, Xdp};
pub use load::Load;
pub use manifests::{Ingress, Manifests, service, slice};
pub use session::Session;

/// An edge node and what is around it.
pub struct Story {
    process: Option<Process>,
    /// One for each pod, on port [`Story::POD_PORT`] of all its addresses.
    pub backends: Vec<Backend>,
    pub lab: EdgeLab,
    pub manifests: Manifests,
    config: Config,
    config_file: PathBuf,
    runtime_directory: PathBuf,
    arguments: Vec<String>,
    /// Watched instead of the manifests.
    kubeconfig: Option<PathBuf>,
    environment: Vec<(String, String)>,
    wrapper: Vec<String>,
    program: PathBuf,
    directory: TempDir,
}

// === impl Story ===

impl Story {
    /// The port on which pods answer.
    pub const POD_PORT: u16 = 8080;
    /// The name of the VIP in the configuration.
    pub const VIP: &str = "edge";

    /// A lab with pods that answer and a configuration of one VIP with both families, served by XDP
    /// on the uplink. Ingresses without a class are served. Nothing runs yet at the edge.
    pub fn new(program: impl AsRef<Path>, pods: usize) -> Self {
        Self::inside(EdgeLab::new(pods), program.as_ref())
    }

    /// The same in a lab with a fixed name, for people to look at.
    pub fn named(name: &str, program: impl AsRef<Path>, pods: usize) -> Self {
        Self::inside(EdgeLab::named(name, pods), program.as_ref())
    }

    /// Changes the configuration, also while the program runs.
    pub fn configure(&mut self, change: impl FnOnce(&mut Config)) -> &mut Self {
        change(&mut self.config);
        self.write_config();
        self
    }

    /// Changes the only VIP of the configuration.
    pub fn configure_vip(&mut self, change: impl FnOnce(&mut VipConfig)) -> &mut Self {
        self.configure(|config| change(&mut config.vips[0]))
    }

    /// More arguments for `genkan run` from the next start on.
    pub fn with_arguments(&mut self, arguments: &[&str]) -> &mut Self {
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        self
    }

    /// The cluster that is watched instead of the manifests, from the next start on.
    pub fn watch_cluster(&mut self, kubeconfig: &Path) -> &mut Self {
        self.kubeconfig = Some(kubeconfig.to_owned());
        self
    }

    /// A variable of the environment from the next start on; one without a value is removed.
    pub fn with_environment(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        self
    }

    /// A program that starts `genkan run` in its own place, such as `prlimit` with its arguments.
    pub fn under(&mut self, wrapper: &[&str]) -> &mut Self {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// The configuration file of the next and of the running process.
    pub fn config_file(&self) -> &Path {
        &self.config_file
    }

    /// Where the processes of this story find each other.
    pub fn runtime_directory(&self) -> PathBuf {
        self.runtime_directory.clone()
    }

    /// Another runtime directory from the next start on: those before are not found there.
    pub fn use_runtime_directory(&mut self, name: &str) -> &mut Self {
        self.runtime_directory = self.directory.path().join(name);
        self
    }

    /// Another place of the configuration file, which is not written here then.
    pub fn use_config_file(&mut self, file: PathBuf) -> &mut Self {
        self.config_file = file;
        self
    }

    /// Asks the newest process of the edge about itself.
    pub fn admin(&self) -> Client {
        let socket = self.config.admin.socket.path().expect("the story's process has a socket");
        Client::new(socket, DEADLINE)
    }

    pub fn pod_addresses(&self, pods: &[usize]) -> Vec<IpAddr> {
        pods.iter().flat_map(|&pod| self.lab.pod_addresses(pod)).collect()
    }

    /// Service `name` with port 80 (`http`), and these pods behind it.
    pub fn service_yaml(&self, name: &str, pods: &[usize]) -> String {
        format!("{}---\n{}", service(name), self.slices_yaml(name, pods))
    }

    /// The EndpointSlices of both families with these pods.
    pub fn slices_yaml(&self, name: &str, pods: &[usize]) -> String {
        let addresses = self.pod_addresses(pods);
        let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = addresses.iter().partition(|a| a.is_ipv4());
        format!("{}---\n{}", slice(name, "IPv4", &v4), slice(name, "IPv6", &v6))
    }

    /// A Service for each pod (`pod-0`, ...) and one for all (`pods`), in `pods.yaml`.
    pub fn write_services(&self) {
        let all: Vec<usize> = (0..self.backends.len()).collect();
        let mut documents = vec![self.service_yaml("pods", &all)];
        documents.extend(all.iter().map(|&pod| self.service_yaml(&format!("pod-{pod}"), &[pod])));
        self.manifests.write("pods.yaml", &documents.join("---\n"));
    }

    /// A plain GET from the client. Panics when there is no answer.
    pub fn get(&self, vip: IpAddr, host: &str, path: &str) -> Answer {
        let request = Request::get(host, path);
        self.send(vip, &request).unwrap_or_else(|error| panic!("{host}{path}: {error:#}"))
    }

    /// Sends a request to the VIP's port 80, or 443 when it speaks TLS.
    pub fn send(&self, vip: IpAddr, request: &Request) -> Result<Answer> {
        let port = if request.is_tls() { 443 } else { 80 };
        request.send(&self.lab.client, SocketAddr::new(vip, port))
    }

    /// Repeats a GET until its answer is as wished. For what a change brings about.
    pub fn get_until(
        &self,
        what: &str,
        host: &str,
        path: &str,
        wished: impl Fn(&Answer) -> bool,
    ) -> Answer {
        eventually_some(what, || {
            let answer = self.send(EdgeLab::VIP4, &Request::get(host, path)).ok()?;
            wished(&answer).then_some(answer)
        })
    }

    /// Waits until each VIP address of both families gives this status for a path.
    pub fn wait_for_status(&self, host: &str, path: &str, status: u16) {
        let what = format!("{host}{path} answers {status}");
        self.get_until(&what, host, path, |answer| answer.status == status);
    }

    /// Opens a TCP connection from the client: what a port scanner sees.
    pub fn connect(&self, vip: IpAddr, port: u16, limit: Duration) -> Connect {
        connect(&self.lab.client, None, SocketAddr::new(vip, port), limit)
    }

    pub fn edge(&self) -> &Host {
        &self.lab.edge
    }

    fn inside(lab: EdgeLab, program: &Path) -> Self {
        let directory = tempfile::Builder::new().prefix(lab.name()).tempdir().unwrap();
        let manifests = Manifests::create(directory.path());
        let backends = lab.pods.iter().enumerate().map(|(pod, host)| answering(pod, host));
        let backends = backends.collect();
        let mut config = Config { vips: vec![vip()], ..Config::default() };
        config.classes.serve_classless = true;
        config.admin.socket = AdminSocket::At(directory.path().join("admin.sock"));
        let story = Self {
            process: None,
            backends,
            lab,
            manifests,
            config,
            config_file: directory.path().join("genkan.yaml"),
            runtime_directory: directory.path().join("run"),
            arguments: Vec::new(),
            kubeconfig: None,
            environment: Vec::new(),
            wrapper: Vec::new(),
            program: program.to_owned(),
            directory,
        };
        story.write_config();
        story
    }

    fn write_config(&self) {
        // JSON is YAML.
        let text = serde_json::to_string_pretty(&self.config).unwrap();
        let staged = self.config_file.with_extension("new");
        std::fs::write(&staged, text).unwrap();
        std::fs::rename(staged, &self.config_file).unwrap();
    }
}

fn vip() -> VipConfig {
    VipConfig {
        name: Story::VIP.to_owned(),
        addresses: EdgeLab::VIPS.to_vec(),
        interfaces: vec![EdgeLab::UPLINK.to_owned()],
        ..serde_json::from_str(r#"{"name": "", "addresses": []}"#).unwrap()
    }
}

fn answering(pod: usize, host: &Host) -> Backend {
    // One listener serves both families.
    let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), Story::POD_PORT);
    host.run(|| Backend::bind(&format!("pod-{pod}"), Protocol::Http1, any).unwrap())
}
