//! What the process before has lent: its listeners, given to the workers of this one, and a copy of
//! its lock of the pins.
//!
//! A worker takes over those of its namesake. When there are fewer workers now, the others are
//! spread over them: connections may still wait in such a listener, and without kernel programs new
//! ones come to it as long as it is there.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use crate::handover::Lent;
use crate::net::listen::Family;

#[derive(Debug, Default)]
pub(super) struct Inherited {
    lent: Vec<Lent>,
    lock: Option<OwnedFd>,
}

// === impl Inherited ===

impl Inherited {
    pub(super) fn new(lent: Vec<Lent>, lock: Option<OwnedFd>) -> Self {
        Self { lent, lock }
    }

    /// None the second time.
    pub(super) fn take_lock(&mut self) -> Option<OwnedFd> {
        self.lock.take()
    }

    /// The port of the group of a family.
    pub(super) fn port(&self, family: Family) -> Option<u16> {
        let mut addresses = self.lent.iter().filter_map(|lent| lent.listener.local_addr().ok());
        addresses.find(|address| Family::of(address.ip()) == family).map(|address| address.port())
    }

    /// The listeners that have a worker of the same number among `workers`.
    pub(super) fn namesakes(&self, workers: usize) -> Vec<(usize, &TcpListener)> {
        let namesakes = self.lent.iter().filter(|lent| lent.worker < workers);
        namesakes.map(|lent| (lent.worker, &lent.listener)).collect()
    }

    /// What worker `index` of `workers` takes over on the addresses that are `wanted`: whether it
    /// was its namesake's, and the listener.
    pub(super) fn take(
        &mut self,
        (index, workers): (usize, usize),
        wanted: impl Fn(SocketAddr) -> bool,
    ) -> Vec<(bool, TcpListener)> {
        let takes = |lent: &mut Lent| {
            lent.worker % workers.max(1) == index && lent.listener.local_addr().is_ok_and(&wanted)
        };
        let taken = self.lent.extract_if(.., takes);
        taken.map(|lent| (lent.worker == index, lent.listener)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inherited(workers: usize) -> (Inherited, Vec<SocketAddr>) {
        let lent: Vec<Lent> = (0..workers)
            .map(|worker| Lent { worker, listener: TcpListener::bind("127.0.0.1:0").unwrap() })
            .collect();
        let addresses = lent.iter().map(|lent| lent.listener.local_addr().unwrap()).collect();
        (Inherited::new(lent, None), addresses)
    }

    #[test]
    fn fewer_workers_share_what_the_others_had() {
        let (mut inherited, addresses) = inherited(5);
        let mut taken = |index| {
            let taken = inherited.take((index, 2), |_| true).into_iter();
            let numbered = |(namesake, listener): (bool, TcpListener)| {
                let address = listener.local_addr().unwrap();
                (namesake, addresses.iter().position(|known| *known == address).unwrap())
            };
            taken.map(numbered).collect::<Vec<_>>()
        };
        assert_eq!(taken(0), [(true, 0), (false, 2), (false, 4)]);
        assert_eq!(taken(1), [(true, 1), (false, 3)]);
        assert_eq!(taken(0), []);
    }

    #[test]
    fn what_is_not_wanted_is_left() {
        let (mut inherited, addresses) = inherited(1);
        assert!(inherited.take((0, 1), |address| address != addresses[0]).is_empty());
        assert_eq!(inherited.take((0, 1), |address| address == addresses[0]).len(), 1);
    }

    #[test]
    fn more_workers_have_namesakes_only_for_some() {
        let (inherited, addresses) = inherited(2);
        let namesakes = |workers| {
            let namesakes = inherited.namesakes(workers).into_iter();
            namesakes.map(|(worker, _)| worker).collect::<Vec<_>>()
        };
        assert_eq!(namesakes(4), [0, 1]);
        assert_eq!(namesakes(1), [0]);
        assert_eq!(inherited.port(Family::V4), Some(addresses[0].port()));
        assert_eq!(inherited.port(Family::V6), None);
    }
}
