//! A cable into the namespace: frames are put on its far end, answers are read there.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use aya::programs::Xdp;
use aya::programs::xdp::XdpMode;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike as _, bind, recv, send,
    socket,
};

use super::builder::{CLIENT_MAC, NODE_MAC, checksum};
use super::kernel::{Kernel, run};
use super::world::{SIDES, Side};

pub(crate) struct Wire {
    socket: OwnedFd,
}

/// What a test wants to know of a TCP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) flags: u8,
    pub(crate) sequence: u32,
}

// === impl Wire ===

impl Wire {
    /// Lays the cable: `far` is the client's end, `near` the node's.
    pub(crate) fn new() -> Self {
        run("ip link add far type veth peer name near");
        run(&format!("ip link set far address {} up", mac(CLIENT_MAC)));
        run(&format!("ip link set near address {} up", mac(NODE_MAC)));
        run("sysctl -qw net.ipv4.conf.all.rp_filter=0");
        run("sysctl -qw net.ipv4.conf.near.rp_filter=0");
        for side in SIDES {
            for client in [side.client, side.denied] {
                let length = if client.contains(':') { 128 } else { 32 };
                run(&format!("ip route add {client}/{length} dev near"));
                run(&format!("ip neigh add {client} lladdr {} dev near", mac(CLIENT_MAC)));
            }
        }
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_NONBLOCK,
            SockProtocol::EthAll,
        )
        .unwrap();
        let far = nix::ifaddrs::getifaddrs()
            .unwrap()
            .filter(|interface| interface.interface_name == "far")
            .filter_map(|interface| interface.address)
            .find(|address| address.family() == Some(AddressFamily::Packet))
            .expect("the far end has a link address");
        bind(socket.as_raw_fd(), far.as_link_addr().unwrap()).unwrap();
        Self { socket }
    }

    /// Attaches `steer` to the near end.
    pub(crate) fn attach(&mut self, kernel: &mut Kernel) {
        let steer: &mut Xdp = kernel.ebpf.program_mut("steer").unwrap().try_into().unwrap();
        steer.attach("near", XdpMode::default()).expect("steer attaches");
    }

    pub(crate) fn send(&self, frame: &[u8]) {
        let frame = completed(frame);
        let sent = send(self.socket.as_raw_fd(), &frame, MsgFlags::empty()).unwrap();
        assert_eq!(sent, frame.len());
    }

    /// The next TCP packet to this client port, within three seconds.
    pub(crate) fn tcp_answer(&self, side: Side, port: u16) -> Option<Answer> {
        let network = if side.name == "v4" { 20 } else { 40 };
        let end = Instant::now() + Duration::from_secs(3);
        let mut frame = [0; 2048];
        while Instant::now() < end {
            let Ok(length) = recv(self.socket.as_raw_fd(), &mut frame, MsgFlags::empty()) else {
                std::thread::yield_now();
                continue;
            };
            let Some(tcp) = frame[..length].get(14 + network..14 + network + 20) else { continue };
            let from_node = frame[6..12] == NODE_MAC;
            let protocol = if side.name == "v4" { frame[23] } else { frame[20] };
            if from_node && protocol == 6 && tcp[2..4] == port.to_be_bytes() {
                let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
                return Some(Answer { flags: tcp[13], sequence });
            }
        }
        None
    }
}

/// The frame with its TCP checksum, which the builder leaves out and a stack insists on.
fn completed(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let (addresses, transport) =
        if frame[12..14] == [0x08, 0] { (26..34, 34) } else { (22..54, 54) };
    let length = (frame.len() - transport) as u32;
    let pseudo = [&frame[addresses], &length.to_be_bytes(), &[0, 0, 0, 6]].concat();
    frame[transport + 16..transport + 18].fill(0);
    let sum = checksum(&[&pseudo[..], &frame[transport..]].concat());
    frame[transport + 16..transport + 18].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn mac(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}
