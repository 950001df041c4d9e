//! What the kernel of the edge knows: verdict counters, and the XDP program on the uplink.
//!
//! Read from the pins of the edge's bpffs, beside the process, so that it works also without one.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use aya::maps::{Array, Map, MapData, PerCpuArray};
use ingress_common::address::Address;
use ingress_common::map;
use ingress_common::verdict::{COUNTER_SLOTS, Counters, Verdict};
use ingress_common::vip::{VipEntry, find};

use super::{EdgeLab, Story};

/// Where the program keeps its maps and links.
pub const PINS: &str = "/sys/fs/bpf/genkan";

/// How often each verdict was given.
#[derive(Clone, Copy)]
pub struct Counted {
    counters: Counters,
}

/// The XDP program on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xdp {
    pub native: bool,
    pub program: String,
}

// === impl Story ===

impl Story {
    /// The verdicts of a VIP since its counters began. Panics when the VIP is not in the maps.
    pub fn counters(&self, vip: IpAddr) -> Counted {
        self.edge().run(|| {
            let slots = Array::<_, u32>::try_from(Map::Array(pinned(map::VIP_SLOTS))).unwrap();
            let vips = Array::<_, VipEntry>::try_from(Map::Array(pinned(map::VIPS))).unwrap();
            let entry = find(
                &Address::from(vip),
                |slot| slots.get(&slot, 0).unwrap(),
                |entry| vips.get(&entry, 0).ok().map(Box::new),
            );
            let id = entry.unwrap_or_else(|| panic!("{vip} is no VIP of the kernel")).value.id;
            let counters = Map::PerCpuArray(pinned(map::COUNTERS));
            let counters = PerCpuArray::<_, Counters>::try_from(counters).unwrap();
            let mut sum = [0; COUNTER_SLOTS];
            for cpu in counters.get(&id, 0).unwrap().iter() {
                for (sum, count) in sum.iter_mut().zip(cpu.packets) {
                    *sum += count;
                }
            }
            Counted { counters: Counters { packets: sum } }
        })
    }

    /// What `act` moved.
    pub fn counting<R>(&self, vip: IpAddr, act: impl FnOnce() -> R) -> (R, Counted) {
        let before = self.counters(vip);
        let result = act();
        (result, self.counters(vip).since(&before))
    }

    /// The XDP program on a device of the edge.
    pub fn xdp(&self, device: &str) -> Option<Xdp> {
        let text = self.edge().ip(&["-d", "-j", "link", "show", "dev", device]);
        let links: serde_json::Value = serde_json::from_str(&text).unwrap();
        let xdp = links[0].get("xdp")?;
        let program = xdp["prog"]["name"].as_str().unwrap_or_default().to_owned();
        // 1 is the driver's mode, 2 the generic one.
        Some(Xdp { native: xdp["mode"] == 1, program })
    }

    /// Takes the XDP program off the uplink behind the program's back.
    pub fn detach_xdp(&self) {
        for link in self.pins().into_iter().filter(|pin| pin.starts_with("links/steer-")) {
            let path = format!("{PINS}/{link}");
            self.edge().output("bpftool", &["link", "detach", "pinned", &path]);
        }
        assert_eq!(self.xdp(EdgeLab::UPLINK), None);
    }

    /// Everything pinned at the edge, and the directories of pins, relative to [`PINS`]; sorted.
    pub fn pins(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.edge().run(|| list(Path::new(PINS), &mut found));
        found.sort();
        found
    }
}

// === impl Counted ===

impl Counted {
    pub fn of(&self, verdict: Verdict) -> u64 {
        self.counters.packets[verdict as usize]
    }

    /// New connections that `dispatch` gave to a worker.
    pub fn dispatched(&self) -> u64 {
        self.of(Verdict::DispatchCpu) + self.of(Verdict::DispatchLeastLoaded)
    }

    /// Names and numbers of what is not zero.
    pub fn moved(&self) -> BTreeMap<&'static str, u64> {
        let counts = Verdict::ALL.iter().map(|&verdict| (verdict.name(), self.of(verdict)));
        counts.filter(|&(_, count)| count > 0).collect()
    }

    fn since(&self, before: &Self) -> Self {
        let mut counters = self.counters;
        for (count, before) in counters.packets.iter_mut().zip(before.counters.packets) {
            *count -= before;
        }
        Self { counters }
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.moved().fmt(f)
    }
}

pub(super) fn pinned(name: &str) -> MapData {
    let path = Path::new(PINS).join(format!("maps-{}", ingress_common::ABI)).join(name);
    MapData::from_pin(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn list(path: &Path, found: &mut Vec<String>) {
    if !path.exists() {
        return;
    }
    let name = path.strip_prefix(PINS).expect("it was found below the pins");
    found.push(name.to_string_lossy().into_owned());
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        list(&entry.path(), found);
    }
}
