//! The loaded kernel programs against the packet table, and their committed budget.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::fmt::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::programs::{ProgramInfo, SkLookup, Xdp};
use genkan::testing::require_root;
use ingress_common::event::Event;
use ingress_common::map;
use ingress_common::policy::NewFlowBudget;
use ingress_common::verdict::Action;
use ingress_common::vip::{VIP_BUDGET, VipValue};
use ingress_common::worker::Settings;

#[path = "../src/net/packet.rs"]
#[allow(dead_code, unreachable_pub, reason = "part of the library for all other tests")]
mod builder;
#[path = "packet/kernel.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod kernel;
#[path = "packet/stack.rs"]
mod stack;
#[path = "packet/table.rs"]
mod table;
#[path = "packet/world.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod world;

use kernel::{Kernel, XDP_DROP, XDP_PASS, XDP_TX, enter_namespace, establish};

const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ingress-ebpf/budget.txt");

/// A node as the table wants it, with the connections that must stay open.
fn node() -> (Kernel, Vec<(std::net::TcpStream, std::net::TcpStream)>) {
    enter_namespace();
    let connections = establish();
    let mut kernel = Kernel::load();
    kernel.listen(2);
    (kernel, connections)
}

#[test]
fn each_packet_of_the_table_gets_its_verdict_its_counter_and_its_answer() {
    if !require_root() {
        return;
    }
    let (mut kernel, _connections) = node();
    let mut wrong = Vec::new();
    for fixture in table::table() {
        let (action, frame) = kernel.steer(&fixture.packet);
        let counted = kernel.take_counters();
        let expected: Vec<_> =
            fixture.verdict.iter().map(|&(vip, verdict)| (vip, verdict, 1)).collect();
        let wanted = match fixture.verdict.map(|(_, verdict)| verdict.action()) {
            None | Some(Action::Pass) => XDP_PASS,
            Some(Action::Drop) => XDP_DROP,
            Some(Action::Answer) => XDP_TX,
            Some(Action::Assign | Action::Refuse) => unreachable!("a verdict of dispatch"),
        };
        let answer = fixture.answer.unwrap_or(fixture.packet);
        if counted != expected || action != wanted {
            wrong.push(format!(
                "{}: action {action} and {counted:?}, not {wanted} and {expected:?}",
                fixture.description
            ));
        } else if frame != answer {
            wrong.push(format!("{}: {frame:02x?}, not {answer:02x?}", fixture.description));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn pieces_of_a_syn_do_not_go_round_the_budget() {
    if !require_root() {
        return;
    }
    let (mut kernel, _connections) = node();
    for side in world::SIDES {
        let value = VipValue {
            flags: VIP_BUDGET,
            budget: NewFlowBudget::new(1, 3),
            ..VipValue::serving(world::OPEN, &[80], &[]).unwrap()
        };
        kernel.set_vip(world::ip(side.open).into(), value);
        let first = || {
            let packet = builder::Packet::new(world::ip(side.client), world::ip(side.open));
            packet.fragment(0, true)
        };
        let syn = builder::tcp(40_000, 80, builder::SYN);
        let behind = [&[6, 0, 1, 4, 0, 0, 0, 0][..], &syn].concat();
        let mut pieces = vec![first().payload(6, &syn), first().payload(6, &syn[..8])];
        if side.name == "v6" {
            pieces.push(first().payload(60, &behind));
        }
        for piece in pieces {
            let last = (0..20).map(|_| kernel.steer(&piece).0).last();
            assert_eq!(last, Some(XDP_DROP), "{} {piece:02x?}", side.name);
        }
    }
}

#[test]
fn one_packet_in_so_many_becomes_an_event() {
    if !require_root() {
        return;
    }
    let (mut kernel, _connections) = node();
    let settings = Settings { workers: 2, sample: 10, ..Settings::default() };
    kernel.set_settings(settings);
    let fixture = table::table()
        .into_iter()
        .find(|fixture| fixture.description == "v4: SYN to unserved port 22")
        .unwrap();
    // On one CPU: the sampling counts per CPU.
    let cpu = nix::sched::sched_getcpu().unwrap();
    let mut set = nix::sched::CpuSet::new();
    set.set(cpu).unwrap();
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set).unwrap();
    for _ in 0..100 {
        kernel.steer(&fixture.packet);
    }
    let mut ring = aya::maps::RingBuf::try_from(kernel.map(map::EVENTS)).unwrap();
    let mut events = Vec::new();
    while let Some(item) = ring.next() {
        events.push(bytemuck::pod_read_unaligned::<Event>(&item));
    }
    assert_eq!(events.len(), 10);
    let (vip, verdict) = fixture.verdict.unwrap();
    for event in events {
        assert_eq!((event.vip, event.verdict, event.sample), (vip, verdict as u32, 10));
        assert_eq!((event.flow.destination_port.to_host(), event.cpu as usize), (22, cpu));
        assert_eq!(event.flow.destination.to_string(), world::V4.open);
    }
}

#[test]
fn every_name_of_the_contract_is_a_map_of_the_object() {
    if !require_root() {
        return;
    }
    let kernel = Kernel::load();
    let mut names: Vec<&str> = kernel.ebpf.maps().map(|(name, _)| name).collect();
    names.retain(|name| *name != "AYA_LOGS" && !name.starts_with('.'));
    names.sort_unstable();
    let mut wanted = map::PINNED.to_vec();
    wanted.sort_unstable();
    assert_eq!(names, wanted);
}

/// Instructions, stack and map memory may not grow by more than a tenth unnoticed.
#[test]
fn programs_and_maps_keep_to_the_committed_budget() {
    if !require_root() {
        return;
    }
    let mut kernel = Kernel::load();
    let steer: &mut Xdp = kernel.ebpf.program_mut("steer").unwrap().try_into().unwrap();
    let steer = steer.info().unwrap();
    let dispatch: &mut SkLookup = kernel.ebpf.program_mut("dispatch").unwrap().try_into().unwrap();
    let dispatch = dispatch.info().unwrap();
    let mut measured = Vec::new();
    let frames = stack::frames();
    for ((name, info), frames) in [("steer", &steer), ("dispatch", &dispatch)].iter().zip(frames) {
        measured.extend(of_program(name, info));
        let deepest = frames.iter().sum();
        println!("{name}: frames of {frames:?} bytes");
        assert!(deepest <= stack::LIMIT, "{name}: the verifier takes no more, whoever calls whom");
        measured.push((format!("{name} stack bytes"), deepest));
    }
    for &name in map::PINNED {
        let id = map_data(kernel.map(name)).info().unwrap().id();
        measured.push((format!("{name} bytes"), map_memory(id)));
    }

    if std::env::var_os("GENKAN_ACCEPT_BUDGET").is_some() {
        let mut text = String::from(HEADER);
        for (name, value) in &measured {
            writeln!(text, "{name}: {value}").unwrap();
        }
        std::fs::write(BUDGET, text).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(BUDGET).unwrap();
    for (name, value) in measured {
        let allowed: u64 = committed
            .lines()
            .find_map(|line| line.strip_prefix(&name)?.strip_prefix(": ")?.parse().ok())
            .unwrap_or_else(|| panic!("{name} is not in {BUDGET}; {ACCEPT}"));
        assert!(value <= allowed + allowed / 10, "{name} grew from {allowed} to {value}; {ACCEPT}");
    }
}

const ACCEPT: &str = "if that is meant, run GENKAN_ACCEPT_BUDGET=1 cargo test -p ingress-userspace \
                      --test packet budget and commit the file";

const HEADER: &str = "\
# What the kernel programs and their maps cost; tests/packet.rs of ingress-userspace compares.
# Written by GENKAN_ACCEPT_BUDGET=1 cargo test -p ingress-userspace --test packet budget
# Map bytes depend on the number of possible CPUs for per-CPU maps.
";

fn of_program(name: &str, info: &ProgramInfo) -> Vec<(String, u64)> {
    let verified = info.verified_instruction_count().unwrap_or_default();
    let translated = info.size_translated().unwrap_or_default();
    vec![
        (format!("{name} verified instructions"), verified.into()),
        (format!("{name} translated instructions"), u64::from(translated / 8)),
        (format!("{name} jited bytes"), info.size_jitted().into()),
    ]
}

fn map_data(map: &aya::maps::Map) -> &aya::maps::MapData {
    use aya::maps::Map;
    match map {
        Map::Array(data)
        | Map::PerCpuArray(data)
        | Map::LpmTrie(data)
        | Map::SockMap(data)
        | Map::RingBuf(data)
        | Map::CpuMap(data) => data,
        other => panic!("no kind of map that the programs use: {other:?}"),
    }
}

/// What the kernel charges for a map, from its descriptor's information.
fn map_memory(id: u32) -> u64 {
    let map = aya::maps::MapInfo::from_id(id).unwrap();
    let descriptor = map.fd().unwrap();
    let number = descriptor.as_fd().as_raw_fd();
    std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"))
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok())
        .unwrap()
}
