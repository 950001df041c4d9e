//! A worker's state without a worker, for tests of connections.

use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::{Clock, OpenConnections, WorkerState};
use crate::net::load::LoadBoard;
use crate::proxy::Settings;
use crate::proxy::context::ProxyContext;
use crate::proxy::counters::Counters;
use crate::snapshot::Publisher;
use crate::upstream::ClientTls;

/// Serves nothing: there is no route.
pub(in crate::proxy) fn state(settings: Settings) -> WorkerState {
    let counters: Arc<Counters> = Arc::default();
    WorkerState {
        context: ProxyContext::new(
            0,
            Arc::new(ArcSwap::from_pointee(settings)),
            Publisher::new(1).subscribe(0),
            CancellationToken::new(),
            Arc::new(ClientTls::new(rustls::RootCertStore::empty())),
            Arc::default(),
            crate::filter::Shared::default(),
        ),
        access_log: None,
        open: OpenConnections::new(LoadBoard::heap(1).slot(0), counters.clone()),
        counters,
        clock: Clock::new(),
        buffers: Rc::default(),
    }
}
