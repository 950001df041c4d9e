//! The end of the kernel side on this host: links, programs, maps, routes.

use std::net::IpAddr;

use super::{DataplaneError, Hold, Pins};
use crate::net::address;

/// What `genkan detach` removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Detached {
    /// Links and maps.
    pub pins: usize,
    pub routes: Vec<IpAddr>,
}

/// Removes everything that a process left in the kernel of this network namespace: packets are
/// handled as if Genkan had never been there. Nothing to remove is no error.
///
/// `forced`: also from under a process that serves. Otherwise that is [`DataplaneError::Held`].
pub async fn detach(pins: &Pins, forced: bool) -> Result<Detached, DataplaneError> {
    // Until the end: nobody starts meanwhile.
    let _hold = if forced { None } else { Hold::take_existing(pins)? };
    // Routes first: without `dispatch` a VIP would reach other sockets of the host.
    let routes = address::local()
        .await
        .map_err(|error| DataplaneError::netlink("list the routes of the VIPs", error))?;
    for &vip in &routes {
        address::remove_local(vip).await.map_err(|error| {
            DataplaneError::netlink(format!("remove the local route of {vip}"), error)
        })?;
    }
    let removed = pins.remove().map_err(|error| {
        DataplaneError::io(format!("remove the pins in {}", pins.directory().display()), error)
    })?;
    Ok(Detached { pins: removed, routes: routes.into_iter().collect() })
}
