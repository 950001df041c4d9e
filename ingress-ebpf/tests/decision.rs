//! The packet table against the decision code on the host.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::cell::RefCell;
use std::collections::HashMap;

use bytemuck::Pod;
use ingress_common::flow::Flow;
use ingress_common::policy::{BUDGET_CELLS, BUDGET_ROWS, NewFlowBudget};
use ingress_common::table::{VipTable, Write};
use ingress_common::verdict::Action;
use ingress_common::vip::{MAX_VIP_ENTRIES, VIP_BUDGET, VIP_SLOTS, VipEntry, VipValue};
use ingress_common::worker::{Absence, NO_WORKER, Settings};
use ingress_common::{Address, Be16, Family, Verdict};
use ingress_ebpf::dispatch::{Assign, dispatch};
use ingress_ebpf::node::{Node, Visit};
use ingress_ebpf::packet::Frame;
use ingress_ebpf::{answer, steer};

#[path = "../../ingress-userspace/src/net/packet.rs"]
#[allow(dead_code, unreachable_pub, reason = "part of the library for all other tests")]
mod builder;
#[path = "../../ingress-userspace/tests/packet/table.rs"]
mod table;
#[path = "../../ingress-userspace/tests/packet/world.rs"]
mod world;

struct Bytes(Vec<u8>);

impl Frame for Bytes {
    fn read<T: Pod>(&self, offset: usize) -> Option<T> {
        let bytes = self.0.get(offset..offset + size_of::<T>())?;
        Some(bytemuck::pod_read_unaligned(bytes))
    }

    fn write<T: Pod>(&mut self, offset: usize, value: &T) -> Option<()> {
        let bytes = self.0.get_mut(offset..offset + size_of::<T>())?;
        bytes.copy_from_slice(bytemuck::bytes_of(value));
        Some(())
    }

    fn reaches(&self, end: usize) -> bool {
        self.0.len() >= end
    }
}

/// A node in memory.
struct Host {
    slots: Vec<u32>,
    entries: Vec<VipEntry>,
    rules: Vec<(u32, Address, u32, u32)>,
    known: Vec<(Address, Address, u16, u16)>,
    settings: Settings,
    cpu_worker: u32,
    /// Connections of each worker; `None` for one that does not listen.
    workers: Vec<Option<u32>>,
    now: u64,
    cells: RefCell<Vec<u64>>,
    absence: RefCell<[Absence; 2]>,
    assigned: RefCell<Vec<u32>>,
}

impl Host {
    fn new() -> Self {
        let mut table = VipTable::default();
        let mut host = Self {
            slots: vec![0; VIP_SLOTS as usize],
            entries: vec![VipEntry::default(); MAX_VIP_ENTRIES as usize],
            rules: Vec::new(),
            known: Vec::new(),
            settings: Settings { workers: 2, grace: 3_000, seed: 9, ..Settings::default() },
            cpu_worker: 0,
            workers: vec![Some(0), Some(0)],
            now: 1_000_000,
            cells: RefCell::new(vec![0; (BUDGET_ROWS * BUDGET_CELLS) as usize]),
            absence: RefCell::default(),
            assigned: RefCell::default(),
        };
        for (address, value) in world::vips() {
            host.set(&mut table, address.into(), value);
        }
        for (acl, network, length, value) in world::rules() {
            host.rules.push((acl, network.into(), length, value));
        }
        for side in world::SIDES {
            let (client, vip) = (world::ip(side.client), world::ip(side.open));
            host.known.push((client.into(), vip.into(), world::KNOWN_PORT, 80));
        }
        host
    }

    fn set(&mut self, table: &mut VipTable, address: Address, value: VipValue) {
        for write in table.upsert(address, value).unwrap() {
            match write {
                Write::Entry { index, entry } => self.entries[index as usize] = entry,
                Write::Slot { index, value } => self.slots[index as usize] = value,
            }
        }
    }

    fn steer(&self, packet: Vec<u8>) -> Option<Verdict> {
        steer::steer(&Bytes(packet), self).map(|decision| decision.verdict)
    }

    fn dispatch(&self, source: &str, vip: &str, port: u16) -> Option<Verdict> {
        let source = Address::from(world::ip(source));
        let flow = Flow {
            source,
            destination: world::ip(vip).into(),
            source_port: Be16::from_host(40_000),
            destination_port: Be16::from_host(port),
            protocol: 6,
        };
        dispatch(self, source.family(), &flow).map(|decision| decision.verdict)
    }
}

impl Node for Host {
    type Entry = Box<VipEntry>;

    fn vip_slot(&self, index: u32) -> u32 {
        self.slots[index as usize]
    }

    fn vip_entry(&self, index: u32) -> Option<Box<VipEntry>> {
        Some(Box::new(self.entries[index as usize]))
    }

    fn settings(&self) -> Settings {
        self.settings
    }

    fn now(&self) -> u64 {
        self.now
    }

    fn rule(&self, acl: u32, family: Family, source: &Address) -> u32 {
        let bits = |address: &Address| {
            let bytes: [u8; 16] = bytemuck::cast(*address);
            u128::from_be_bytes(bytes)
        };
        let covers = |network: &Address, length: u32| {
            let length = if family == Family::V4 { 96 + length } else { length };
            network.family() == family
                && (length == 0 || (bits(network) ^ bits(source)) >> (128 - length) == 0)
        };
        self.rules
            .iter()
            .filter(|(set, network, length, _)| *set == acl && covers(network, *length))
            .max_by_key(|(_, _, length, _)| *length)
            .map_or(0, |rule| rule.3)
    }

    fn budget_cell(&self, index: u32) -> u64 {
        self.cells.borrow()[index as usize]
    }

    fn set_budget_cell(&self, index: u32, value: u64) {
        self.cells.borrow_mut()[index as usize] = value;
    }

    fn knows(&self, _family: Family, flow: &Flow) -> bool {
        let ports = (flow.source_port.to_host(), flow.destination_port.to_host());
        self.known.contains(&(flow.source, flow.destination, ports.0, ports.1))
    }

    fn cpu_worker(&self) -> u32 {
        self.cpu_worker
    }

    fn listens(&self, _family: Family, worker: u32) -> bool {
        self.workers.get(worker as usize).is_some_and(Option::is_some)
    }

    fn connections(&self, worker: u32) -> u32 {
        self.workers[worker as usize].unwrap_or(0)
    }

    fn absence(&self, family: Family) -> Absence {
        self.absence.borrow()[family as usize]
    }

    fn set_absence(&self, family: Family, absence: Absence) {
        self.absence.borrow_mut()[family as usize] = absence;
    }

    fn each_worker<V: Visit>(&self, workers: u32, visitor: &mut V) {
        for worker in 0..workers {
            if !visitor.visit(self, worker) {
                break;
            }
        }
    }
}

impl Assign for Host {
    fn assign(&self, family: Family, worker: u32) -> bool {
        let live = self.listens(family, worker);
        if live {
            self.assigned.borrow_mut().push(worker);
        }
        live
    }
}

#[test]
fn each_packet_of_the_table_gets_its_verdict_and_its_answer() {
    let host = Host::new();
    let mut wrong = Vec::new();
    let mut seen: HashMap<Verdict, u32> = HashMap::new();
    for fixture in table::table() {
        let mut frame = Bytes(fixture.packet.clone());
        let decision = steer::steer(&frame, &host);
        let got = decision.as_ref().map(|decision| (decision.vip, decision.verdict));
        if got != fixture.verdict {
            wrong
                .push(format!("{}: {got:?} instead of {:?}", fixture.description, fixture.verdict));
            continue;
        }
        let Some(decision) = decision else { continue };
        *seen.entry(decision.verdict).or_default() += 1;
        if decision.verdict.action() == Action::Answer {
            answer::echo(&mut frame, &decision.layers).unwrap();
        }
        let expected = fixture.answer.unwrap_or(fixture.packet);
        if frame.0 != expected {
            wrong.push(format!(
                "{}: {:02x?} instead of {expected:02x?}",
                fixture.description, frame.0
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What the table can't reach is tested below by name.
    let elsewhere =
        [Verdict::TcpNoListener, Verdict::Udp, Verdict::OverBudget, Verdict::ListenerAway];
    for verdict in Verdict::ALL {
        let steers = !matches!(verdict.action(), Action::Assign | Action::Refuse);
        if steers && !elsewhere.contains(verdict) {
            assert!(seen.contains_key(verdict), "no packet of the table ends in {verdict:?}");
        }
    }
}

#[test]
fn no_prefix_of_a_packet_reaches_the_stack_as_a_connection() {
    let host = Host::new();
    for fixture in table::table() {
        for length in 0..fixture.packet.len() {
            let cut = host.steer(fixture.packet[..length].to_vec());
            let passes = cut.is_some_and(|verdict| verdict.action() == Action::Pass);
            let padded = fixture.description.contains("padded");
            assert!(!passes || padded, "{} cut to {length}: {cut:?}", fixture.description);
        }
    }
}

fn syn(side: world::Side) -> Vec<u8> {
    let packet = builder::Packet::new(world::ip(side.client), world::ip(side.open));
    packet.tcp(40_000, 80, builder::SYN)
}

#[test]
fn syns_wait_for_absent_workers_and_are_refused_after_the_grace_time() {
    for side in world::SIDES {
        let mut host = Host::new();
        host.workers = vec![None, Some(3)];
        assert_eq!(host.steer(syn(side)), Some(Verdict::TcpSyn), "the other worker listens");
        host.workers = vec![None, None];
        for passed in [0, 1, 2_999] {
            host.now = 1_000_000 + passed;
            assert_eq!(host.steer(syn(side)), Some(Verdict::ListenerAway), "after {passed}");
        }
        host.now = 1_003_000;
        assert_eq!(host.steer(syn(side)), Some(Verdict::TcpNoListener));
        assert_eq!(host.dispatch(side.client, side.open, 80), Some(Verdict::DispatchNoListener));
        host.now = 1_003_001;
        host.workers = vec![None, Some(0)];
        assert_eq!(host.steer(syn(side)), Some(Verdict::TcpSyn));
        host.workers = vec![None, None];
        assert_eq!(host.steer(syn(side)), Some(Verdict::ListenerAway), "the grace time is new");
    }
}

#[test]
fn absence_of_one_family_is_not_that_of_the_other() {
    let mut host = Host::new();
    host.workers = vec![None, None];
    host.steer(syn(world::V4));
    assert_eq!(host.absence(Family::V6), Absence::default());
}

#[test]
fn a_spent_budget_cuts_new_flows_and_spares_known_ones() {
    for side in world::SIDES {
        let mut host = Host::new();
        let mut table = VipTable::default();
        let value = VipValue {
            flags: VIP_BUDGET,
            budget: NewFlowBudget::new(1, 3),
            ..VipValue::serving(0, &[80], &[]).unwrap()
        };
        host.set(&mut table, world::ip(side.open).into(), value);
        let verdicts: Vec<_> = (0..5).map(|_| host.steer(syn(side)).unwrap()).collect();
        assert_eq!(verdicts[..3], [Verdict::TcpSyn; 3]);
        assert_eq!(verdicts[3..], [Verdict::OverBudget; 2]);
        let packet = builder::Packet::new(world::ip(side.client), world::ip(side.open));
        let known = packet.tcp(world::KNOWN_PORT, 80, builder::ACK);
        assert_eq!(host.steer(known), Some(Verdict::TcpKnown));
    }
}

#[test]
fn a_syn_in_pieces_is_charged_like_a_whole_one() {
    for side in world::SIDES {
        let mut host = Host::new();
        let mut table = VipTable::default();
        let value = VipValue {
            flags: VIP_BUDGET,
            budget: NewFlowBudget::new(1, 3),
            ..VipValue::serving(0, &[80], &[]).unwrap()
        };
        host.set(&mut table, world::ip(side.open).into(), value);
        let packet = builder::Packet::new(world::ip(side.client), world::ip(side.open));
        let piece = |offset, flags, bytes: usize| {
            let header = builder::tcp(40_000, 80, flags);
            packet.clone().fragment(offset, true).payload(6, &header[..bytes])
        };
        // A later piece, and the first piece of a segment that opens nothing, cost nothing.
        for _ in 0..5 {
            assert_eq!(host.steer(piece(0, builder::ACK, 20)), Some(Verdict::Fragment));
            assert_eq!(host.steer(piece(1, builder::SYN, 20)), Some(Verdict::Fragment));
        }
        let verdicts = [20, 8, 20, 8, 20].map(|bytes| host.steer(piece(0, builder::SYN, bytes)));
        assert_eq!(verdicts[..3], [Some(Verdict::Fragment); 3]);
        assert_eq!(verdicts[3..], [Some(Verdict::OverBudget); 2]);
    }
}

/// Options may be as long as their sender likes: the SYN behind them is not looked for.
#[test]
fn a_first_piece_that_begins_with_options_is_charged_whatever_they_are() {
    let side = world::V6;
    let mut host = Host::new();
    let mut table = VipTable::default();
    let value = VipValue {
        flags: VIP_BUDGET,
        budget: NewFlowBudget::new(1, 3),
        ..VipValue::serving(0, &[80], &[]).unwrap()
    };
    host.set(&mut table, world::ip(side.open).into(), value);
    let packet = builder::Packet::new(world::ip(side.client), world::ip(side.open));
    let syn = builder::tcp(40_000, 80, builder::SYN);
    let verdicts = [8, 16, 24, 8, 16].map(|options: usize| {
        let mut header = vec![6, (options / 8 - 1) as u8, 1, (options - 4) as u8];
        header.resize(options, 0);
        let piece = packet.clone().fragment(0, true).payload(60, &[header, syn.clone()].concat());
        host.steer(piece)
    });
    assert_eq!(verdicts[..3], [Some(Verdict::Fragment); 3]);
    assert_eq!(verdicts[3..], [Some(Verdict::OverBudget); 2]);
}

#[test]
fn udp_reaches_a_served_port_only() {
    for side in world::SIDES {
        let mut host = Host::new();
        let mut table = VipTable::default();
        let value = VipValue::serving(0, &[80], &[443]).unwrap();
        host.set(&mut table, world::ip(side.open).into(), value);
        let packet = builder::Packet::new(world::ip(side.client), world::ip(side.open));
        assert_eq!(host.steer(packet.clone().udp(1, 443, b"x")), Some(Verdict::Udp));
        assert_eq!(host.steer(packet.udp(1, 53, b"x")), Some(Verdict::UdpUnserved));
    }
}

#[test]
fn dispatch_keeps_to_the_worker_of_the_cpu_until_it_is_overloaded() {
    let mut host = Host::new();
    let mut dispatch = |workers: &[Option<u32>], cpu_worker| {
        host.workers = workers.to_vec();
        host.cpu_worker = cpu_worker;
        host.settings.workers = workers.len() as u32;
        let verdict = host.dispatch(world::V4.client, world::V4.open, 80).unwrap();
        (verdict, host.assigned.borrow_mut().pop())
    };
    assert_eq!(dispatch(&[Some(9), Some(0)], 0), (Verdict::DispatchCpu, Some(0)));
    assert_eq!(dispatch(&[Some(16), Some(0)], 0), (Verdict::DispatchCpu, Some(0)));
    assert_eq!(dispatch(&[Some(141), Some(59)], 0), (Verdict::DispatchCpu, Some(0)));
    let busy = [Some(142), Some(58), Some(40)];
    assert_eq!(dispatch(&busy, 0), (Verdict::DispatchLeastLoaded, Some(2)));
    let absent = [Some(5), None, Some(7)];
    assert_eq!(dispatch(&absent, 1), (Verdict::DispatchLeastLoaded, Some(0)));
    assert_eq!(dispatch(&absent, NO_WORKER), (Verdict::DispatchLeastLoaded, Some(0)));
    assert_eq!(dispatch(&[None, None], 0), (Verdict::DispatchNoListener, None));
}

#[test]
fn dispatch_enforces_ports_and_rules_without_steer() {
    let host = Host::new();
    for side in world::SIDES {
        let ask = |source, vip, port| host.dispatch(source, vip, port);
        assert_eq!(ask(side.client, side.open, 80), Some(Verdict::DispatchCpu));
        assert_eq!(ask(side.client, side.open, 22), Some(Verdict::DispatchUnserved));
        assert_eq!(ask(side.denied, side.guarded, 80), Some(Verdict::DispatchDenied));
        assert_eq!(ask(side.stranger, side.closed, 80), Some(Verdict::DispatchDenied));
        assert_eq!(ask(side.client, side.closed, 443), Some(Verdict::DispatchCpu));
        assert_eq!(ask(side.client, side.other, 80), None);
    }
}
