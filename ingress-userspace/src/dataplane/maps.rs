//! The maps of the kernel programs as typed handles: read into a plan, changed by its steps.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use aya::Ebpf;
use aya::maps::lpm_trie::Key;
use aya::maps::{
    Array, CpuMap, LpmTrie, Map, MapData, MapError, PerCpuArray, PerCpuValues, RingBuf, SockMap,
};
use ingress_common::address::Address;
use ingress_common::map;
use ingress_common::policy::{RULE_ALLOW, RULE_DENY, RULE_PREFIX, RuleKey4, RuleKey6};
use ingress_common::table::{Full, VipTable, Write};
use ingress_common::verdict::Counters;
use ingress_common::vip::VipEntry;
use ingress_common::worker::{Absence, MAX_CPUS, Settings};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::DataplaneError;
use super::error::errno;
use super::plan::{Operation, Plan, Rule, RuleVerdict};

/// Packets that may wait for a CPU of the CPUMAP.
const SPREAD_QUEUE: u32 = 2048;

pub(super) struct Maps {
    table: VipTable,
    slots: Array<MapData, u32>,
    vips: Array<MapData, VipEntry>,
    rules4: LpmTrie<MapData, RuleKey4, u32>,
    rules6: LpmTrie<MapData, RuleKey6, u32>,
    cpu_worker: Array<MapData, u32>,
    settings: Array<MapData, Settings>,
    spread: CpuMap<MapData>,
    loads: Map,
    pub(super) counters: PerCpuArray<MapData, Counters>,
    pub(super) listeners: SockMap<MapData>,
    pub(super) absence: Array<MapData, Absence>,
    pub(super) events: Option<RingBuf<MapData>>,
}

// === impl Maps ===

impl Maps {
    /// Takes the maps out of the loaded object.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, DataplaneError> {
        let slots: Array<_, u32> = take(ebpf, map::VIP_SLOTS)?;
        let vips: Array<_, VipEntry> = take(ebpf, map::VIPS)?;
        let table = adopt(&slots, &vips)?;
        let loads = ebpf.take_map(map::LOADS).ok_or_else(|| missing(map::LOADS))?;
        Ok(Self {
            table,
            slots,
            vips,
            loads,
            rules4: take(ebpf, map::RULES4)?,
            rules6: take(ebpf, map::RULES6)?,
            cpu_worker: take(ebpf, map::CPU_WORKER)?,
            settings: take(ebpf, map::SETTINGS)?,
            spread: take(ebpf, map::SPREAD)?,
            counters: take(ebpf, map::COUNTERS)?,
            listeners: take(ebpf, map::LISTENERS)?,
            absence: take(ebpf, map::ABSENCE)?,
            events: Some(take(ebpf, map::EVENTS)?),
        })
    }

    /// What the maps hold; routes and names are not in them.
    pub(super) fn read(&self, cpus: u32) -> Result<Plan, DataplaneError> {
        self.read_maps(cpus.min(MAX_CPUS))
            .map_err(|error| DataplaneError::kernel("read the pinned maps", &error))
    }

    /// Looks again at what another process may have changed.
    pub(super) fn adopt_again(&mut self) -> Result<(), DataplaneError> {
        self.table = adopt(&self.slots, &self.vips)?;
        Ok(())
    }

    /// With the number of the process that owns the maps.
    pub(super) fn settings(&self) -> Result<Settings, DataplaneError> {
        let settings = self.settings.get(&0, 0);
        settings.map_err(|error| DataplaneError::kernel("read whose the maps are", &error))
    }

    /// Does one step. Steps about routes are none of the maps.
    pub(super) fn apply(&mut self, step: &Operation) -> Result<(), DataplaneError> {
        self.apply_to_maps(step)?
            .map_err(|error| DataplaneError::kernel(format!("write {step:?}"), &error))
    }

    /// The array in which workers publish their load.
    pub(super) fn loads(&self) -> Result<BorrowedFd<'_>, DataplaneError> {
        match &self.loads {
            Map::Array(data) => Ok(data.fd().as_fd()),
            _ => Err(missing(map::LOADS)),
        }
    }

    fn read_maps(&self, cpus: u32) -> Result<Plan, MapError> {
        let mut rules = BTreeMap::new();
        for entry in self.rules4.iter() {
            let (key, value) = entry?;
            let address = IpAddr::from(Address::v4(key.data().address));
            let rule = rule(key.data().acl, address, key.prefix_len());
            rules.extend(rule.map(|rule| (rule, verdict(value))));
        }
        for entry in self.rules6.iter() {
            let (key, value) = entry?;
            let address = IpAddr::from(Address::v6(key.data().address));
            let rule = rule(key.data().acl, address, key.prefix_len());
            rules.extend(rule.map(|rule| (rule, verdict(value))));
        }
        Ok(Plan {
            vips: self.table.iter().map(|(&address, &value)| (address.into(), value)).collect(),
            rules,
            cpu_worker: (0..cpus)
                .map(|cpu| self.cpu_worker.get(&cpu, 0))
                .collect::<Result<_, _>>()?,
            settings: self.settings.get(&0, 0)?,
            ..Plan::default()
        })
    }

    fn apply_to_maps(&mut self, step: &Operation) -> Result<Result<(), MapError>, DataplaneError> {
        Ok(match *step {
            Operation::Settings(settings) => self.put_settings(settings),
            Operation::CpuWorker { cpu, worker } => self.cpu_worker.set(cpu, worker, 0),
            Operation::ResetCounters { id } => self.reset_counters(id),
            Operation::InsertRule { rule, verdict } => self.insert_rule(rule, verdict),
            Operation::RemoveRule { rule } => tolerate(self.remove_rule(rule), libc::ENOENT),
            Operation::PutVip { address, value } => {
                let writes = self.table.upsert(address.into(), value);
                let writes = writes.map_err(|full| DataplaneError::TableFull {
                    address,
                    reason: match full {
                        Full::Entries => "all entries are taken",
                        Full::Slots => "too many addresses with its hash",
                    },
                })?;
                self.write(&writes)
            }
            Operation::RemoveVip { address } => {
                let writes = self.table.remove(&address.into());
                self.write(&writes)
            }
            Operation::AddRoute { .. } | Operation::RemoveRoute { .. } => Ok(()),
        })
    }

    fn write(&mut self, writes: &[Write]) -> Result<(), MapError> {
        for write in writes {
            match *write {
                Write::Entry { index, entry } => self.vips.set(index, entry, 0)?,
                Write::Slot { index, value } => self.slots.set(index, value, 0)?,
            }
        }
        Ok(())
    }

    /// The CPUs are there before packets are sent to them.
    fn put_settings(&mut self, settings: Settings) -> Result<(), MapError> {
        for cpu in 0..settings.spread {
            self.spread.set(cpu, SPREAD_QUEUE, None, 0).map_err(|error| match error {
                aya::maps::xdp::XdpMapError::MapError(error) => error,
                other => MapError::IoError(std::io::Error::other(other)),
            })?;
        }
        self.settings.set(0, settings, 0)
    }

    fn reset_counters(&mut self, id: u32) -> Result<(), MapError> {
        let cpus = aya::util::nr_cpus().map_err(|(_, error)| MapError::IoError(error))?;
        let zero = PerCpuValues::try_from(vec![Counters::default(); cpus])?;
        self.counters.set(id, zero, 0)
    }

    fn insert_rule(&mut self, rule: Rule, verdict: RuleVerdict) -> Result<(), MapError> {
        let value = match verdict {
            RuleVerdict::Allow => RULE_ALLOW,
            RuleVerdict::Deny => RULE_DENY,
        };
        match rule.net {
            IpNet::V4(net) => self.rules4.insert(&key4(rule.acl, net), value, 0),
            IpNet::V6(net) => self.rules6.insert(&key6(rule.acl, net), value, 0),
        }
    }

    fn remove_rule(&mut self, rule: Rule) -> Result<(), MapError> {
        match rule.net {
            IpNet::V4(net) => self.rules4.remove(&key4(rule.acl, net)),
            IpNet::V6(net) => self.rules6.remove(&key6(rule.acl, net)),
        }
    }
}

fn adopt(
    slots: &Array<MapData, u32>,
    vips: &Array<MapData, VipEntry>,
) -> Result<VipTable, DataplaneError> {
    VipTable::adopt(|index| slots.get(&index, 0), |index| vips.get(&index, 0))
        .map_err(|error| DataplaneError::kernel("read the VIP table", &error))
}

fn key4(acl: u32, net: Ipv4Net) -> Key<RuleKey4> {
    let [.., address] = Address::from(net.addr()).words;
    Key::new(RULE_PREFIX + u32::from(net.prefix_len()), RuleKey4 { acl, address })
}

fn key6(acl: u32, net: Ipv6Net) -> Key<RuleKey6> {
    let address = Address::from(net.addr()).words;
    Key::new(RULE_PREFIX + u32::from(net.prefix_len()), RuleKey6 { acl, address })
}

fn rule(acl: u32, address: IpAddr, prefix: u32) -> Option<Rule> {
    let length = u8::try_from(prefix.checked_sub(RULE_PREFIX)?).ok()?;
    Some(Rule { acl, net: IpNet::new(address, length).ok()? })
}

/// What is not an allowance denies.
fn verdict(value: u32) -> RuleVerdict {
    if value == RULE_ALLOW { RuleVerdict::Allow } else { RuleVerdict::Deny }
}

pub(super) fn tolerate(result: Result<(), MapError>, number: i32) -> Result<(), MapError> {
    match result {
        Err(error) if errno(&error) == Some(number) => Ok(()),
        Err(MapError::KeyNotFound | MapError::ElementNotFound) if number == libc::ENOENT => Ok(()),
        other => other,
    }
}

fn take<M: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &str,
) -> Result<M, DataplaneError> {
    let map = ebpf.take_map(name).ok_or_else(|| missing(name))?;
    M::try_from(map).map_err(|error| DataplaneError::kernel(format!("use the map {name}"), &error))
}

fn missing(name: &str) -> DataplaneError {
    DataplaneError::Kernel {
        attempt: format!("use the map {name}"),
        reason: "the embedded kernel programs have no such map".to_owned(),
    }
}
