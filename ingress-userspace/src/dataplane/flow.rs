//! What the kernel programs would do with a packet, by asking them (BPF_PROG_TEST_RUN).
//!
//! The question goes to a second instance of the same programs. It shares the maps that they only
//! read with the running ones, by their pins; counters, budgets and everything else that they write
//! are its own, filled with the present state where that decides. Asking changes nothing.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use aya::maps::{Array, Map, MapData, MapError, PerCpuArray};
use aya::{Ebpf, EbpfLoader};
use ingress_common::map;
use ingress_common::policy::budget_cells;
use ingress_common::verdict::Counters;
use ingress_common::vip::{VipEntry, find};
use ingress_common::worker::{Absence, Load, MAX_CPUS, MAX_WORKERS, NO_WORKER, Settings};
use ingress_common::{Address, Verdict};
use serde::Serialize;

use super::{DataplaneError, Pins, attach, load};

mod run;

/// Read and never written by the programs; or, for the scratch, what tells the attached `dispatch`
/// to stand aside while this instance asks for a socket.
const SHARED: [&str; 6] =
    [map::VIP_SLOTS, map::VIPS, map::RULES4, map::RULES6, map::LISTENERS, map::SCRATCH];

/// A packet, and where it is asked about.
#[derive(Debug, Clone)]
pub struct Probe {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub frame: Vec<u8>,
    /// Index of the device that it comes in on.
    pub interface: Option<u32>,
    /// It opens a connection or may belong to one: `dispatch` would be asked.
    pub is_tcp: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Whether the destination is a VIP.
    pub vip: bool,
    pub steer: Steering,
    /// By what the CPU prefers, for packets that may open a connection.
    pub dispatch: Vec<Dispatching>,
    /// CPUs that packets for VIPs are spread over before the stack; 0 is off.
    pub spread: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Steering {
    /// `pass`, `drop`, `tx` or `aborted`.
    pub action: &'static str,
    /// `None` for packets that are not for a VIP: they are not counted.
    pub verdict: Option<&'static str>,
    pub description: &'static str,
    /// Block and index of the counter.
    pub counter: Option<(u32, u32)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dispatching {
    /// The packet is on one of these.
    pub cpus: Vec<u32>,
    pub verdict: &'static str,
    pub description: &'static str,
    pub counter: (u32, u32),
    /// Who takes the connection.
    pub worker: Option<u32>,
}

/// A second instance of the programs over the pinned maps.
pub struct Trial {
    ebpf: Ebpf,
    slots: Array<MapData, u32>,
    vips: Array<MapData, VipEntry>,
    settings: Settings,
    /// Worker of each CPU.
    cpu_worker: Vec<u32>,
    loads: Vec<Load>,
    pins: Pins,
}

// === impl Trial ===

impl Trial {
    /// Opens the pinned maps of a running or earlier process and loads the programs over them.
    ///
    /// # Errors
    ///
    /// When there are none, or of another version, or the rights are missing.
    pub fn load(pins: Pins) -> Result<Self, DataplaneError> {
        let object = load::object().ok_or(DataplaneError::NotBuilt)?;
        load::require_pinned(object, &pins)?;
        let paths: Vec<_> = SHARED.iter().map(|&name| (name, pins.map(name))).collect();
        let mut loader = EbpfLoader::new();
        for (name, path) in &paths {
            loader.map_pin_path(name, path.as_path());
        }
        let mut ebpf = loader.load(object).map_err(|error| {
            DataplaneError::kernel("create the maps of the kernel programs", &error)
        })?;
        attach::load_programs(&mut ebpf)?;

        let read = |error: MapError| DataplaneError::kernel("read the pinned maps", &error);
        let slots = pinned::<u32>(&pins, map::VIP_SLOTS)?;
        let vips = pinned::<VipEntry>(&pins, map::VIPS)?;
        let settings = pinned::<Settings>(&pins, map::SETTINGS)?.get(&0, 0).map_err(read)?;
        let cpus = super::cpus()?.min(MAX_CPUS);
        let cpu_worker = pinned::<u32>(&pins, map::CPU_WORKER)?;
        let cpu_worker = (0..cpus).map(|cpu| cpu_worker.get(&cpu, 0)).collect::<Result<_, _>>();
        let loads = pinned::<Load>(&pins, map::LOADS)?;
        let loads = (0..MAX_WORKERS).map(|worker| loads.get(&worker, 0)).collect::<Result<_, _>>();
        let (cpu_worker, loads) = (cpu_worker.map_err(read)?, loads.map_err(read)?);
        Ok(Self { ebpf, slots, vips, settings, cpu_worker, loads, pins })
    }

    /// What becomes of a packet now.
    ///
    /// # Errors
    ///
    /// When the kernel does not run the programs on it.
    pub fn ask(&mut self, probe: &Probe) -> Result<Answer, DataplaneError> {
        let fill = |error: MapError| DataplaneError::kernel("fill the maps of the trial", &error);
        let vip = self.vip(probe.destination.ip());
        self.fill(probe.source.ip(), vip.as_ref()).map_err(fill)?;
        // What `steer` asks of the CPU is whether its worker listens: any live one answers alike.
        self.prefer(self.cpu_worker.first().copied().unwrap_or(NO_WORKER)).map_err(fill)?;
        let before = self.counters(vip.as_ref())?;
        let action = run::steer(&mut self.ebpf, probe)?;
        let verdict = self.counted(vip.as_ref(), &before)?;
        let steer = Steering {
            action,
            verdict: verdict.map(Verdict::name),
            description: match verdict {
                Some(verdict) => verdict.description(),
                None => "Not for a VIP: passed untouched and not counted.",
            },
            counter: vip.as_ref().zip(verdict).map(|(vip, v)| (vip.value.id, v as u32)),
        };
        let opens =
            matches!(verdict, Some(Verdict::TcpSyn | Verdict::TcpUnknown | Verdict::TcpNoListener));
        let dispatch = match &vip {
            Some(vip) if opens && probe.is_tcp => self.dispatch(probe, vip)?,
            Some(_) | None => Vec::new(),
        };
        Ok(Answer { vip: vip.is_some(), steer, dispatch, spread: self.settings.spread })
    }

    /// `dispatch` on CPUs of each preference.
    fn dispatch(
        &mut self,
        probe: &Probe,
        vip: &VipEntry,
    ) -> Result<Vec<Dispatching>, DataplaneError> {
        let fill = |error: MapError| DataplaneError::kernel("fill the maps of the trial", &error);
        let workers = self.by_cookie(probe, vip)?;
        self.set_loads(&self.loads.clone()).map_err(fill)?;
        let mut cpus_of: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (cpu, &worker) in (0..).zip(&self.cpu_worker) {
            cpus_of.entry(worker).or_default().push(cpu);
        }
        let mut answers = Vec::new();
        for (preferred, cpus) in cpus_of {
            self.prefer(preferred).map_err(fill)?;
            let (verdict, cookie) = self.lookup(probe, vip)?;
            answers.push(Dispatching {
                cpus,
                verdict: verdict.name(),
                description: verdict.description(),
                counter: (vip.value.id, verdict as u32),
                worker: workers.get(&cookie).copied(),
            });
        }
        answers.sort_by(|a, b| a.cpus.cmp(&b.cpus));
        Ok(answers)
    }

    /// The worker of each listener, by the cookie of its socket: each is preferred once, while
    /// nobody has connections.
    fn by_cookie(
        &mut self,
        probe: &Probe,
        vip: &VipEntry,
    ) -> Result<BTreeMap<u64, u32>, DataplaneError> {
        let fill = |error: MapError| DataplaneError::kernel("fill the maps of the trial", &error);
        self.set_loads(&vec![Load::default(); self.loads.len()]).map_err(fill)?;
        let mut workers = BTreeMap::new();
        for worker in 0..self.settings.workers.min(MAX_WORKERS) {
            self.prefer(worker).map_err(fill)?;
            if let (Verdict::DispatchCpu, cookie) = self.lookup(probe, vip)? {
                workers.insert(cookie, worker);
            }
        }
        Ok(workers)
    }

    /// One lookup: its verdict and the cookie of the socket that was chosen, or 0.
    fn lookup(&mut self, probe: &Probe, vip: &VipEntry) -> Result<(Verdict, u64), DataplaneError> {
        let before = self.counters(Some(vip))?;
        let cookie = run::dispatch(&mut self.ebpf, probe)?;
        match self.counted(Some(vip), &before)? {
            Some(verdict) => Ok((verdict, cookie)),
            None => Err(DataplaneError::Kernel {
                attempt: "ask dispatch about the packet".to_owned(),
                reason: "it gave no verdict".to_owned(),
            }),
        }
    }

    fn vip(&self, destination: IpAddr) -> Option<VipEntry> {
        let slot = |index| self.slots.get(&index, 0).unwrap_or_default();
        let entry = |index| self.vips.get(&index, 0).ok().map(Box::new);
        find(&Address::from(destination), slot, entry).map(|entry| *entry)
    }

    /// The state that decides and that the programs write: brought to what it is now.
    fn fill(&mut self, source: IpAddr, vip: Option<&VipEntry>) -> Result<(), MapError> {
        // Events of a trial are of no use, and the scratch counts towards them.
        let settings = Settings { sample: 0, spread: 0, ..self.settings };
        own::<Settings>(&mut self.ebpf, map::SETTINGS)?.set(0, settings, 0)?;
        let absence = Array::<_, Absence>::try_from(open(&self.pins, map::ABSENCE)?)?;
        let mut own_absence = own::<Absence>(&mut self.ebpf, map::ABSENCE)?;
        for family in 0..2 {
            own_absence.set(family, absence.get(&family, 0)?, 0)?;
        }
        self.set_loads(&self.loads.clone())?;
        if let Some(vip) = vip {
            let budget = Array::<_, u64>::try_from(open(&self.pins, map::BUDGET)?)?;
            let source = Address::from(source);
            let seed = self.settings.seed;
            let mut own_budget = own::<u64>(&mut self.ebpf, map::BUDGET)?;
            for cell in budget_cells(seed, vip.value.id, source.family(), &source) {
                own_budget.set(cell, budget.get(&cell, 0)?, 0)?;
            }
        }
        Ok(())
    }

    fn set_loads(&mut self, loads: &[Load]) -> Result<(), MapError> {
        let mut own = own::<Load>(&mut self.ebpf, map::LOADS)?;
        (0..).zip(loads).try_for_each(|(worker, load)| own.set(worker, load, 0))
    }

    /// Whichever CPU a trial runs on prefers this worker.
    fn prefer(&mut self, worker: u32) -> Result<(), MapError> {
        let cpus = u32::try_from(self.cpu_worker.len()).unwrap_or(MAX_CPUS);
        let mut own = own::<u32>(&mut self.ebpf, map::CPU_WORKER)?;
        (0..cpus).try_for_each(|cpu| own.set(cpu, worker, 0))
    }

    /// The trial's own counters of a VIP, all CPUs together.
    fn counters(&mut self, vip: Option<&VipEntry>) -> Result<Vec<u64>, DataplaneError> {
        let Some(vip) = vip else { return Ok(Vec::new()) };
        let read = |error: MapError| DataplaneError::kernel("read the counters", &error);
        let counters = self
            .ebpf
            .map_mut(map::COUNTERS)
            .ok_or_else(|| MapError::InvalidName { name: map::COUNTERS.to_owned() });
        let counters = counters.and_then(PerCpuArray::<_, Counters>::try_from).map_err(read)?;
        let values = counters.get(&vip.value.id, 0).map_err(read)?;
        let sum = |verdict: &Verdict| {
            values.iter().map(|value| value.packets[*verdict as usize]).sum::<u64>()
        };
        Ok(Verdict::ALL.iter().map(sum).collect())
    }

    /// The verdict that was counted since.
    fn counted(
        &mut self,
        vip: Option<&VipEntry>,
        before: &[u64],
    ) -> Result<Option<Verdict>, DataplaneError> {
        let after = self.counters(vip)?;
        let grown = Verdict::ALL.iter().zip(before.iter().zip(after));
        Ok(grown.into_iter().find(|(_, (before, after))| *before != after).map(|(v, _)| *v))
    }
}

fn pinned<T: aya::Pod>(pins: &Pins, name: &str) -> Result<Array<MapData, T>, DataplaneError> {
    open(pins, name)
        .and_then(Array::try_from)
        .map_err(|error| DataplaneError::kernel(format!("open the pinned map {name}"), &error))
}

fn open(pins: &Pins, name: &str) -> Result<Map, MapError> {
    Map::from_map_data(MapData::from_pin(pins.map(name))?)
}

fn own<'e, T: aya::Pod>(
    ebpf: &'e mut Ebpf,
    name: &str,
) -> Result<Array<&'e mut MapData, T>, MapError> {
    let map = ebpf.map_mut(name).ok_or_else(|| MapError::InvalidName { name: name.to_owned() })?;
    Array::try_from(map)
}
