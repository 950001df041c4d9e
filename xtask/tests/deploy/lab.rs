//! One cluster for the tests that run at the same time, with Helm and kubectl.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(120);
/// Where the release is installed.
pub(crate) const NAMESPACE: &str = "genkan-system";

/// A cluster that is removed with its last user, also when that one fails.
pub(crate) struct Lab {
    name: String,
    kubeconfig: String,
    helm: PathBuf,
}

/// What a program said.
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The cluster that is up already, or a new one.
pub(crate) fn lab() -> Arc<Lab> {
    static SHARED: Mutex<Weak<Lab>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let lab = Arc::new(Lab::start());
        *shared = Arc::downgrade(&lab);
        lab
    })
}

/// A file of the workspace.
pub(crate) fn file(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

pub(crate) fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&file(path)).unwrap()
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn xtask(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

fn said(output: Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { success: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
}

// === impl Lab ===

impl Lab {
    fn start() -> Self {
        let tools = said(xtask(&["deploy", "tools"]).output().unwrap()).good();
        let helm = PathBuf::from(tools.lines().last().unwrap()).join("helm");
        let name = format!("deploy-{}", std::process::id());
        let mut lab = Self { name, kubeconfig: String::new(), helm };
        lab.cluster(&["up", "--nodes", "1"]).good();
        lab.kubeconfig = lab.cluster(&["kubeconfig"]).good().trim().to_owned();
        lab
    }

    fn cluster(&self, arguments: &[&str]) -> Said {
        said(xtask(&[&["cluster", "--name", &self.name], arguments].concat()).output().unwrap())
    }

    /// From the workspace's root, as somebody who may do everything.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Said {
        self.kubectl_with(arguments, "")
    }

    /// With standard input.
    pub(crate) fn kubectl_with(&self, arguments: &[&str], input: &str) -> Said {
        // That of the cluster, not the distribution's old one.
        let exec = ["cluster", "--name", &self.name, "exec", "control", "--", "kubectl"];
        let mut child = xtask(&[&exec, arguments].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        said(child.wait_with_output().unwrap())
    }

    pub(crate) fn helm(&self, arguments: &[&str]) -> Said {
        let mut helm = Command::new(&self.helm);
        helm.args(arguments).args(["--namespace", NAMESPACE]).current_dir(root());
        said(helm.env("KUBECONFIG", &self.kubeconfig).output().unwrap())
    }

    /// Which objects of a List the API server would create: `kind/name`, and what it says.
    pub(crate) fn would_create(&self, items: &[Value]) -> (BTreeSet<String>, String) {
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items});
        let create = ["create", "--dry-run=server", "-o", "name", "-f", "-"];
        let said = self.kubectl_with(&create, &list.to_string());
        (said.out.lines().map(str::to_owned).collect(), said.err)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.cluster(&["down"]);
    }
}

// === impl Said ===

impl Said {
    /// Standard output of what has to succeed.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert!(self.success, "{}{}", self.out, self.err);
        self.out
    }
}

/// Waits until `found` has something.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(started.elapsed() < LIMIT, "{what}");
        thread::sleep(Duration::from_millis(100));
    }
}
