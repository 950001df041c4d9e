//! What is wrong with the backends of one Ingress (C9, C12, E15).

use crate::model::{Backend, Kind, PortRef, Problem, Reason, RuleId};
use crate::routing::cluster::{Cluster, ClusterState};
use crate::routing::snapshot::Snapshot;

use super::clusters::Clusters;
use super::host::cluster_key;
use super::record::Record;

pub(super) fn problems(record: &Record, clusters: &Clusters, snapshot: &Snapshot) -> Vec<Problem> {
    if record.moved().is_some() {
        // Nobody is sent there.
        return Vec::new();
    }
    let wrong = record.backends().filter_map(|(field, backend)| {
        let (reason, message) = match backend {
            Backend::Resource { kind, name } => (
                Reason::UnsupportedBackend,
                format!("{kind} {name}: resource backends are not supported; answered with 503"),
            ),
            // The annotation that closed it has been reported.
            Backend::Closed => return None,
            Backend::Service { port, .. } => {
                let id = clusters.id(&cluster_key(record, backend)?)?;
                unserved(snapshot.cluster(id)?, port)?
            }
        };
        let problem = record.problem(field, reason, message);
        Some(match reason {
            Reason::UnsupportedBackend if is_service(backend) => problem.by(RuleId::E15),
            _ => problem,
        })
    });
    wrong.collect()
}

fn is_service(backend: &Backend) -> bool {
    matches!(backend, Backend::Service { .. })
}

fn unserved(cluster: &Cluster, port: &PortRef) -> Option<(Reason, String)> {
    let (reason, why) = match cluster.state {
        ClusterState::Ready => return None,
        ClusterState::NoEndpoints => (Reason::NoEndpoints, "has no usable endpoint".to_owned()),
        ClusterState::ServiceNotFound => (Reason::ServiceNotFound, "does not exist".to_owned()),
        ClusterState::PortNotFound => (
            Reason::PortNotFound,
            match port {
                PortRef::Name(name) => format!("has no port named {name:?}"),
                PortRef::Number(number) => format!("has no port {number}"),
            },
        ),
        ClusterState::ExternalName => {
            (Reason::UnsupportedBackend, "is of type ExternalName, which is not served".to_owned())
        }
    };
    let service = format!("{} {}/{}", Kind::Service, cluster.namespace, cluster.service);
    Some((reason, format!("{service} {why}; answered with 503")))
}
