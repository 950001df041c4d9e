//! `cluster up`, from nothing to nodes that are Ready.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use super::api::Api;
use super::cgroup::Cgroup;
use super::guard::Guard;
use super::pki::{self, Pki, User};
use super::plan::{self, Host};
use super::readiness::{self, FORWARD};
use super::state::State;
use super::{control_plane, down, host, images, node, programs, topology};
use crate::progress::Step;

/// Starts a cluster of which nothing is there yet. What a failed or interrupted start leaves is
/// removed; logs stay.
///
/// # Errors
/// A step fails; the message has the end of the component's log.
pub(super) fn start(name: &str, nodes: u8, kube_proxy: bool) -> Result<State> {
    let kubernetes = programs::kubernetes()?;
    let images = images::archives()?;
    let guard = Guard::begin(name)?;
    let started =
        Start::begin(name, nodes, kube_proxy, &kubernetes).and_then(|start| start.run(&images));
    if started.is_err()
        && let Err(error) = down::remove(name)
    {
        eprintln!("warning: {error:#}");
    }
    guard.done();
    started
}

struct Start {
    state: State,
    cgroup: Cgroup,
    pki: Pki,
    users: Vec<User>,
}

// === impl Start ===

impl Start {
    /// The files that the hosts share.
    fn begin(name: &str, nodes: u8, kube_proxy: bool, kubernetes: &Path) -> Result<Self> {
        let step = Step::begin("certificates and tokens");
        let state = State::new(name, nodes, kube_proxy)?;
        state.save()?;
        let logs = state.path("log");
        // Those of the last cluster of this name.
        fs::remove_dir_all(&logs).ok();
        fs::create_dir_all(&logs).context("create the directory of logs")?;
        programs::link(kubernetes, &state.programs())?;
        let pki = Pki::create(state.path("pki"))?;
        let users = pki::users(nodes)?;
        pki::write_private(&pki.path("tokens.csv"), &pki::token_file(&users))?;
        step.ok("");
        Ok(Self { state, cgroup: Cgroup::of(name)?, pki, users })
    }

    fn run(mut self, images: &[PathBuf]) -> Result<State> {
        self.network()?;
        self.control_plane()?;
        self.images(images)?;
        self.nodes()?;
        Ok(self.state)
    }

    fn network(&mut self) -> Result<()> {
        let hosts = Host::all(self.state.nodes);
        let names: Vec<String> = hosts.iter().map(Host::to_string).collect();
        let step = Step::begin(format!("hosts {}", names.join(", ")));
        topology::create(&self.state.name, self.state.nodes)?;
        for on in hosts {
            host::hold(&mut self.state, &self.cgroup, on)?;
        }
        step.ok("");
        Ok(())
    }

    /// containerd of the nodes starts beside it: neither needs the other.
    fn control_plane(&mut self) -> Result<()> {
        let step = Step::begin("etcd, API server, controller manager, scheduler");
        let control = Host::Control;
        let data = self.state.path("etcd");
        self.start(control, "etcd", &control_plane::etcd(&data))?;
        self.start(control, "kube-apiserver", &control_plane::api_server(&self.pki))?;
        for on in Host::nodes(self.state.nodes) {
            images::configure(&self.state, on)?;
            let config = format!("--config={}/containerd.toml", node::OWN);
            self.start(on, "containerd", &[config])?;
        }
        self.forward()?;
        readiness::wait(&mut self.state, &self.cgroup, &step)?;
        let kubeconfig = |name: &str| self.state.path(format!("{name}.kubeconfig"));
        for name in ["kube-controller-manager", "kube-scheduler"] {
            self.kubeconfig(
                &format!("system:{name}"),
                &kubeconfig(name),
                &self.pki.path("ca.crt"),
            )?;
        }
        let manager = kubeconfig("kube-controller-manager");
        let plugins = self.state.path("volume-plugins");
        let manager = control_plane::controller_manager(&self.pki, &manager, &plugins);
        let scheduler = control_plane::scheduler(&kubeconfig("kube-scheduler"));
        self.start(control, "kube-controller-manager", &manager)?;
        self.start(control, "kube-scheduler", &scheduler)?;
        readiness::wait(&mut self.state, &self.cgroup, &step)?;
        step.ok("");
        Ok(())
    }

    /// The API server in this machine's own namespace, and the administrator's kubeconfigs.
    fn forward(&mut self) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("open a port for the API server")?;
        self.state.port = listener.local_addr().context("the API server's port")?.port();
        let ca = self.pki.path("ca.crt");
        let outside = format!("https://127.0.0.1:{}", self.state.port);
        let admin = self.user(pki::ADMIN)?.clone();
        Api::prepare(&self.state, &self.pki, &admin)?;
        for (server, file) in [
            (outside, self.state.outside_kubeconfig()),
            (plan::api_server(), self.state.kubeconfig()),
        ] {
            pki::write_private(&file, &pki::kubeconfig(&server, &ca, &admin))?;
        }
        host::start_with_input(
            &mut self.state,
            &self.cgroup,
            Host::Control,
            FORWARD,
            &std::env::current_exe().context("find our own program")?,
            &["cluster".to_owned(), "forward".to_owned()],
            Some(listener.into()),
        )
    }

    fn images(&self, archives: &[PathBuf]) -> Result<()> {
        let step = Step::begin("images into the nodes");
        for archive in archives {
            for on in Host::nodes(self.state.nodes) {
                images::load(&self.state, on, archive)?;
            }
        }
        step.ok(&format!("{}, {}", images::PAUSE, images::ECHO));
        Ok(())
    }

    fn nodes(&mut self) -> Result<()> {
        let step = Step::begin("nodes are Ready");
        for on in Host::nodes(self.state.nodes) {
            Api::of(&self.state).create("/api/v1/nodes", &node::object(on))?;
            let own = self.state.path(on.to_string());
            let ca = Path::new(node::OWN).join("ca.crt");
            fs::copy(self.pki.path("ca.crt"), own.join("ca.crt")).context("copy the CA")?;
            self.kubeconfig(&format!("system:node:{on}"), &own.join("kubelet.kubeconfig"), &ca)?;
            let config = node::kubelet_config(on, &self.cgroup, &ca.to_string_lossy());
            write(&own.join("kubelet.json"), &config)?;
            self.start(on, "kubelet", &node::kubelet(on))?;
            if self.state.kube_proxy {
                self.kubeconfig("system:kube-proxy", &own.join("kube-proxy.kubeconfig"), &ca)?;
                write(&own.join("kube-proxy.json"), &node::kube_proxy_config(on))?;
                let config = format!("--config={}/kube-proxy.json", node::OWN);
                self.start(on, "kube-proxy", &[config])?;
            }
        }
        readiness::wait(&mut self.state, &self.cgroup, &step)?;
        step.ok("");
        Ok(())
    }

    fn start(&mut self, on: Host, name: &str, arguments: &[String]) -> Result<()> {
        host::start(&mut self.state, &self.cgroup, on, name, arguments)
    }

    fn kubeconfig(&self, user: &str, file: &Path, ca: &Path) -> Result<()> {
        let text = pki::kubeconfig(&plan::api_server(), ca, self.user(user)?);
        pki::write_private(file, &text)
    }

    fn user(&self, name: &str) -> Result<&User> {
        let user = self.users.iter().find(|user| user.name == name);
        user.with_context(|| format!("{name} is no user"))
    }
}

fn write(file: &Path, config: &serde_json::Value) -> Result<()> {
    fs::write(file, format!("{:#}", json!(config)))
        .with_context(|| format!("write {}", file.display()))
}
