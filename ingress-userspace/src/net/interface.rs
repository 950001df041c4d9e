//! Facts about a network device: what it is, and which XDP program it already runs.

use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage, LinkXdp, XdpAttached};

use super::netlink::{NetlinkError, ask};
use super::sys;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub index: u32,
    /// Bytes.
    pub mtu: u32,
    /// Bytes of the longest packet that GRO makes of several; 0 = the kernel does not say.
    pub gro: u32,
    /// Name of the kernel driver, where the device has one.
    pub driver: Option<String>,
    pub xdp: Option<XdpAttachment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XdpAttachment {
    pub mode: XdpMode,
    /// Id of the program.
    pub program: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the network stack, after the driver has made a buffer.
    Generic,
    /// In the hardware, or in several places.
    Other,
}

/// The device with this name, or `None`.
pub async fn find(name: &str) -> Result<Option<Interface>, NetlinkError> {
    let found = ask(async |handle| {
        handle.link().get().match_name(name.to_owned()).execute().try_next().await
    });
    match found.await {
        Ok(link) => Ok(link.map(|link| read(name, &link))),
        Err(error) if error.errno() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(name: &str, link: &LinkMessage) -> Interface {
    let mut interface = Interface {
        name: name.to_owned(),
        index: link.header.index,
        mtu: 0,
        gro: 0,
        driver: sys::driver(name).ok(),
        xdp: None,
    };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
            // One limit for each family.
            LinkAttribute::GroMaxSize(bytes) | LinkAttribute::GroIpv4MaxSize(bytes) => {
                interface.gro = interface.gro.max(*bytes);
            }
            LinkAttribute::Xdp(facts) => interface.xdp = attachment(facts),
            _ => {}
        }
    }
    interface
}

fn attachment(facts: &[LinkXdp]) -> Option<XdpAttachment> {
    let mode = facts.iter().find_map(|fact| match fact {
        LinkXdp::Attached(XdpAttached::None) => None,
        LinkXdp::Attached(XdpAttached::Driver) => Some(XdpMode::Native),
        LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(XdpMode::Generic),
        LinkXdp::Attached(_) => Some(XdpMode::Other),
        _ => None,
    })?;
    let program = facts.iter().find_map(|fact| match fact {
        LinkXdp::ProgId(id)
        | LinkXdp::DrvProgId(id)
        | LinkXdp::SkbProgId(id)
        | LinkXdp::HwProgId(id) => Some(*id),
        _ => None,
    })?;
    Some(XdpAttachment { mode, program })
}
