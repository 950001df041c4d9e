//! etcd and the API server of a real Kubernetes, on the loopback of a host of the lab.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use genkan::testing::ca::TestCa;
use genkan::testing::deadline::eventually;
use genkan::testing::lab::{Host, Process};
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// A cluster without nodes. Ends when it is dropped.
pub(crate) struct ControlPlane {
    api: Option<Process>,
    _etcd: Process,
    programs: PathBuf,
    directory: TempDir,
}

const SERVER: &str = "https://127.0.0.1:6443";
const ADMIN: &str = "admin";
/// The user as whom genkan comes.
pub(crate) const GENKAN: &str = "genkan";

/// The program of all components that `cargo xtask cluster` builds: `$GENKAN_KUBERNETES`, or the
/// newest in the user's cache.
pub(crate) fn program() -> Option<PathBuf> {
    if let Some(program) = std::env::var_os("GENKAN_KUBERNETES") {
        return Some(program.into());
    }
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(PathBuf::from(home).join(".cache"))
    })?;
    let kept = fs::read_dir(base.join("genkan/kubernetes")).ok()?;
    let programs = kept.flatten().map(|entry| entry.path().join("kubernetes"));
    let built = |path: &PathBuf| fs::metadata(path).and_then(|facts| facts.modified()).ok();
    programs.filter(|path| path.is_file()).max_by_key(built)
}

impl ControlPlane {
    /// Starts both and waits until the API server is ready.
    pub(crate) fn start(host: &Host, program: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let programs = directory.path().join("bin");
        fs::create_dir(&programs).unwrap();
        for name in ["etcd", "kube-apiserver", "kubectl"] {
            std::os::unix::fs::symlink(program, programs.join(name)).unwrap();
        }
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let etcd = host.spawn(
            programs.join("etcd").to_str().unwrap(),
            &[
                &format!("--data-dir={}", path("etcd")),
                "--listen-client-urls=http://127.0.0.1:2379",
                "--advertise-client-urls=http://127.0.0.1:2379",
                "--listen-peer-urls=http://127.0.0.1:2380",
                "--unsafe-no-fsync",
                "--log-level=warn",
            ],
        );
        let ca = TestCa::new();
        let serving = ca.issue(&["127.0.0.1"]);
        for (name, text) in [
            ("ca.crt", ca.pem()),
            ("serving.crt", &serving.certificate_pem),
            ("serving.key", &serving.key_pem),
        ] {
            fs::write(path(name), text).unwrap();
        }
        let mut plane = Self { api: None, _etcd: etcd, programs, directory };
        plane.know_token("token");
        for user in [ADMIN, GENKAN] {
            plane.hand_out(user, if user == ADMIN { ADMIN } else { "token" });
        }
        plane.resume(host);
        plane
    }

    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.directory.path().join(format!("{user}.kubeconfig"))
    }

    /// Starts the API server, again if it was stopped, and waits until it is ready.
    pub(crate) fn resume(&mut self, host: &Host) {
        let file = |name: &str| self.directory.path().join(name).display().to_string();
        let api = host.spawn(
            self.programs.join("kube-apiserver").to_str().unwrap(),
            &[
                "--etcd-servers=http://127.0.0.1:2379",
                "--bind-address=127.0.0.1",
                "--secure-port=6443",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                &format!("--tls-cert-file={}", file("serving.crt")),
                &format!("--tls-private-key-file={}", file("serving.key")),
                &format!("--token-auth-file={}", file("tokens.csv")),
                &format!("--service-account-key-file={}", file("serving.crt")),
                &format!("--service-account-signing-key-file={}", file("serving.key")),
            ],
        );
        self.api = Some(api);
        eventually("the API server is ready", || {
            self.try_kubectl(host, &["get", "--raw=/readyz"], "").is_some()
        });
        eventually("the namespace exists", || {
            self.try_kubectl(host, &["get", "namespace", "default"], "").is_some()
        });
    }

    /// The token of [`GENKAN`], and no other, from the next start of the API server on.
    pub(crate) fn know_token(&self, token: &str) {
        let tokens =
            format!("{ADMIN},{ADMIN},{ADMIN},\"system:masters\"\n{token},{GENKAN},{GENKAN}\n");
        fs::write(self.directory.path().join("tokens.csv"), tokens).unwrap();
    }

    /// Writes the kubeconfig of a user with this token.
    pub(crate) fn hand_out(&self, user: &str, token: &str) {
        fs::write(self.kubeconfig(user), self.kubeconfig_text(user, token)).unwrap();
    }

    /// SIGKILL to the API server.
    pub(crate) fn kill(&mut self) {
        let mut api = self.api.take().expect("the API server runs");
        api.signal(Signal::SIGKILL);
        api.wait(genkan::testing::deadline::DEADLINE);
    }

    pub(crate) fn apply(&self, host: &Host, yaml: &str) {
        self.kubectl(host, &["apply", "--validate=false", "-f", "-"], yaml);
    }

    /// As the administrator.
    pub(crate) fn kubectl(&self, host: &Host, arguments: &[&str], input: &str) -> String {
        let answer = self.try_kubectl(host, arguments, input);
        answer.unwrap_or_else(|| panic!("kubectl {arguments:?}"))
    }

    /// `None`: it ends with another code than 0.
    pub(crate) fn try_kubectl(
        &self,
        host: &Host,
        arguments: &[&str],
        input: &str,
    ) -> Option<String> {
        let mut command = host.command(self.programs.join("kubectl").to_str().unwrap());
        command.arg("--kubeconfig").arg(self.kubeconfig(ADMIN)).args(arguments);
        // Where it keeps what it has discovered.
        command.env("HOME", self.directory.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let is_done = output.status.success();
        if !is_done && !arguments.contains(&"get") {
            println!("{}", String::from_utf8_lossy(&output.stderr));
        }
        is_done.then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn kubeconfig_text(&self, user: &str, token: &str) -> String {
        let ca = self.directory.path().join("ca.crt");
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: '{SERVER}', \
             certificate-authority: {}}}}}]\n\
             users: [{{name: {user}, user: {{token: {token}}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: {user}}}}}]\n",
            ca.display()
        )
    }
}
