//! What a packet costs, net of a program that only returns.
//!
//! A harness program writes a fresh packet and tail-calls the program under test, so that runs do
//! not see each other's changes. Rounds of all cases are interleaved, because the machine's speed
//! drifts; each figure is min-median-max of the rounds. The verdict counts prove that the path that
//! is named is the path that ran. Root only.
#![allow(clippy::unwrap_used, reason = "a benchmark stops where it fails")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use aya::maps::{Array, ProgramArray};
use aya::programs::{ProgramFd, Xdp};
use aya::{Ebpf, TestRun, TestRunOptions};
use genkan::testing::require_root;
use ingress_common::Verdict;
use ingress_common::policy::NewFlowBudget;
use ingress_common::vip::{VIP_BUDGET, VipValue};

#[path = "../src/net/packet.rs"]
#[allow(dead_code, unreachable_pub, reason = "part of the library for all other tests")]
mod builder;
#[path = "../tests/packet/kernel.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod kernel;
#[path = "../tests/packet/world.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod world;

use builder::{ACK, Packet, SYN};
use kernel::{Kernel, enter_namespace, run};
use world::{SIDES, Side, ip};

static FLOOR: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/genkan-floor.bpf.o"));

const ROUNDS: usize = 9;
const REPEAT: u32 = 100_000;
const KNOWN_FLOWS: u32 = 16_384;
const NEW_FLOWS: u32 = 1 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Pass,
    Lookup,
    Steer,
}

struct Case {
    name: String,
    target: Target,
    template: [u8; 112],
    times: Vec<u128>,
    verdicts: Vec<(u32, Verdict, u64)>,
}

// === impl Case ===

impl Case {
    /// `flows` is a power of two; `by_address` gives each flow a source address of its own.
    fn new(
        name: &str,
        target: Target,
        side: Side,
        mut frame: Vec<u8>,
        flows: u32,
        by_address: bool,
    ) -> Self {
        frame.resize(96, 0);
        let (address, port): (u32, u32) = if side.name == "v4" { (26, 34) } else { (34, 54) };
        let port = if by_address { 0 } else { port };
        let mut template = [0; 112];
        for (at, value) in [(4, flows - 1), (8, address), (12, port)] {
            template[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        template[16..].copy_from_slice(&frame);
        let name = format!("{name} {}", side.name);
        Self { name, target, template, times: Vec::new(), verdicts: Vec::new() }
    }

    fn median(&self) -> f64 {
        let mut times = self.times.clone();
        times.sort_unstable();
        times[times.len() / 2] as f64
    }
}

fn main() {
    if !require_root() {
        return;
    }
    enter_namespace();
    let mut floor = Ebpf::load(FLOOR).unwrap();
    for name in ["harness", "floor_pass", "floor_lookup"] {
        let program: &mut Xdp = floor.program_mut(name).unwrap().try_into().unwrap();
        kernel::accepted(|| program.load());
    }
    let (known, _sockets) = known_flows();
    let mut kernel = Kernel::load();
    kernel.listen(2);
    let mut cases = cases(&known);
    add_budgets(&mut kernel);

    for round in 0..=ROUNDS {
        for case in &mut cases {
            let average = measure(&mut floor, &mut kernel, case);
            let verdicts = kernel.take_counters();
            // The first round warms up.
            if round > 0 {
                case.times.push(average);
                case.verdicts = verdicts;
            }
        }
    }
    report(&cases);
}

fn cases(known: &[Side]) -> Vec<Case> {
    let mut cases = Vec::new();
    for side in SIDES {
        let to = |vip: &str| Packet::new(ip(side.client), ip(vip));
        let other = to(side.other).tcp(40_000, 80, ACK);
        if side.name == "v4" {
            cases.push(Case::new("floor: PASS", Target::Pass, side, other.clone(), 1, false));
            cases.push(Case::new(
                "floor: one lookup, miss",
                Target::Lookup,
                side,
                other.clone(),
                1,
                false,
            ));
        }
        cases.push(Case::new("not a VIP", Target::Steer, side, other, 1, false));
        let syn = to(side.open).tcp(40_000, 80, SYN);
        cases.push(Case::new(
            "new flow, 1 M tuples",
            Target::Steer,
            side,
            syn.clone(),
            NEW_FLOWS,
            false,
        ));
        cases.push(Case::new("flood of new sources", Target::Steer, side, syn, NEW_FLOWS, true));
        let budgeted = to(side.closed).tcp(40_000, 80, SYN);
        cases.push(Case::new("same, with budget", Target::Steer, side, budgeted, NEW_FLOWS, true));
        let denied = Packet::new(ip(side.denied), ip(side.guarded)).tcp(40_000, 80, SYN);
        cases.push(Case::new("denied source", Target::Steer, side, denied, 1, false));
        let unserved = to(side.open).tcp(40_000, 22, SYN);
        cases.push(Case::new("unserved port", Target::Steer, side, unserved, 1, false));
    }
    for side in known {
        let packet = Packet::new(ip(side.client), ip(side.open));
        let one = packet.clone().tcp(16_384, 80, ACK);
        cases.push(Case::new("known flow, 1", Target::Steer, *side, one, 1, false));
        let all = packet.tcp(16_384, 80, ACK);
        cases.push(Case::new("known flow, 16,384", Target::Steer, *side, all, KNOWN_FLOWS, false));
    }
    cases
}

/// The third VIP of the table becomes one without rules and with a budget.
fn add_budgets(kernel: &mut Kernel) {
    for side in SIDES {
        let value = VipValue {
            flags: VIP_BUDGET,
            budget: NewFlowBudget::new(10, 20),
            ..VipValue::serving(world::CLOSED, &[80], &[]).unwrap()
        };
        kernel.set_vip(ip(side.closed).into(), value);
    }
}

/// Real connections with the sources that the harness makes: four addresses, 4,096 ports each.
fn known_flows() -> (Vec<Side>, Vec<TcpStream>) {
    let mut sockets = Vec::new();
    run("sysctl -qw net.core.somaxconn=4096");
    let side = Side { client: "198.18.0.0", ..world::V4 };
    run(&format!("ip addr add {}/32 dev lo", side.open));
    let server = TcpListener::bind(SocketAddr::new(ip(side.open), 80)).unwrap();
    for address in 0..KNOWN_FLOWS / 4096 {
        let client = format!("198.18.0.{address}");
        run(&format!("ip addr add {client}/32 dev lo"));
        for port in 0..4096 {
            sockets.push(connection(&server, SocketAddr::new(ip(&client), 16_384 + port)));
        }
    }
    (vec![side], sockets)
}

/// The accepted end stays; the client's own end is closed, which leaves ours waiting to close.
fn connection(server: &TcpListener, client: SocketAddr) -> TcpStream {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&client.into()).unwrap();
    let vip = server.local_addr().unwrap();
    socket.connect_timeout(&vip.into(), Duration::from_secs(3)).unwrap();
    server.accept().unwrap().0
}

/// Average nanoseconds of a run.
fn measure(floor: &mut Ebpf, kernel: &mut Kernel, case: &Case) -> u128 {
    let descriptor = |ebpf: &Ebpf, name: &str| -> ProgramFd {
        let program: &Xdp = ebpf.program(name).unwrap().try_into().unwrap();
        program.fd().unwrap().try_clone().unwrap()
    };
    let target = match case.target {
        Target::Pass => descriptor(floor, "floor_pass"),
        Target::Lookup => descriptor(floor, "floor_lookup"),
        Target::Steer => descriptor(&kernel.ebpf, "steer"),
    };
    let mut programs: ProgramArray<_> = floor.map_mut("TARGET").unwrap().try_into().unwrap();
    programs.set(0, &target, 0).unwrap();
    let mut template: Array<_, [u8; 112]> = floor.map_mut("TEMPLATE").unwrap().try_into().unwrap();
    template.set(0, case.template, 0).unwrap();
    let data = [0; 128];
    let options =
        TestRunOptions { data_in: Some(&data), repeat: REPEAT, ..TestRunOptions::default() };
    let harness: &mut Xdp = floor.program_mut("harness").unwrap().try_into().unwrap();
    let result = harness.test_run(options).unwrap();
    assert_ne!(result.return_value, 0, "{}: aborted", case.name);
    result.duration.as_nanos()
}

fn report(cases: &[Case]) {
    let pass = cases[0].median();
    let lookup = cases[1].median() - pass;
    println!("{ROUNDS} rounds of {REPEAT} runs; ns per packet, net of the PASS floor of {pass} ns");
    println!("{:28} {:>5} {:>17} {:>8}  verdicts", "case", "net", "min-median-max", "/lookup");
    for case in cases {
        let (min, max) = (case.times.iter().min().unwrap(), case.times.iter().max().unwrap());
        let net = case.median() - pass;
        let verdicts: Vec<String> =
            case.verdicts.iter().map(|(_, verdict, n)| format!("{} {n}", verdict.name())).collect();
        println!(
            "{:28} {net:>5} {:>17} {:>8.2}  {}",
            case.name,
            format!("{min}-{}-{max}", case.median()),
            net / lookup.max(1.0),
            verdicts.join(", ")
        );
    }
}
