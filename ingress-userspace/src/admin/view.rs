//! The status document, put together from the published snapshot, the node and the control side.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Node;
use super::control::View;
use super::query::{Order, Query};
use super::status::{
    Certificate, Cluster, Configuration, Counts, Endpoint, Object, Page, Problem, Process,
    Readiness, Route, Status,
};
use crate::metrics::{self, process};
use crate::model::{self, Origin, PathKind};
use crate::routing::listing::{CertificateFacts, ListedHost};
use crate::routing::{self, Action, Balance, ClusterState, Snapshot, UpstreamProtocol};

pub(super) fn status(node: &dyn Node, view: &View, readiness: Readiness, query: &Query) -> Status {
    let snapshot = node.snapshot();
    let workers = node.workers();
    let served = workers.iter().map(|worker| worker.served).min().unwrap_or(0);
    let mut traffic = node.vips();
    let mut vips = view.vips.clone();
    for vip in &mut vips {
        vip.traffic = traffic.remove(&*vip.name).unwrap_or_default();
    }
    Status {
        process: process(),
        readiness,
        configuration: configuration(view, &snapshot, served),
        interfaces: view.interfaces.clone(),
        vips,
        workers,
        traffic: node.traffic(),
        source: view.source.clone(),
        duration_bounds: metrics::BOUNDS.to_vec(),
        routes: query.routes.then(|| routes(&snapshot, query)),
        clusters: query.clusters.then(|| clusters(&snapshot, query)),
        certificates: query.certificates.then(|| certificates(&snapshot, query)),
        problems: query.problems.then(|| problems(&view.problems, query)),
    }
}

pub(super) fn process() -> Process {
    let facts = process::Process::read();
    Process {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started: epoch(process::started()),
        uptime: process::uptime().as_secs_f64(),
        resident_bytes: facts.resident_bytes,
        cpu: facts.cpu.as_secs_f64(),
        threads: facts.threads,
        open_files: facts.open_files,
        file_limit: facts.file_limit,
    }
}

fn configuration(view: &View, snapshot: &Snapshot, served: u64) -> Configuration {
    let configured = &view.configured;
    Configuration {
        file: configured.file.clone(),
        taken: epoch(configured.taken),
        reloads: configured.reloads,
        reloads_failed: configured.reloads_failed,
        errors: configured.errors.clone(),
        snapshot: snapshot.version,
        served,
        published: epoch(configured.published),
        hosts: snapshot.host_count(),
        clusters: snapshot.cluster_count(),
        problems: view.problems.len(),
    }
}

pub(super) fn routes(snapshot: &Snapshot, query: &Query) -> Page<Route> {
    let mut found: Vec<(ListedHost<'_>, &Arc<routing::Route>)> = Vec::new();
    snapshot.each_route(|host, route| {
        let is_wanted = (query.ids.is_empty() || query.ids.contains(&*route.id))
            && is(&query.namespace, &route.namespace)
            && is(&query.ingress, &route.ingress)
            && query.host.as_ref().is_none_or(|wanted| host.text().as_ref() == Some(wanted))
            && query.service.as_ref().is_none_or(|wanted| {
                let cluster = forwards_to(snapshot, route);
                cluster.is_some_and(|cluster| *cluster.service == **wanted)
            });
        if is_wanted {
            found.push((host, route));
        }
    });
    match query.order {
        Order::Name => {
            found.sort_by(|a, b| (a.0, &a.1.path, &a.1.id).cmp(&(b.0, &b.1.path, &b.1.id)))
        }
        Order::Requests => found.sort_by_cached_key(|(_, route)| Reverse(route.tally.requests())),
    }
    page(&found, query, |(host, route)| describe_route(snapshot, *host, route))
}

pub(super) fn clusters(snapshot: &Snapshot, query: &Query) -> Page<Cluster> {
    let mut found: Vec<&Arc<routing::Cluster>> = Vec::new();
    snapshot.each_cluster(|cluster| {
        if is(&query.namespace, &cluster.namespace) && is(&query.service, &cluster.service) {
            found.push(cluster);
        }
    });
    found.sort_by(|a, b| a.name.cmp(&b.name));
    page(&found, query, |cluster| describe_cluster(cluster))
}

pub(super) fn certificates(snapshot: &Snapshot, query: &Query) -> Page<Certificate> {
    let mut found: Vec<&CertificateFacts> = Vec::new();
    snapshot.each_certificate(|facts| {
        if is(&query.namespace, &facts.namespace) {
            found.push(facts);
        }
    });
    found.sort_by_key(|facts| (&facts.namespace, &facts.secret));
    page(&found, query, |facts| Certificate {
        namespace: facts.namespace.to_string(),
        secret: facts.secret.to_string(),
        names: facts.names.iter().map(ToString::to_string).collect(),
        not_before: facts.not_before,
        not_after: facts.not_after,
        fingerprint: facts.fingerprint.to_string(),
    })
}

pub(super) fn problems(all: &[model::Problem], query: &Query) -> Page<Problem> {
    let is_wanted = |problem: &&model::Problem| {
        let object = problem.object.as_ref();
        let named = |wanted: &Option<String>, name: fn(&model::ObjectRef) -> &str| {
            wanted.as_ref().is_none_or(|wanted| object.is_some_and(|o| name(o) == wanted))
        };
        named(&query.namespace, |object| &object.namespace)
            && named(&query.ingress, |object| &object.name)
    };
    let found: Vec<&model::Problem> = all.iter().filter(is_wanted).collect();
    page(&found, query, |problem| describe_problem(problem))
}

fn page<T, U>(found: &[T], query: &Query, describe: impl Fn(&T) -> U) -> Page<U> {
    let items = found.iter().skip(query.offset).take(query.limit).map(describe).collect();
    Page { total: found.len(), offset: query.offset, items }
}

fn is(wanted: &Option<String>, name: &str) -> bool {
    wanted.as_ref().is_none_or(|wanted| wanted == name)
}

fn forwards_to<'a>(
    snapshot: &'a Snapshot,
    route: &routing::Route,
) -> Option<&'a Arc<routing::Cluster>> {
    match route.action {
        Action::Forward(id) => snapshot.cluster(id),
        Action::Redirect(_) | Action::Refuse { .. } => None,
    }
}

fn describe_route(snapshot: &Snapshot, host: ListedHost<'_>, route: &routing::Route) -> Route {
    let moved = match &route.action {
        Action::Redirect(moved) => Some(format!("{} {}", moved.status, moved.to)),
        Action::Forward(_) | Action::Refuse { .. } => None,
    };
    let refuses = match route.action {
        Action::Refuse { reason, .. } => Some(reason.to_string()),
        Action::Forward(_) | Action::Redirect(_) => None,
    };
    let sum = route.tally.sum();
    let mut statuses: Counts =
        sum.statuses.iter().map(|(status, n)| (status.to_string().into(), *n)).collect();
    if sum.others > 0 {
        statuses.insert("other".into(), sum.others);
    }
    Route {
        id: route.id.to_string(),
        namespace: route.namespace.to_string(),
        ingress: route.ingress.to_string(),
        host: host.text(),
        path: route.path.to_string(),
        kind: Cow::Borrowed(kind(route.kind)),
        cluster: forwards_to(snapshot, route).map(|cluster| cluster.name.to_string()),
        refuses,
        moved,
        requests: statuses.values().sum(),
        statuses,
        received_bytes: sum.received,
        sent_bytes: sum.sent,
        duration_sum: sum.duration.seconds(),
        duration_buckets: sum.duration.buckets.to_vec(),
    }
}

fn kind(kind: Option<PathKind>) -> &'static str {
    match kind {
        None => "Default",
        Some(PathKind::Exact) => "Exact",
        Some(PathKind::Prefix) => "Prefix",
        Some(PathKind::ImplementationSpecific) => "ImplementationSpecific",
    }
}

fn describe_cluster(cluster: &routing::Cluster) -> Cluster {
    let protocol = match cluster.protocol {
        UpstreamProtocol::Http1 => "http1",
        UpstreamProtocol::H2c => "h2c",
        UpstreamProtocol::Http1Tls { .. } => "https",
        UpstreamProtocol::H2Tls { .. } => "h2",
    };
    let balance = match cluster.balance {
        Balance::RoundRobin => "round_robin",
        Balance::LeastRequest => "least_request",
    };
    let state = match cluster.state {
        ClusterState::Ready => "ready",
        ClusterState::NoEndpoints => "no endpoint is ready",
        ClusterState::ServiceNotFound => "Service not found",
        ClusterState::PortNotFound => "port not found in the Service",
        ClusterState::ExternalName => "ExternalName Services are not served",
    };
    let endpoint = |endpoint: &routing::UpstreamEndpoint| Endpoint {
        address: endpoint.address,
        pod: endpoint.pod.as_ref().map(ToString::to_string),
        state: Cow::Borrowed("ready"),
    };
    Cluster {
        name: cluster.name.to_string(),
        namespace: cluster.namespace.to_string(),
        service: cluster.service.to_string(),
        protocol: Cow::Borrowed(protocol),
        balance: Cow::Borrowed(balance),
        state: Cow::Borrowed(state),
        endpoints: cluster.endpoints.iter().map(endpoint).collect(),
    }
}

fn describe_problem(problem: &model::Problem) -> Problem {
    let (file, line) = match &problem.origin {
        Origin::File { path, line } => (Some(path.display().to_string()), Some(*line)),
        Origin::Configuration | Origin::Cluster => (None, None),
    };
    Problem {
        object: problem.object.as_ref().map(|object| Object {
            kind: Cow::Borrowed(object.kind.as_str()),
            namespace: object.namespace.to_string(),
            name: object.name.to_string(),
        }),
        file,
        line: line.filter(|line| *line != 0),
        field: problem.field.clone(),
        reason: Cow::Borrowed(problem.reason.as_str()),
        rule: problem.rule.map(|rule| Cow::Borrowed(rule.as_str())),
        message: problem.message.clone(),
    }
}

fn epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
