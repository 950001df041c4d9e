//! SYN cookies: all listeners of a family are one group, so that any of them takes the last ACK.

use std::io::Write;

use genkan::dataplane::{Dataplane, Options};
use genkan::net::listen::{Family, ListenerGroup};
use genkan::testing::lab::EdgeLab;
use genkan::testing::require_tool;

use crate::edge::{config, connect, eventually, on_edge, possible};

const CONNECTIONS: usize = 20;
const HOLD_BACK_ACKS: &str = "table inet hold { chain out { type filter hook output priority 0; \
                              tcp dport 80 tcp flags & (syn | ack) == ack drop; }; }";

/// A counter of `/proc/net/netstat` in the calling thread's namespace.
fn tcp_counter(name: &str) -> usize {
    let text = std::fs::read_to_string("/proc/thread-self/net/netstat").unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let at = names.split(' ').position(|column| column == name).unwrap();
    values.split(' ').nth(at).unwrap().parse().unwrap()
}

#[test]
fn cookie_ack_on_other_worker() {
    if !possible() || !require_tool("nft") {
        return;
    }
    let lab = EdgeLab::new(0);
    lab.edge.sysctl("net.ipv4.tcp_syncookies", "2");
    on_edge(&lab, async || {
        let mut dataplane = Dataplane::start(&config(), &[0, 0], Options::default()).await.unwrap();
        let board = dataplane.loads();
        let slots = [board.slot(0), board.slot(1)];
        let choose = |worker: usize| {
            slots[worker].connections_changed(0);
            slots[1 - worker].connections_changed(1000);
        };
        for (family, vip) in Family::ALL.into_iter().zip(EdgeLab::VIPS) {
            let group = ListenerGroup::reserve(family).unwrap();
            let listeners = [group.listen().unwrap(), group.listen().unwrap()];
            for (worker, listener) in listeners.iter().enumerate() {
                dataplane.set_listener(worker, family, listener).unwrap();
            }
            let received = tcp_counter("SyncookiesRecv");

            // The client has its SYN+ACK from worker 0; its ACK waits and then meets worker 1.
            choose(0);
            lab.client.output("nft", &[HOLD_BACK_ACKS]);
            let mut clients: Vec<_> =
                (0..CONNECTIONS).map(|_| connect(&lab.client, vip, 80).unwrap()).collect();
            choose(1);
            lab.client.output("nft", &["delete table inet hold"]);
            for client in &mut clients {
                client.write_all(b"x").unwrap();
            }

            let mut accepted = [0, 0];
            eventually("all connections at the other worker", || {
                for (listener, accepted) in listeners.iter().zip(&mut accepted) {
                    *accepted += std::iter::from_fn(|| listener.accept().ok()).count();
                }
                accepted == [0, CONNECTIONS]
            });
            assert_eq!(tcp_counter("SyncookiesRecv") - received, CONNECTIONS, "{vip}");
        }
        assert_eq!(tcp_counter("SyncookiesFailed"), 0);
    });
}
