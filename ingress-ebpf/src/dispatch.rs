//! Which listener takes a connection.
//!
//! In: a lookup that found no socket, for an address and a port. Out: `None` when the address is no
//! VIP; else the worker, or why there is none. TCP flags are not visible here: the lookup may be for
//! a SYN, for the last ACK of a cookie handshake or for a stray ACK, and all listeners of a family
//! are one SO_REUSEPORT group, so that any of them can take the cookie.

use ingress_common::flow::Flow;
use ingress_common::vip::{VipValue, find};
use ingress_common::worker::{NO_WORKER, overloaded};
use ingress_common::{Family, Verdict};

use crate::admit;
use crate::node::{Node, Visit};
use crate::packet::protocol;

/// Gives the connection to a worker's listener; false when there is none.
pub trait Assign {
    fn assign(&self, family: Family, worker: u32) -> bool;
}

/// A lookup for a VIP and what was decided about it.
pub struct Decision {
    /// Index of the VIP's counters.
    pub vip: u32,
    pub verdict: Verdict,
}

#[inline(always)]
pub fn dispatch<N: Node + Assign>(node: &N, family: Family, flow: &Flow) -> Option<Decision> {
    let entry = find(&flow.destination, |at| node.vip_slot(at), |at| node.vip_entry(at))?;
    let vip = &entry.value;
    Some(Decision { vip: vip.id, verdict: decide(node, vip, family, flow) })
}

#[inline(always)]
fn decide<N: Node + Assign>(node: &N, vip: &VipValue, family: Family, flow: &Flow) -> Verdict {
    let served = flow.protocol == protocol::TCP as u32 && vip.serves_tcp(flow.destination_port);
    if !served {
        return Verdict::DispatchUnserved;
    }
    if !admit::allowed(node, vip, family, &flow.source) {
        return Verdict::DispatchDenied;
    }
    let near = node.cpu_worker();
    let near_busy = near == NO_WORKER || busy(node, near);
    if !near_busy && node.assign(family, near) {
        return Verdict::DispatchCpu;
    }
    let far = least_loaded(node, family);
    if far != NO_WORKER && node.assign(family, far) {
        return Verdict::DispatchLeastLoaded;
    }
    Verdict::DispatchNoListener
}

/// Whether the worker has so many connections more than the others that it should be spared.
#[inline(always)]
fn busy<N: Node>(node: &N, worker: u32) -> bool {
    let connections = node.connections(worker);
    // Nobody is overloaded with so few, whatever the others have.
    if connections <= 16 {
        return false;
    }
    let workers = node.settings().workers;
    let mut sum = Sum { connections: 0 };
    node.each_worker(workers, &mut sum);
    overloaded(connections, sum.connections, workers)
}

/// The listening worker with the fewest connections, or `NO_WORKER`.
#[inline(always)]
fn least_loaded<N: Node>(node: &N, family: Family) -> u32 {
    let mut least = Least { worker: NO_WORKER, connections: u32::MAX, family };
    node.each_worker(node.settings().workers, &mut least);
    least.worker
}

/// Adds up the connections of all workers.
struct Sum {
    connections: u64,
}

impl Visit for Sum {
    #[inline(always)]
    fn visit<N: Node>(&mut self, node: &N, worker: u32) -> bool {
        self.connections += node.connections(worker) as u64;
        true
    }
}

/// Keeps the listening worker with the fewest connections.
// In C order and on 8 bytes: the two numbers are set by one store, which on the stack must be aligned.
#[repr(C, align(8))]
struct Least {
    worker: u32,
    connections: u32,
    family: Family,
}

impl Visit for Least {
    #[inline(always)]
    fn visit<N: Node>(&mut self, node: &N, worker: u32) -> bool {
        let connections = node.connections(worker);
        if connections < self.connections && node.listens(self.family, worker) {
            self.worker = worker;
            self.connections = connections;
        }
        true
    }
}
