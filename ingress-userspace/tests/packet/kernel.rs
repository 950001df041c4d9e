//! The loaded programs, in a network namespace of the calling thread.
//!
//! Loads the embedded object by itself, pins nothing and attaches only what a test asks for, so that
//! the kernel programs are tested without the rest of Genkan. Everything goes with the thread.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use aya::Ebpf;
use aya::maps::lpm_trie::Key;
use aya::maps::{Array, LpmTrie, Map, MapData, PerCpuArray, SockMap};
use aya::programs::{ProgramError, SkLookup, Xdp};
use aya::{TestRun, TestRunOptions};
use genkan::testing::deadline::eventually_some;
use ingress_common::policy::{RULE_PREFIX, RuleKey4, RuleKey6};
use ingress_common::table::{VipTable, Write};
use ingress_common::verdict::Counters;
use ingress_common::vip::{VipEntry, VipValue};
use ingress_common::worker::{Load, Settings, listener_slot};
use ingress_common::{Address, Family, Verdict, map};

use super::world::{self, ip};

pub(crate) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/genkan.bpf.o"));

/// XDP actions.
pub(crate) const XDP_DROP: u32 = 1;
pub(crate) const XDP_PASS: u32 = 2;
pub(crate) const XDP_TX: u32 = 3;

pub(crate) struct Kernel {
    pub(crate) ebpf: Ebpf,
    table: VipTable,
    /// One group per family, a listener per worker.
    pub(crate) listeners: [Vec<TcpListener>; 2],
}

/// Moves the calling thread into a network namespace of its own, with its loopback up.
pub(crate) fn enter_namespace() {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("a network namespace");
    run("ip link set lo up");
}

/// Runs a command in the thread's namespace.
pub(crate) fn run(command: &str) {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a program");
    let output = Command::new(program).args(words).output().expect("the program starts");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

// === impl Kernel ===

impl Kernel {
    /// Loads both programs and fills the maps with the world of the packet table.
    pub(crate) fn load() -> Self {
        let mut ebpf = Ebpf::load(OBJECT).expect("the object loads");
        let steer: &mut Xdp = ebpf.program_mut("steer").unwrap().try_into().unwrap();
        accepted(|| steer.load());
        let dispatch: &mut SkLookup = ebpf.program_mut("dispatch").unwrap().try_into().unwrap();
        accepted(|| dispatch.load());
        let mut kernel =
            Self { ebpf, table: VipTable::default(), listeners: [Vec::new(), Vec::new()] };
        for (address, value) in world::vips() {
            kernel.set_vip(address.into(), value);
        }
        for (acl, network, length, value) in world::rules() {
            kernel.set_rule(acl, network.into(), length, value);
        }
        kernel.set_settings(Settings {
            workers: 2,
            grace: u64::MAX,
            seed: 1,
            ..Settings::default()
        });
        kernel
    }

    pub(crate) fn map(&mut self, name: &str) -> &mut Map {
        self.ebpf.map_mut(name).unwrap_or_else(|| panic!("the object has a map {name}"))
    }

    pub(crate) fn array<T: aya::Pod>(&mut self, name: &str) -> Array<&mut MapData, T> {
        self.map(name).try_into().unwrap_or_else(|error| panic!("{name} is an array: {error}"))
    }

    pub(crate) fn set_vip(&mut self, address: Address, value: VipValue) {
        for write in self.table.upsert(address, value).expect("a free place") {
            match write {
                Write::Entry { index, entry } => {
                    self.array::<VipEntry>(map::VIPS).set(index, entry, 0).unwrap();
                }
                Write::Slot { index, value } => {
                    self.array::<u32>(map::VIP_SLOTS).set(index, value, 0).unwrap();
                }
            }
        }
    }

    pub(crate) fn set_rule(&mut self, acl: u32, network: Address, length: u32, value: u32) {
        let prefix = RULE_PREFIX + length;
        match network.family() {
            Family::V4 => {
                let mut trie: LpmTrie<_, RuleKey4, u32> = self.map(map::RULES4).try_into().unwrap();
                let key = RuleKey4 { acl, address: network.words[3] };
                trie.insert(&Key::new(prefix, key), value, 0).unwrap();
            }
            Family::V6 => {
                let mut trie: LpmTrie<_, RuleKey6, u32> = self.map(map::RULES6).try_into().unwrap();
                let key = RuleKey6 { acl, address: network.words };
                trie.insert(&Key::new(prefix, key), value, 0).unwrap();
            }
        }
    }

    pub(crate) fn set_settings(&mut self, settings: Settings) {
        self.array::<Settings>(map::SETTINGS).set(0, settings, 0).unwrap();
    }

    /// Gives every CPU to one worker.
    pub(crate) fn set_cpu_worker(&mut self, worker: u32) {
        let mut cpus = self.array::<u32>(map::CPU_WORKER);
        for cpu in 0..cpus.len() {
            cpus.set(cpu, worker, 0).unwrap();
        }
    }

    pub(crate) fn set_connections(&mut self, worker: u32, connections: u32) {
        let load = Load { connections, ..Load::default() };
        self.array::<Load>(map::LOADS).set(worker, load, 0).unwrap();
    }

    /// Opens the listeners of `workers` workers in both families and puts them into the map.
    pub(crate) fn listen(&mut self, workers: u32) {
        for (family, address) in [(Family::V4, "127.0.0.1:0"), (Family::V6, "[::1]:0")] {
            let mut address: SocketAddr = address.parse().unwrap();
            for worker in 0..workers {
                let listener = listener(address);
                // All of a family are one group: the same port.
                address = listener.local_addr().unwrap();
                let mut sockets: SockMap<_> = self.map(map::LISTENERS).try_into().unwrap();
                sockets.set(listener_slot(family, worker), &listener, 0).unwrap();
                self.listeners[family as usize].push(listener);
            }
        }
    }

    /// Attaches `dispatch` to the thread's namespace, until the programs go.
    pub(crate) fn attach_dispatch(&mut self) {
        let namespace = File::open("/proc/thread-self/ns/net").unwrap();
        let dispatch: &mut SkLookup =
            self.ebpf.program_mut("dispatch").unwrap().try_into().unwrap();
        dispatch.attach(namespace).expect("dispatch attaches");
    }

    /// Runs `steer` on a frame: the action and the frame afterwards.
    pub(crate) fn steer(&mut self, packet: &[u8]) -> (u32, Vec<u8>) {
        let mut out = vec![0; packet.len() + 64];
        let options = TestRunOptions {
            data_in: Some(packet),
            data_out: Some(&mut out),
            ..TestRunOptions::default()
        };
        let steer: &mut Xdp = self.ebpf.program_mut("steer").unwrap().try_into().unwrap();
        let result = steer.test_run(options).expect("the test run starts");
        out.truncate(result.data_size_out as usize);
        (result.return_value, out)
    }

    /// Every counter that is not zero: VIP, verdict, packets.
    pub(crate) fn counters(&mut self) -> Vec<(u32, Verdict, u64)> {
        let counters: PerCpuArray<_, Counters> = self.map(map::COUNTERS).try_into().unwrap();
        let mut found = Vec::new();
        for vip in 0..8 {
            let values = counters.get(&vip, 0).unwrap();
            for &verdict in Verdict::ALL {
                let sum = values.iter().map(|value| value.packets[verdict as usize]).sum();
                if sum > 0 {
                    found.push((vip, verdict, sum));
                }
            }
        }
        found
    }

    /// The counters, and all of them back to zero.
    pub(crate) fn take_counters(&mut self) -> Vec<(u32, Verdict, u64)> {
        let found = self.counters();
        let mut counters: PerCpuArray<_, Counters> = self.map(map::COUNTERS).try_into().unwrap();
        for (vip, _, _) in &found {
            let values = counters.get(vip, 0).unwrap();
            let zero = aya::maps::PerCpuValues::try_from(vec![Counters::default(); values.len()]);
            counters.set(*vip, zero.unwrap(), 0).unwrap();
        }
        found
    }
}

/// Loads a program. The verifier gives up with EAGAIN when a signal is pending, and is asked again.
pub(crate) fn accepted(mut load: impl FnMut() -> Result<(), ProgramError>) {
    for _ in 0..20 {
        match load() {
            Ok(()) => return,
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("the verifier refuses: {error}"),
        }
    }
    panic!("the verifier was interrupted each time");
}

/// A listening socket that shares its port with the others of its group.
pub(crate) fn listener(address: SocketAddr) -> TcpListener {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(4096).unwrap();
    socket.into()
}

/// Makes the addresses of both families local, and gives the first VIP the established connection
/// that the table knows. The returned sockets keep it.
pub(crate) fn establish() -> Vec<(TcpStream, TcpStream)> {
    use socket2::{Domain, Socket, Type};
    let connect = |side: world::Side| {
        for address in
            [side.client, side.denied, side.stranger, side.open, side.guarded, side.closed]
        {
            let length = if address.contains(':') { 128 } else { 32 };
            let flags = if address.contains(':') { "nodad" } else { "" };
            run(&format!("ip addr add {address}/{length} dev lo {flags}"));
        }
        let vip = SocketAddr::new(ip(side.open), 80);
        let server = TcpListener::bind(vip).unwrap();
        let client = SocketAddr::new(ip(side.client), world::KNOWN_PORT);
        // The kernel makes the routes of a new IPv6 address a little later than the address.
        let socket = eventually_some("the addresses are reachable", || {
            let socket = Socket::new(Domain::for_address(vip), Type::STREAM, None).unwrap();
            socket.bind(&client.into()).unwrap();
            // Not plain connect, which a signal ends.
            match socket.connect_timeout(&vip.into(), std::time::Duration::from_secs(3)) {
                Ok(()) => Some(socket),
                Err(error) if error.kind() == std::io::ErrorKind::NetworkUnreachable => None,
                Err(error) => panic!("{client} to {vip}: {error}"),
            }
        });
        let (accepted, peer) = server.accept().unwrap();
        assert_eq!(peer, client);
        (socket.into(), accepted)
    };
    world::SIDES.map(connect).into()
}
