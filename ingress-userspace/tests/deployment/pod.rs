//! The pod has the rights that it needs: what reads bytes of clients has none, and nothing takes a
//! port of the host.

use clap::Parser;
use genkan::cli::Cli;
use genkan::config::Config;
use serde_json::{Value, json};

use super::yaml;

fn container(pod: &Value, name: &str) -> Value {
    let containers = pod["containers"].as_array().unwrap();
    containers.iter().find(|container| container["name"] == name).unwrap().clone()
}

fn mounts(container: &Value) -> Vec<String> {
    let mounts = container["volumeMounts"].as_array().unwrap();
    mounts.iter().map(|mount| mount["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_program_takes_the_command_lines_of_the_containers() {
    let pod = yaml("deploy/base/daemonset.yaml")["spec"]["template"]["spec"].clone();
    for name in ["agent", "proxy"] {
        let container = container(&pod, name);
        let arguments = container["args"].as_array().unwrap().iter();
        let arguments = arguments.map(|argument| argument.as_str().unwrap());
        let parsed = Cli::try_parse_from(std::iter::once("genkan").chain(arguments));
        if let Err(error) = parsed {
            panic!("{name}: {error}");
        }
        let probe = container["livenessProbe"]["exec"]["command"].as_array().unwrap();
        assert!(Cli::try_parse_from(probe.iter().map(|word| word.as_str().unwrap())).is_ok());
    }
}

#[test]
fn the_proxy_has_no_token_no_capability_and_no_root() {
    let pod = yaml("deploy/base/daemonset.yaml")["spec"]["template"]["spec"].clone();
    assert_eq!(pod["automountServiceAccountToken"], false);
    let proxy = container(&pod, "proxy");
    let security = &proxy["securityContext"];
    assert_eq!(security["runAsNonRoot"], true);
    assert_eq!(security["runAsUser"], 65532);
    assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}));
    assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(mounts(&proxy), ["agent", "proxy"], "neither a token nor a path of the host");
    assert_eq!(proxy["volumeMounts"][0]["readOnly"], true, "the sockets of the agent are its own");
}

#[test]
fn the_agent_has_three_capabilities_and_is_not_privileged() {
    let pod = yaml("deploy/base/daemonset.yaml")["spec"]["template"]["spec"].clone();
    let agent = container(&pod, "agent");
    let capabilities = &agent["securityContext"]["capabilities"];
    let three = json!(["BPF", "PERFMON", "NET_ADMIN"]);
    assert_eq!(capabilities, &json!({"drop": ["ALL"], "add": three}));
    assert_eq!(mounts(&agent), ["config", "agent", "node", "bpf", "token"]);
    for container in [agent, container(&pod, "proxy")] {
        let security = &container["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert!(security.get("privileged").is_none());
    }
}

#[test]
fn no_port_of_the_host_is_taken_but_those_of_vips() {
    let daemonset = yaml("deploy/base/daemonset.yaml");
    let pod = &daemonset["spec"]["template"]["spec"];
    assert_eq!(pod["hostNetwork"], true);
    for name in ["agent", "proxy"] {
        let container = container(pod, name);
        assert!(container.get("ports").is_none(), "{name}: it would be a port of the host");
        assert!(container["livenessProbe"].get("exec").is_some(), "{name}");
    }
    // It knows whether connections come to the proxy.
    assert!(container(pod, "agent")["readinessProbe"].get("exec").is_some());
}

#[test]
fn the_grace_period_is_longer_than_the_time_to_drain() {
    let pod = yaml("deploy/base/daemonset.yaml")["spec"]["template"]["spec"].clone();
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace > Config::default().timeouts.drain.as_secs() + 30);
}
