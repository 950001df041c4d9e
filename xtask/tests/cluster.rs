//! The cluster command as a user has it: a real Kubernetes comes up, runs pods, and goes.
//!
//! Needs root, and Go for the first run; so it is built with the feature `cluster-tests` only:
//! `cargo test -p xtask --features cluster-tests --test cluster`. One cluster at a time: each takes
//! both processors of a small machine.

#![allow(clippy::unwrap_used, reason = "test helpers fail by panics")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(180);

/// Three pods of the lab's own image.
const ECHO: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo}
spec:
  replicas: 3
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      containers:
      - name: echo
        image: localhost/genkan-echo:lab
        readinessProbe: {httpGet: {path: /health, port: 3000}, periodSeconds: 1}
        env:
        - name: POD_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        - {name: SERVICE_NAME, value: echo}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec:
  ipFamilyPolicy: RequireDualStack
  selector: {app: echo}
  ports: [{port: 80, targetPort: 3000}]
"#;

/// A cluster that is removed also when the test fails.
struct Cluster {
    name: String,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// None yet; a name that no other run uses.
    fn named(name: &str) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Self { name: format!("{name}-{}", std::process::id()), _turn: turn }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(["cluster", "--name", &self.name]).args(arguments).stdin(Stdio::null());
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of what has to succeed.
    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {}\n{out}{err}", output.status);
        out
    }

    /// Standard output of kubectl on the control host.
    fn kubectl(&self, arguments: &[&str]) -> String {
        self.succeeds(&[&["exec", "control", "--", "kubectl"], arguments].concat())
    }

    fn apply(&self, manifest: &str) {
        let mut kubectl = self
            .command(&["exec", "control", "--", "kubectl", "apply", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        kubectl.stdin.take().unwrap().write_all(manifest.as_bytes()).unwrap();
        assert!(kubectl.wait().unwrap().success());
    }

    /// What of it is on this machine: namespaces, mounts, groups, processes.
    fn traces(&self) -> Vec<String> {
        let names = text(&Command::new("ip").args(["netns", "list"]).output().unwrap().stdout);
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let groups = text(
            &Command::new("find")
                .args(["/sys/fs/cgroup", "-name", &format!("{}.cluster", self.name)])
                .output()
                .unwrap()
                .stdout,
        );
        let ours = |line: &&str| line.contains(&self.name);
        let mut traces: Vec<String> = [names, mounts, groups]
            .iter()
            .flat_map(|text| text.lines().filter(ours).map(str::to_owned).collect::<Vec<_>>())
            .collect();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(line) = fs::read_to_string(entry.path().join("cmdline")) else { continue };
            // The test itself is not named after its cluster.
            if line.contains(&self.name) {
                traces.push(line.replace('\0', " "));
            }
        }
        let record = format!("/run/genkan-cluster/{}.json", self.name);
        traces.extend(Path::new(&record).exists().then_some(record));
        traces
    }

    fn wait_until_gone(&self) {
        let traces = || Some(self.traces()).filter(|traces| !traces.is_empty());
        let started = Instant::now();
        while let Some(traces) = traces() {
            assert!(started.elapsed() < LIMIT, "left behind:\n{}", traces.join("\n"));
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Where the test has done so already, this finds nothing.
        self.output(&["down"]);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn pods_run_are_reached_from_the_client_and_nothing_is_left() {
    let cluster = Cluster::named("smoke");
    println!("{}", cluster.succeeds(&["up", "--nodes", "2"]));
    cluster.apply(ECHO);
    cluster.kubectl(&["rollout", "status", "deployment/echo", "--timeout=120s"]);

    let nodes = cluster.kubectl(&["get", "nodes", "--no-headers"]);
    assert_eq!(nodes.lines().filter(|line| line.contains(" Ready ")).count(), 2, "{nodes}");

    let pods = cluster.kubectl(&[
        "get",
        "pods",
        "--selector=app=echo",
        "--output=jsonpath={range .items[*]}{.metadata.name}{\" \"}{.status.podIPs[*].ip}{\"\\n\"}{end}",
    ]);
    assert_eq!(pods.lines().count(), 3, "{pods}");
    for pod in pods.lines() {
        let fields: Vec<&str> = pod.split(' ').collect();
        let [name, v4, v6] = fields[..] else { panic!("no pod of both families: {pod}") };
        for url in [format!("http://{v4}:3000/a"), format!("http://[{v6}]:3000/a")] {
            let answer = cluster.succeeds(&["exec", "client", "--", "curl", "-sS", "-g", &url]);
            assert!(answer.contains(&format!("\"pod\": \"{name}\"")), "{url}: {answer}");
        }
        let logs = cluster.kubectl(&["logs", name]);
        assert!(logs.contains("GET"), "{logs}");
        // The image has one program; that it starts shows that exec reaches the container.
        let exec = cluster
            .output(&["exec", "control", "--", "kubectl", "exec", name, "--", "echo", "--help"]);
        assert!(text(&exec.stdout).contains("echo"), "{}", text(&exec.stderr));
    }

    let service = cluster.kubectl(&["get", "service", "echo", "-o", "jsonpath={.spec.clusterIPs}"]);
    let addresses: Vec<String> = serde_json::from_str(&service).unwrap();
    assert_eq!(addresses.len(), 2, "{service}");
    for address in addresses {
        let host = if address.contains(':') { format!("[{address}]") } else { address };
        let url = format!("http://{host}/");
        cluster.succeeds(&["exec", "node1", "--", "curl", "-sSf", "-g", "--max-time", "10", &url]);
    }

    let kubeconfig = cluster.succeeds(&["kubeconfig"]);
    assert!(Path::new(kubeconfig.trim()).is_file());
    let status: serde_json::Value =
        serde_json::from_str(&cluster.succeeds(&["status", "--output", "json"])).unwrap();
    assert_eq!(status["ready_nodes"].as_array().unwrap().len(), 2);
    assert_eq!(
        cluster.output(&["exec", "node2", "--", "sh", "-c", "exit 7"]).status.code(),
        Some(7)
    );
    assert!(!cluster.output(&["up"]).status.success(), "a second one of the same name");

    cluster.succeeds(&["down"]);
    assert_eq!(cluster.traces(), [""; 0]);
    cluster.succeeds(&["down"]);
}

#[test]
fn an_interrupted_start_leaves_nothing() {
    let cluster = Cluster::named("cut");
    let mut up: Child =
        cluster.command(&["up", "--nodes", "1"]).stdout(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while !cluster.traces().iter().any(|trace| trace.contains("kube-apiserver")) {
        assert!(started.elapsed() < LIMIT, "no API server was started");
        thread::sleep(Duration::from_millis(20));
    }
    up.kill().unwrap();
    up.wait().unwrap();
    cluster.wait_until_gone();
}
