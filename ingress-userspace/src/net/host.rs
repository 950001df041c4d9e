//! The addresses of this host's own devices, and the news that they have changed.
//!
//! Those of pods are not among them: a pod has a network namespace of its own, unless it runs in
//! the host's.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt};
use rtnetlink::MulticastGroup;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};

use super::netlink::{NetlinkError, ask};

/// Hears of addresses that come and go in the network namespace of its maker.
pub struct AddressWatch {
    connection: Pin<Box<dyn Future<Output = ()> + Send>>,
    news: Pin<Box<dyn Stream<Item = ()> + Send>>,
    /// The connection ends without it.
    _handle: rtnetlink::Handle,
}

/// All addresses of all devices.
pub async fn addresses() -> Result<BTreeSet<IpAddr>, NetlinkError> {
    ask(async |handle| {
        let all: Vec<AddressMessage> = handle.address().get().execute().try_collect().await?;
        Ok(all.iter().filter_map(own).collect())
    })
    .await
}

/// On a link between two hosts the other one has `Address`, and we have `Local`.
fn own(message: &AddressMessage) -> Option<IpAddr> {
    let of =
        |pick: fn(&AddressAttribute) -> Option<IpAddr>| message.attributes.iter().find_map(pick);
    let local = of(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        of(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}

// === impl AddressWatch ===

impl AddressWatch {
    /// On the runtime of the caller.
    pub fn start() -> Result<Self, NetlinkError> {
        let groups = [MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let (connection, handle, messages) =
            rtnetlink::new_multicast_connection(&groups).map_err(NetlinkError::Open)?;
        let news = Box::pin(messages.map(|_| ()));
        Ok(Self { connection: Box::pin(connection), news, _handle: handle })
    }

    /// Waits until an address came or went; several at once are one piece of news. Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the kernel tells no more.
    pub async fn changed(&mut self) -> Result<(), NetlinkError> {
        tokio::select! {
            () = &mut self.connection => return Err(NetlinkError::Closed),
            news = self.news.next() => news.ok_or(NetlinkError::Closed)?,
        }
        while let Some(Some(())) = self.news.next().now_or_never() {}
        Ok(())
    }
}
