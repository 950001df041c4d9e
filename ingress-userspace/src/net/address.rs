//! VIPs as local addresses of this host: `local VIP dev lo` routes.
//!
//! No interface gets the address, so nothing is announced by it. The routes carry a protocol number
//! of their own: that is how they are recognised by a later process, and what others added is never
//! touched.

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures_util::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::netlink::{NetlinkError, ask};

/// `RTM_PROTOCOL` of our routes; unassigned in iproute2's `rt_protos`.
const PROTOCOL: RouteProtocol = RouteProtocol::Other(103);
const TABLE_LOCAL: u32 = 255;
/// Loopback is the first device of every network namespace.
const LOOPBACK: u32 = 1;

/// Makes the address local. Nothing happens when it is local already, whoever made it so.
pub async fn add_local(address: IpAddr) -> Result<(), NetlinkError> {
    let added = ask(async |handle| handle.route().add(local_route(address)).execute().await).await;
    tolerate(added, libc::EEXIST)
}

/// Takes our route to the address away. Nothing happens when there is none of ours.
pub async fn remove_local(address: IpAddr) -> Result<(), NetlinkError> {
    let removed =
        ask(async |handle| handle.route().del(local_route(address)).execute().await).await;
    tolerate(removed, libc::ESRCH)
}

/// The addresses that are local by a route of ours.
pub async fn local() -> Result<BTreeSet<IpAddr>, NetlinkError> {
    ask(async |handle| {
        let mut ours = routes(&handle, AddressFamily::Inet).await?;
        ours.extend(routes(&handle, AddressFamily::Inet6).await?);
        Ok(ours)
    })
    .await
}

async fn routes(
    handle: &Handle,
    family: AddressFamily,
) -> Result<BTreeSet<IpAddr>, rtnetlink::Error> {
    let mut query = RouteMessage::default();
    query.header.address_family = family;
    let routes: Vec<RouteMessage> = handle.route().get(query).execute().try_collect().await?;
    Ok(routes.iter().filter_map(our_destination).collect())
}

fn our_destination(route: &RouteMessage) -> Option<IpAddr> {
    let ours = route.header.protocol == PROTOCOL && route.header.kind == RouteType::Local;
    let destination = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some((*address).into()),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some((*address).into()),
        _ => None,
    });
    destination.filter(|_| ours)
}

fn local_route(address: IpAddr) -> RouteMessage {
    let length = if address.is_ipv4() { 32 } else { 128 };
    RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(address, length)
        .expect("a host route is as long as its address")
        .table_id(TABLE_LOCAL)
        .kind(RouteType::Local)
        .scope(RouteScope::Host)
        .protocol(PROTOCOL)
        .output_interface(LOOPBACK)
        .build()
}

fn tolerate(result: Result<(), NetlinkError>, errno: i32) -> Result<(), NetlinkError> {
    match result {
        Err(error) if error.errno() == Some(errno) => Ok(()),
        other => other,
    }
}
