//! A node: its object, and what containerd, the CNI bridge, kubelet and kube-proxy are told.
//!
//! Paths are those inside the node's own mount namespace.

use serde_json::{Value, json};

use super::cgroup::Cgroup;
use super::images::PAUSE;
use super::plan::{Host, PODS};

/// The node's own directory, as the node sees it.
pub(super) const OWN: &str = "/run/node";

/// The Node, made before its kubelet starts: with the prefixes of its pods, so that routes and CNI
/// can be there first.
pub(super) fn object(host: Host) -> Value {
    let pods = host.pods().unwrap_or_default();
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": host.to_string(),
            "labels": {
                "topology.kubernetes.io/zone": host.zone(),
                "topology.kubernetes.io/region": "lab",
            },
        },
        "spec": {"podCIDR": pods[0], "podCIDRs": pods},
    })
}

/// `restrict_oom_score_adj`: without CAP_SYS_RESOURCE runc can't lower a score and gives up.
/// The plugin `opt` would make a directory outside of what the node has for itself.
pub(super) fn containerd_config() -> String {
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "runc"
SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{OWN}/cni"
"#
    )
}

/// A bridge with addresses of both families from the node's prefixes.
pub(super) fn cni_config(host: Host) -> Value {
    let ranges: Vec<Value> =
        host.pods().unwrap_or_default().iter().map(|pods| json!([{"subnet": pods}])).collect();
    json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "dataDir": "/run/cni",
                "ranges": ranges,
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
            },
        }],
    })
}

/// Nothing is evicted or collected for want of this machine's disk and memory, which are not the
/// node's own.
pub(super) fn kubelet_config(host: Host, cgroup: &Cgroup, ca: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": ca},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup.pods(host),
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        "localStorageCapacityIsolation": false,
        "evictionHard": {"memory.available": "1Mi"},
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "2s",
        "oomScoreAdj": 0,
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
    })
}

pub(super) fn kubelet(host: Host) -> Vec<String> {
    let addresses = host.addresses();
    vec![
        format!("--config={OWN}/kubelet.json"),
        format!("--kubeconfig={OWN}/kubelet.kubeconfig"),
        format!("--hostname-override={host}"),
        format!("--node-ip={},{}", addresses.v4, addresses.v6),
    ]
}

/// Limits of connection tracking belong to this machine's own network namespace.
pub(super) fn kube_proxy_config(host: Host) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": format!("{OWN}/kube-proxy.kubeconfig")},
        "hostnameOverride": host.to_string(),
        "clusterCIDR": PODS.join(","),
        "conntrack": {"maxPerCore": 0, "min": 0},
        "oomScoreAdj": 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_and_cni_agree_on_the_prefixes_of_pods() {
        let host = Host::Node(2);
        let node = object(host);
        let ipam = cni_config(host)["plugins"][0]["ipam"]["ranges"].clone();
        assert_eq!(node["spec"]["podCIDRs"][0], ipam[0][0]["subnet"]);
        assert_eq!(node["spec"]["podCIDRs"][1], ipam[1][0]["subnet"]);
        assert_eq!(node["spec"]["podCIDR"], "10.244.2.0/24");
    }

    #[test]
    fn nodes_alternate_between_two_zones() {
        let zone = |number| object(Host::Node(number))["metadata"]["labels"].clone();
        assert_ne!(zone(1), zone(2));
        assert_eq!(zone(1), zone(3));
    }

    #[test]
    fn the_sandbox_is_our_own_image() {
        assert!(containerd_config().contains(&format!("sandbox_image = \"{PAUSE}\"")));
    }

    #[test]
    fn a_kubelet_has_an_address_of_each_family() {
        assert!(kubelet(Host::Node(1)).contains(&"--node-ip=10.80.0.11,fd00:80::b".to_owned()));
    }
}
