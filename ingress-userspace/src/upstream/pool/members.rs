//! The endpoints of the clusters, as the newest snapshot has them.
//!
//! A request keeps its snapshot from its route to its endpoint, and may wait in between, for a
//! password to be hashed: it then comes with a cluster that others have left behind. It goes to the
//! endpoints that it was routed to, and changes nothing for the others.

use std::rc::Rc;
use std::sync::Arc;

use super::{Endpoint, Outgoing, Pool};
use crate::routing::{Cluster, ClusterId};
use crate::upstream::balance::Turn;

/// The endpoints of a cluster, in its order.
#[derive(Debug)]
pub(in crate::upstream) struct Members<B: Outgoing> {
    pub(super) cluster: Arc<Cluster>,
    /// Of the first snapshot that had the cluster like this, as far as this worker has seen.
    version: u64,
    pub(in crate::upstream) turn: Turn,
    pub(in crate::upstream) endpoints: Vec<Rc<Endpoint<B>>>,
}

impl<B: Outgoing> Pool<B> {
    /// The members of a cluster as a snapshot of this version has it.
    pub(in crate::upstream) fn members(
        &self,
        id: ClusterId,
        cluster: &Arc<Cluster>,
        version: u64,
    ) -> Rc<Members<B>> {
        let index = id.0 as usize;
        let mut clusters = self.clusters.borrow_mut();
        if clusters.len() <= index {
            clusters.resize_with(index + 1, || None);
        }
        let slot = &mut clusters[index];
        match slot {
            Some(members) if Arc::ptr_eq(&members.cluster, cluster) => members.clone(),
            Some(members) if version < members.version => Rc::new(self.passing(members, cluster)),
            _ => {
                let members = Rc::new(self.follow(slot.take(), cluster, version));
                *slot = Some(members.clone());
                members
            }
        }
    }

    /// What is new in `cluster` begins empty; what stays keeps its connections.
    pub(super) fn follow(
        &self,
        old: Option<Rc<Members<B>>>,
        cluster: &Arc<Cluster>,
        version: u64,
    ) -> Members<B> {
        let mut kept = Vec::new();
        let mut turn = Turn::new(self.worker);
        if let Some(old) = old {
            if same_connections(&old.cluster, cluster) {
                turn = old.turn.clone();
                kept.extend(old.endpoints.iter().cloned());
            } else {
                old.endpoints.iter().for_each(|endpoint| self.retire(endpoint));
            }
        }
        let endpoints = take(&mut kept, cluster, false);
        kept.iter().for_each(|endpoint| self.retire(endpoint));
        Members { cluster: cluster.clone(), version, turn, endpoints }
    }

    /// For one request that comes late. Connections to what is not in the cluster any more are made
    /// for it and not kept.
    fn passing(&self, now: &Members<B>, cluster: &Arc<Cluster>) -> Members<B> {
        let same = same_connections(&now.cluster, cluster);
        let mut kept = if same { now.endpoints.clone() } else { Vec::new() };
        let endpoints = take(&mut kept, cluster, true);
        let turn = if same { now.turn.clone() } else { Turn::new(self.worker) };
        Members { cluster: cluster.clone(), version: now.version, turn, endpoints }
    }
}

/// The endpoints of a cluster: out of `kept` where they are in there, else new ones.
fn take<B: Outgoing>(
    kept: &mut Vec<Rc<Endpoint<B>>>,
    cluster: &Cluster,
    new_are_gone: bool,
) -> Vec<Rc<Endpoint<B>>> {
    kept.sort_unstable_by_key(|endpoint| endpoint.address);
    let endpoint = |address| match kept.binary_search_by_key(&address, |kept| kept.address) {
        Ok(at) => kept.remove(at),
        Err(_) => {
            let new = Endpoint::new(address, &cluster.name);
            new.gone.set(new_are_gone);
            Rc::new(new)
        }
    };
    cluster.endpoints.iter().map(|wanted| wanted.address).map(endpoint).collect()
}

/// Whether connections made for one version of a cluster serve the other as well: what is spoken
/// and whose certificate was checked are the same.
fn same_connections(old: &Cluster, new: &Cluster) -> bool {
    old.protocol == new.protocol && old.service == new.service && old.namespace == new.namespace
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use bytes::Bytes;
    use http_body_util::Empty;
    use rustls::RootCertStore;

    use super::*;
    use crate::config::Config;
    use crate::routing::{Balance, ClusterState, UpstreamEndpoint, UpstreamProtocol};
    use crate::upstream::{ClientTls, Policy, Upstreams};

    const ID: ClusterId = ClusterId(3);

    /// A cluster whose endpoints are these ports.
    fn cluster(ports: &[u16]) -> Arc<Cluster> {
        let endpoint = |port: &u16| UpstreamEndpoint {
            address: SocketAddr::from(([192, 0, 2, 1], *port)),
            pod: None,
        };
        Arc::new(Cluster {
            name: "default/a:80".into(),
            namespace: "default".into(),
            service: "a".into(),
            protocol: UpstreamProtocol::Http1,
            balance: Balance::default(),
            endpoints: ports.iter().map(endpoint).collect(),
            state: ClusterState::Ready,
        })
    }

    fn pool() -> Rc<Pool<Empty<Bytes>>> {
        let Config { timeouts, limits, .. } = Config::default();
        let tls = Arc::new(ClientTls::new(RootCertStore::empty()));
        Upstreams::new(0, tls, Policy { timeouts, limits }, Arc::default()).pool
    }

    fn ports(members: &Members<Empty<Bytes>>) -> Vec<u16> {
        members.endpoints.iter().map(|endpoint| endpoint.address.port()).collect()
    }

    #[test]
    fn what_stays_in_a_cluster_stays_and_what_leaves_is_gone() {
        let pool = pool();
        let before = pool.members(ID, &cluster(&[1, 2]), 1);
        let after = pool.members(ID, &cluster(&[2, 3]), 2);
        assert!(Rc::ptr_eq(&before.endpoints[1], &after.endpoints[0]));
        assert!(before.endpoints[0].gone() && !after.endpoints[0].gone());
    }

    #[test]
    fn a_request_with_an_old_snapshot_takes_nothing_from_the_others() {
        let (pool, old, new) = (pool(), cluster(&[1, 2]), cluster(&[2, 3]));
        pool.members(ID, &old, 1);
        let now = pool.members(ID, &new, 2);
        let late = pool.members(ID, &old, 1);
        assert_eq!(ports(&late), [1, 2], "it goes where it was routed to");
        assert!(late.endpoints[0].gone(), "and leaves no connection there");
        assert!(Rc::ptr_eq(&late.endpoints[1], &now.endpoints[0]));
        assert!(now.endpoints.iter().all(|endpoint| !endpoint.gone()));
        assert!(Rc::ptr_eq(&pool.members(ID, &new, 2), &now));
    }

    #[test]
    fn an_old_snapshot_finds_its_place_taken_by_another_service() {
        let (pool, old) = (pool(), cluster(&[1]));
        pool.members(ID, &old, 1);
        let other = Arc::new(Cluster { service: "b".into(), ..(*cluster(&[1])).clone() });
        let now = pool.members(ID, &other, 2);
        let late = pool.members(ID, &old, 1);
        assert!(!Rc::ptr_eq(&late.endpoints[0], &now.endpoints[0]));
        assert!(late.endpoints[0].gone() && !now.endpoints[0].gone());
    }
}
