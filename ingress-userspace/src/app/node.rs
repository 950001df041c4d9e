//! What this host knows of itself: the addresses of its devices, and where the API server is.

use std::net::IpAddr;

use crate::net::host::{self, AddressWatch};
use crate::routing::Node;

/// Where a pod is told to find the API server.
const API_SERVER: &str = "KUBERNETES_SERVICE_HOST";

pub(super) struct Host {
    /// `None`: the kernel tells nothing; [`Host::look`] is all there is.
    watch: Option<AddressWatch>,
    node: Node,
}

// === impl Host ===

impl Host {
    /// First the watch, then the look: what changes between is seen twice, not lost.
    pub(super) async fn start() -> Self {
        let watch = match AddressWatch::start() {
            Ok(watch) => Some(watch),
            Err(error) => {
                tracing::warn!("changes of this host's addresses are noticed late: {error}");
                None
            }
        };
        let api_server = std::env::var(API_SERVER).ok().and_then(|text| text.parse().ok());
        let mut host = Self { watch, node: Node { api_server, ..Node::default() } };
        host.look().await;
        host
    }

    /// The newest facts. What cannot be read stays as it was.
    pub(super) async fn look(&mut self) -> &Node {
        match host::addresses().await {
            // A pod that comes brings a device with a link-local address, which is refused anyway.
            Ok(addresses) => {
                let mine = addresses.into_iter().filter(|address| !is_link_local(address));
                self.node.addresses = mine.collect();
            }
            Err(error) => {
                tracing::warn!(
                    "addresses of this host not read; endpoints there are served: {error}"
                );
            }
        }
        &self.node
    }

    /// Waits until the addresses may have changed. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        if let Some(watch) = &mut self.watch {
            match watch.changed().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!("changes of this host's addresses are noticed late: {error}");
                }
            }
            self.watch = None;
        }
        std::future::pending().await
    }
}

fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
