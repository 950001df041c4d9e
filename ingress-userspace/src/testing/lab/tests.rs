use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::*;
use crate::testing::backend::{Backend, Protocol};
use crate::testing::{require_root, require_tool};

fn namespaces_of(lab: &str) -> usize {
    let Ok(entries) = std::fs::read_dir(NAMESPACES) else { return 0 };
    entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(lab)).count()
}

#[test]
fn the_edge_reaches_pods_and_the_client_reaches_the_edge() {
    if !require_root() || !require_tool("ethtool") {
        return;
    }
    let lab = EdgeLab::new(2);
    for (pod, host) in lab.pods.iter().enumerate() {
        for address in lab.pod_addresses(pod) {
            let address = SocketAddr::new(address, 8080);
            let name = format!("pod-{pod}");
            let backend = host.run(|| Backend::bind(&name, Protocol::Http1, address).unwrap());
            let limit = Duration::from_secs(5);
            lab.edge.run(|| TcpStream::connect_timeout(&address, limit)).unwrap();
            drop(backend);
        }
    }
    for address in lab.edge_addresses() {
        lab.client.output("ping", &["-c1", "-W5", &address.to_string()]);
    }
}

#[test]
fn hosts_go_with_the_lab_also_after_a_panic() {
    if !require_root() {
        return;
    }
    let mut name = String::new();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut lab = Lab::new();
        name = format!("{}-", lab.name());
        lab.host("one");
        assert_eq!(namespaces_of(&name), 1);
        panic!("the test fails");
    }));
    assert!(panicked.is_err());
    assert_eq!(namespaces_of(&name), 0);
}

#[test]
fn a_host_has_its_own_bpffs() {
    if !require_root() {
        return;
    }
    let mut lab = Lab::new();
    let (one, other) = (lab.host("one"), lab.host("other"));
    one.run(|| std::fs::create_dir("/sys/fs/bpf/here")).unwrap();
    assert!(one.command("test").args(["-d", "/sys/fs/bpf/here"]).status().unwrap().success());
    assert!(!other.run(|| Path::new("/sys/fs/bpf/here").exists()));
    assert!(!Path::new("/sys/fs/bpf/here").exists());
}

#[test]
fn leftovers_of_dead_runs_are_recognised() {
    assert!(dead_owner("gk4294967295x0"));
    assert!(!dead_owner(&format!("gk{}x0", std::process::id())));
    assert!(!dead_owner("genkan-demo"));
    assert!(!dead_owner("gkx"));
}
