//! What the cluster is told by this process, and as whom it speaks.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::cli::RunOptions;
use crate::config::Config;
use crate::snapshot::Publisher;
use crate::source::Origin;
use crate::status::{Feed, Identity, Writer};

/// What the chart gives to a pod.
const NODE: &str = "NODE_NAME";
const NAMESPACE: &str = "POD_NAMESPACE";
const LEASE: &str = "LEASE_NAME";
/// Of the service account, for pods that are told nothing.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
const HOSTNAME: &str = "/proc/sys/kernel/hostname";
const DEFAULT_NAMESPACE: &str = "genkan-system";
const DEFAULT_LEASE: &str = "genkan";

/// What the control side tells, when there is a cluster that wants to hear it.
pub(super) fn feed(options: &RunOptions) -> Option<Feed> {
    let is_told = matches!(options.objects, Origin::Cluster(_)) && options.config.cluster.status;
    is_told.then(Feed::default)
}

/// Begins to tell; without it traffic is served all the same.
pub(super) fn start(
    options: &RunOptions,
    feed: Option<Feed>,
    publisher: Publisher,
) -> Option<Writer> {
    let Origin::Cluster(access) = &options.objects else { return None };
    let (wanted, identity) = (addresses(&options.config), identity(&options.config));
    let started = Writer::start(access.clone(), identity, wanted, feed?, publisher);
    started.inspect_err(|error| tracing::error!("addresses are not written: {error}")).ok()
}

/// Those at which Ingresses are served.
pub(super) fn addresses(config: &Config) -> BTreeSet<IpAddr> {
    config.vips.iter().flat_map(|vip| vip.addresses.iter().copied()).collect()
}

fn identity(config: &Config) -> Identity {
    let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    let file = |path| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let namespace = config.cluster.lease_namespace.clone();
    let namespace = namespace.or_else(|| variable(NAMESPACE)).or_else(|| file(NAMESPACE_FILE));
    let lease = config.cluster.lease.clone().or_else(|| variable(LEASE));
    let node = variable(NODE).or_else(|| file(HOSTNAME)).unwrap_or_default();
    let namespace = namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
    let lease = lease.as_deref().unwrap_or(DEFAULT_LEASE);
    let namespaces = config.cluster.namespaces.clone();
    let identity = Identity::new(&config.classes.controller, (namespace, lease), &node, salt());
    Identity { namespaces, ..identity }
}

/// What no other process has.
fn salt() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since = u64::try_from(now.as_micros()).unwrap_or_default();
    since ^ u64::from(std::process::id()).rotate_left(48)
}
