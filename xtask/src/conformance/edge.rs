//! Genkan on every node of the cluster: class, configuration, processes.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::cluster::Lab;
use crate::progress::Step;
use crate::workspace;

/// For a process to be ready: programs verified, objects read.
const LIMIT: Duration = Duration::from_secs(60);
/// The nodes' link to the router.
const UPLINK: &str = "eth0";

/// Starts it everywhere and waits until each is ready.
///
/// # Errors
/// One does not become ready; the message has its reasons.
pub(super) fn start(lab: &mut Lab, class: &str) -> Result<()> {
    let step = Step::begin("genkan on every node");
    lab.apply(&[
        json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "genkan-system"},
        }),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": class},
            "spec": {"controller": "genkan.io/ingress-controller"},
        }),
    ])?;
    let config = lab.path("genkan.yaml");
    let ports = json!([
        {"port": 80, "protocol": "http"},
        {"port": 443, "protocol": "https"},
    ]);
    let vip = json!({
        "name": "edge", "addresses": Lab::vips(), "ports": ports, "interfaces": [UPLINK],
    });
    // JSON is YAML.
    let text = json!({"vips": [vip], "classes": {"names": [class]}}).to_string();
    fs::write(&config, text).with_context(|| config.display().to_string())?;
    let program = workspace::target().join("debug/genkan");
    let path = |path: std::path::PathBuf| path.display().to_string();
    let arguments = ["run", "--config", &path(config), "--kubeconfig", &path(lab.kubeconfig())]
        .map(str::to_owned);
    for node in lab.nodes() {
        lab.serve(&node, &program, &arguments)?;
    }
    let program = path(program);
    for node in lab.nodes() {
        let late = Instant::now() + LIMIT;
        while let Err(error) = lab.on(&node, &[&program, "probe", "ready"]) {
            if Instant::now() > late {
                bail!("genkan on {node} is not ready: {error:#}");
            }
            thread::sleep(Duration::from_millis(200));
        }
    }
    step.ok("");
    Ok(())
}
