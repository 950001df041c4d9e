//! Which endpoints a request could go to, and why not to the others (C9, C10, E1-E6).

use std::net::SocketAddr;

use crate::model::{Endpoint, EndpointSet, Kind, RuleId, ServicePort};
use crate::routing::cluster::{Balance, Cluster, ClusterId, ClusterState, UpstreamProtocol};
use crate::routing::compile::endpoints::{service_port, sets_in_use};
use crate::routing::compile::{Compiler, clusters::ServiceState};
use crate::routing::explain::{ClusterAnswer, EndpointAnswer, Outcome};

pub(super) fn answer(compiler: &Compiler, id: ClusterId) -> (Option<ClusterAnswer>, Outcome) {
    let closed = |reason: &str| Outcome::Answer { status: 503, reason: reason.to_owned() };
    let Some(cluster) = compiler.snapshot.cluster(id) else {
        return (None, closed("no such cluster"));
    };
    let (state, outcome) = match cluster.state {
        ClusterState::Ready => ("ready", Outcome::Forward),
        ClusterState::NoEndpoints => ("no usable endpoint", closed("no usable endpoint (C9)")),
        ClusterState::ServiceNotFound => {
            ("no such Service", closed("the Service does not exist (C9)"))
        }
        ClusterState::PortNotFound => {
            ("no such port", closed("the Service has no such port (C10)"))
        }
        ClusterState::ExternalName => {
            ("ExternalName", closed("Services of type ExternalName are not served (E15)"))
        }
    };
    let answer = ClusterAnswer {
        name: cluster.name.to_string(),
        state: state.to_owned(),
        protocol: protocol(cluster.protocol).to_owned(),
        balance: match cluster.balance {
            Balance::RoundRobin => "round robin",
            Balance::LeastRequest => "the less loaded of two",
        }
        .to_owned(),
        endpoints: endpoints(compiler, id, cluster),
    };
    (Some(answer), outcome)
}

fn protocol(protocol: UpstreamProtocol) -> &'static str {
    match protocol {
        UpstreamProtocol::Http1 => "HTTP/1.1",
        UpstreamProtocol::H2c => "HTTP/2 without TLS",
        UpstreamProtocol::Http1Tls { verify: true } => "HTTPS, verified",
        UpstreamProtocol::Http1Tls { verify: false } => "HTTPS, not verified",
        UpstreamProtocol::H2Tls { verify: true } => "HTTP/2 over TLS, verified",
        UpstreamProtocol::H2Tls { verify: false } => "HTTP/2 over TLS, not verified",
    }
}

/// Every endpoint of the Service, those in use first.
fn endpoints(compiler: &Compiler, id: ClusterId, cluster: &Cluster) -> Vec<EndpointAnswer> {
    let Some(key) = compiler.clusters.key(id) else { return Vec::new() };
    let Some(state) = compiler.clusters.state(&key.service) else { return Vec::new() };
    let service = state.service.as_ref();
    let port = service.and_then(|service| service_port(service, &key.port, &compiler.settings));
    let mut answers = Vec::new();
    for set in state.sets.values() {
        for endpoint in &set.endpoints {
            answers.push(judge(endpoint, set, port, state, cluster));
        }
    }
    answers.sort_by(|a, b| (!a.used, &a.address).cmp(&(!b.used, &b.address)));
    answers
}

fn judge(
    endpoint: &Endpoint,
    set: &EndpointSet,
    port: Option<&ServicePort>,
    state: &ServiceState,
    cluster: &Cluster,
) -> EndpointAnswer {
    let own = port.and_then(|port| set.ports.iter().find(|own| own.name == port.name));
    let number = port.zip(own).map(|(port, own)| own.port.unwrap_or(port.port));
    let address = number.map(|number| SocketAddr::new(endpoint.address, number));
    let in_use = sets_in_use(state).iter().any(|other| other.object == set.object);
    let eligible = in_use && (endpoint.ready || endpoint.serving && endpoint.terminating);
    let used = eligible
        && address.is_some_and(|address| cluster.endpoints.iter().any(|e| e.address == address));
    let (rule, why) = if used && endpoint.terminating {
        (RuleId::E4, "terminating and still serving; no other is ready")
    } else if used {
        (RuleId::E4, "ready")
    } else if !in_use {
        (RuleId::E6, "the Service has EndpointSlices, so its Endpoints object is not read")
    } else if port.is_none() {
        (RuleId::C10, "the Service has no such port")
    } else if own.is_none() {
        (RuleId::E6, "its slice has no port with the name of the Service port")
    } else if endpoint.terminating && endpoint.serving {
        (RuleId::E4, "terminating, and others are ready")
    } else if endpoint.terminating {
        (RuleId::E4, "terminating and not serving any more")
    } else if !endpoint.ready {
        (RuleId::E4, "not ready")
    } else {
        (RuleId::E9, "its address is refused")
    };
    EndpointAnswer {
        address: match address {
            Some(address) => address.to_string(),
            None => endpoint.address.to_string(),
        },
        pod: endpoint.pod.as_ref().map(ToString::to_string),
        object: match set.object.kind {
            // Further subsets have made-up names.
            Kind::Endpoints => format!("Endpoints {}/{}", set.object.namespace, set.service),
            _ => set.object.to_string(),
        },
        used,
        rule: rule.to_string(),
        why: why.to_owned(),
    }
}
