//! From a Service and its endpoints to a [`Cluster`] (C9, C10, E1-E4, E6-E9, E15).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::model::options::BackendProtocol;
use crate::model::{
    Endpoint, EndpointSet, Kind, ObjectRef, Origin, PortRef, Problem, Reason, RuleId, Service,
    ServicePort,
};
use crate::routing::cluster::{Cluster, ClusterState, UpstreamEndpoint, UpstreamProtocol};
use crate::routing::{EndpointRules, Settings};

use super::clusters::{ClusterKey, ServiceState};

/// The cluster as it stands now; without a Service it keeps its place and answers 503 (C9).
pub(super) fn cluster(
    key: &ClusterKey,
    state: Option<&ServiceState>,
    settings: &Settings,
) -> Cluster {
    let (namespace, service) = &key.service;
    let port_name = match &key.port {
        PortRef::Name(name) => name.to_string(),
        PortRef::Number(number) => number.to_string(),
    };
    let mut cluster = Cluster {
        name: format!("{namespace}/{service}:{port_name}").into(),
        namespace: namespace.clone(),
        service: service.clone(),
        protocol: protocol(key.protocol, None, settings),
        balance: settings.balance,
        endpoints: Arc::new([]),
        state: ClusterState::ServiceNotFound,
    };
    let Some((state, found)) = state.and_then(|state| Some((state, state.service.as_ref()?)))
    else {
        return cluster;
    };
    if found.external_name.is_some() {
        cluster.state = ClusterState::ExternalName;
        return cluster;
    }
    let Some(port) = service_port(found, &key.port, settings) else {
        cluster.state = ClusterState::PortNotFound;
        return cluster;
    };
    let sets = sets_in_use(state);
    cluster.protocol = protocol(key.protocol, app_protocol(port, &sets), settings);
    cluster.endpoints = usable(found, port, &sets, &settings.endpoints);
    cluster.state =
        if cluster.endpoints.is_empty() { ClusterState::NoEndpoints } else { ClusterState::Ready };
    cluster
}

/// C10: a name is the Service port's name, a number its `port`. ingress-nginx takes a numeric
/// `targetPort` as well.
pub(super) fn service_port<'a>(
    service: &'a Service,
    port: &PortRef,
    settings: &Settings,
) -> Option<&'a ServicePort> {
    let mut ports = service.ports.iter();
    match port {
        PortRef::Name(name) => ports.find(|p| p.name == *name),
        PortRef::Number(number) => ports.find(|p| p.port == *number).or_else(|| {
            let mut ports = service.ports.iter().filter(|_| settings.is_nginx());
            ports.find(|p| p.target_port == Some(*number))
        }),
    }
}

/// E1: all slices, whoever manages them; the Endpoints object only where no slice exists.
pub(super) fn sets_in_use(state: &ServiceState) -> Vec<&EndpointSet> {
    let is_slice = |set: &&EndpointSet| set.object.kind == Kind::EndpointSlice;
    let slices: Vec<&EndpointSet> = state.sets.values().filter(is_slice).collect();
    if slices.is_empty() { state.sets.values().collect() } else { slices }
}

/// E9: an endpoint that is not served for its address.
pub(super) fn refused(set: &EndpointSet, rules: &EndpointRules) -> Vec<Problem> {
    let refused = set.endpoints.iter().filter_map(|endpoint| {
        let (address, what) = (endpoint.address, rules.refusal(endpoint.address)?);
        let field = match set.object.kind {
            Kind::EndpointSlice => format!("endpoints[{}].addresses[0]", endpoint.index),
            _ => "subsets".to_owned(),
        };
        let object = match set.object.kind {
            Kind::EndpointSlice => set.object.clone(),
            // One of several subsets; the object has the Service's name.
            kind => ObjectRef::new(kind, &set.object.namespace, &set.service),
        };
        Some(Problem {
            object: Some(object),
            origin: Origin::Cluster,
            field,
            reason: Reason::InvalidEndpoint,
            rule: Some(RuleId::E9),
            message: format!(
                "{address} is {what}; it is not served (endpoints.allow has the exceptions)"
            ),
        })
    });
    refused.collect()
}

/// E3, E4: those that are ready and do not terminate; if there is none, those that terminate and
/// still serve. A Service that publishes addresses that are not ready says that `ready` is to be
/// believed of terminating ones too. Each address and port once (E1), sorted.
fn usable(
    service: &Service,
    port: &ServicePort,
    sets: &[&EndpointSet],
    rules: &EndpointRules,
) -> Arc<[UpstreamEndpoint]> {
    let publishes = service.publish_not_ready;
    let ready = select(port, sets, rules, |e| e.ready && (publishes || !e.terminating));
    if ready.is_empty() { select(port, sets, rules, |e| e.serving && e.terminating) } else { ready }
}

fn select(
    port: &ServicePort,
    sets: &[&EndpointSet],
    rules: &EndpointRules,
    fits: impl Fn(&Endpoint) -> bool,
) -> Arc<[UpstreamEndpoint]> {
    let mut found: BTreeMap<SocketAddr, Option<Arc<str>>> = BTreeMap::new();
    for set in sets {
        // E6: by name; the number may differ from slice to slice.
        let Some(own) = set.ports.iter().find(|own| own.name == port.name) else { continue };
        let number = own.port.unwrap_or(port.port);
        let endpoints = set.endpoints.iter().filter(|endpoint| fits(endpoint));
        for endpoint in endpoints.filter(|endpoint| rules.admits(endpoint.address)) {
            let pod = found.entry(SocketAddr::new(endpoint.address, number)).or_default();
            if pod.is_none() {
                *pod = endpoint.pod.clone();
            }
        }
    }
    found.into_iter().map(|(address, pod)| UpstreamEndpoint { address, pod }).collect()
}

/// E7: of the Service port, else of the first slice that has one.
fn app_protocol<'a>(port: &'a ServicePort, sets: &[&'a EndpointSet]) -> Option<&'a str> {
    port.app_protocol.as_deref().or_else(|| {
        let own = sets.iter().flat_map(|set| &set.ports).filter(|own| own.name == port.name);
        own.filter_map(|own| own.app_protocol.as_deref()).next()
    })
}

/// E7: the annotation, then `appProtocol`, then HTTP/1.1.
fn protocol(
    annotation: Option<BackendProtocol>,
    app_protocol: Option<&str>,
    settings: &Settings,
) -> UpstreamProtocol {
    let verify = settings.verify_upstream;
    match (annotation, app_protocol) {
        (Some(BackendProtocol::Http), _) => UpstreamProtocol::Http1,
        (Some(BackendProtocol::Https), _) => UpstreamProtocol::Http1Tls { verify },
        (Some(BackendProtocol::H2c), _) | (None, Some("kubernetes.io/h2c")) => {
            UpstreamProtocol::H2c
        }
        (Some(BackendProtocol::H2), _) => UpstreamProtocol::H2Tls { verify },
        (None, Some(text)) if text == "kubernetes.io/wss" || text.eq_ignore_ascii_case("https") => {
            UpstreamProtocol::Http1Tls { verify }
        }
        (None, Some(_) | None) => UpstreamProtocol::Http1,
    }
}
