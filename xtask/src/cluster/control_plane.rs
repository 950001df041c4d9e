//! etcd, API server, controller manager and scheduler: their arguments.

use std::path::Path;

use super::pki::Pki;
use super::plan::{API_PORT, Host, SERVICES};

/// Where etcd listens, on the control host alone.
const ETCD: &str = "http://127.0.0.1:2379";

/// Without waiting for the disk: this cluster's data outlives no crash.
pub(super) fn etcd(data: &Path) -> Vec<String> {
    vec![
        "--name=control".to_owned(),
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={ETCD}"),
        format!("--advertise-client-urls={ETCD}"),
        "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
        "--initial-advertise-peer-urls=http://127.0.0.1:2380".to_owned(),
        "--initial-cluster=control=http://127.0.0.1:2380".to_owned(),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

pub(super) fn api_server(pki: &Pki) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", pki.path(name).display());
    vec![
        format!("--etcd-servers={ETCD}"),
        "--bind-address=::".to_owned(),
        format!("--secure-port={API_PORT}"),
        format!("--advertise-address={}", Host::Control.addresses().v4),
        format!("--service-cluster-ip-range={}", SERVICES.join(",")),
        file("tls-cert-file", "serving.crt"),
        file("tls-private-key-file", "serving.key"),
        file("client-ca-file", "ca.crt"),
        file("token-auth-file", "tokens.csv"),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        file("service-account-key-file", "service-accounts.crt"),
        file("service-account-signing-key-file", "service-accounts.key"),
        file("kubelet-client-certificate", "kubelet-client.crt"),
        file("kubelet-client-key", "kubelet-client.key"),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--allow-privileged=true".to_owned(),
    ]
}

/// Prefixes of pods are in the plan already, so none are given out. A dead node is noticed within
/// 20 s instead of 50. `plugins` would be made in `/usr` otherwise.
pub(super) fn controller_manager(pki: &Pki, kubeconfig: &Path, plugins: &Path) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", pki.path(name).display());
    vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        file("root-ca-file", "ca.crt"),
        file("service-account-private-key-file", "service-accounts.key"),
        file("cluster-signing-cert-file", "ca.crt"),
        file("cluster-signing-key-file", "ca.key"),
        "--use-service-account-credentials=true".to_owned(),
        "--allocate-node-cidrs=false".to_owned(),
        format!("--flex-volume-plugin-dir={}", plugins.display()),
        "--node-monitor-period=2s".to_owned(),
        "--node-monitor-grace-period=20s".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        "--leader-elect=false".to_owned(),
    ]
}

pub(super) fn scheduler(kubeconfig: &Path) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        "--bind-address=127.0.0.1".to_owned(),
        "--leader-elect=false".to_owned(),
    ]
}
