//! What a worker counts for each address that it serves: one cache line, written by the worker alone.
//!
//! A connection finds its line once, by a hash under a lock that is the worker's own; its requests
//! have it at hand. Lines stay when an address goes, so that one that comes back counts on.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

use super::class_of;
use crate::metrics::Counter;

/// Of one worker's place.
#[derive(Debug, Default)]
pub struct Vips(Mutex<HashMap<IpAddr, Arc<VipCounters>>>);

#[derive(Debug, Default)]
#[repr(align(64))]
pub struct VipCounters {
    /// Connections accepted and served.
    pub connections: Counter,
    /// Requests by status class, 1xx to 5xx.
    pub answers: [Counter; 5],
    /// Body bytes from and to clients.
    pub received: Counter,
    pub sent: Counter,
}

// === impl Vips ===

impl Vips {
    /// The line of an address, for the worker. Only of addresses that are served: nothing else
    /// bounds them.
    pub fn of(&self, address: IpAddr) -> Arc<VipCounters> {
        self.known().entry(address).or_default().clone()
    }

    /// The line of an address that has had a connection, for whoever reads.
    pub fn find(&self, address: IpAddr) -> Option<Arc<VipCounters>> {
        self.known().get(&address).cloned()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<IpAddr, Arc<VipCounters>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl VipCounters ===

impl VipCounters {
    /// One request, whatever its end.
    #[inline]
    pub fn answered(&self, status: u16, received: u64, sent: u64) {
        self.answers[class_of(status)].add(1);
        self.received.add(received);
        self.sent.add(sent);
    }

    pub fn requests(&self) -> u64 {
        self.answers.iter().map(Counter::value).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_costs_a_worker_one_cache_line() {
        assert_eq!((size_of::<VipCounters>(), align_of::<VipCounters>()), (64, 64));
    }

    #[test]
    fn an_address_counts_on_and_apart_from_others() {
        let (vips, one) = (Vips::default(), IpAddr::from([192, 0, 2, 1]));
        assert!(vips.find(one).is_none());
        for status in [200, 101, 404, 599] {
            vips.of(one).answered(status, 1, 10);
        }
        vips.of(IpAddr::from([192, 0, 2, 2])).answered(200, 0, 0);
        let line = vips.find(one).expect("it was used");
        assert_eq!(line.answers.each_ref().map(Counter::value), [1, 1, 0, 1, 1]);
        assert_eq!((line.requests(), line.received.value(), line.sent.value()), (4, 4, 40));
    }
}
