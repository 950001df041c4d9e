//! What the kernel's maps should hold, and the steps from what they hold now.
//!
//! In: VIPs and steering of the configuration, the CPUs of the workers, the plan in force. Out: the
//! next [`Plan`] and ordered [`Operation`]s. Pure: no map, no clock, no I/O. After every single
//! operation each VIP that stays is served under its old rules or its new ones, never a mixture.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ingress_common::policy::{MAX_RULES, NewFlowBudget};
use ingress_common::vip::{MAX_PORTS, MAX_VIPS, VIP_BUDGET, VIP_DEFAULT_DENY, VIP_RULES, VipValue};
use ingress_common::worker::{MAX_CPUS, MAX_WORKERS, NO_WORKER, Settings};
use ipnet::IpNet;

use crate::config::{Steering, VipConfig};

pub mod admission;
mod rules;

pub use rules::{RuleVerdict, flatten};

/// The contents of the maps, and the routes that bring the VIPs' packets to this host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    pub vips: BTreeMap<IpAddr, VipValue>,
    pub rules: BTreeMap<Rule, RuleVerdict>,
    /// Worker of each CPU, or `NO_WORKER`.
    pub cpu_worker: Vec<u32>,
    pub settings: Settings,
    /// Addresses with a local route of ours.
    pub routes: BTreeSet<IpAddr>,
    /// VIP names by counter index; known to userspace alone.
    pub names: BTreeMap<u32, String>,
}

/// A source rule of one rule set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    pub acl: u32,
    pub net: IpNet,
}

/// Where the workers are.
#[derive(Debug, Clone, Copy)]
pub struct Placement<'a> {
    /// CPU of each worker.
    pub workers: &'a [u32],
    /// CPUs that the machine may ever have.
    pub cpus: u32,
}

/// One step. Each is one write to a map, or one route.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    Settings(Settings),
    CpuWorker { cpu: u32, worker: u32 },
    ResetCounters { id: u32 },
    InsertRule { rule: Rule, verdict: RuleVerdict },
    PutVip { address: IpAddr, value: VipValue },
    AddRoute { address: IpAddr },
    RemoveRoute { address: IpAddr },
    RemoveVip { address: IpAddr },
    RemoveRule { rule: Rule },
}

/// Why a configuration has no plan. Nothing was changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    #[error("{count} VIPs are configured, but a node serves at most {MAX_VIPS}")]
    TooManyVips { count: usize },
    #[error("VIP {vip} has {count} ports, but a VIP serves at most {MAX_PORTS}")]
    TooManyPorts { vip: String, count: usize },
    #[error("{address} belongs to VIP {vip} and to VIP {other}: give it to one of them")]
    AddressTwice { address: IpAddr, vip: String, other: String },
    #[error(
        "the allow and deny lists of all VIPs have {count} networks of one family, but the \
             kernel holds {MAX_RULES}"
    )]
    TooManyRules { count: usize },
    #[error("{count} workers are configured, but a node runs at most {MAX_WORKERS}")]
    TooManyWorkers { count: usize },
}

// === impl Plan ===

impl Plan {
    /// The plan that follows this one. Counter indices and rule sets that still fit are kept.
    pub fn next(
        &self,
        vips: &[VipConfig],
        steering: &Steering,
        placement: Placement<'_>,
    ) -> Result<Self, PlanError> {
        if vips.len() > MAX_VIPS as usize {
            return Err(PlanError::TooManyVips { count: vips.len() });
        }
        let workers = u32::try_from(placement.workers.len()).unwrap_or(u32::MAX);
        if workers > MAX_WORKERS {
            return Err(PlanError::TooManyWorkers { count: placement.workers.len() });
        }
        let cpus = placement.cpus.min(MAX_CPUS);
        let mut next = Self {
            cpu_worker: cpu_workers(placement.workers, cpus),
            settings: Settings {
                grace: u64::try_from(steering.listener_grace.as_nanos()).unwrap_or(u64::MAX),
                workers,
                sample: steering.event_sample,
                spread: steering.cpumap.min(cpus),
                ..self.settings
            },
            ..Self::default()
        };
        for (vip, id) in vips.iter().zip(self.ids_for(vips)) {
            self.place(vip, id, &mut next)?;
        }
        next.routes = next.vips.keys().copied().collect();
        let v4 = next.rules.keys().filter(|rule| matches!(rule.net, IpNet::V4(_))).count();
        let count = v4.max(next.rules.len() - v4);
        if count > MAX_RULES as usize {
            return Err(PlanError::TooManyRules { count });
        }
        Ok(next)
    }

    /// The steps from this plan to `next`, in the order in which they must be done.
    pub fn steps(&self, next: &Self) -> Vec<Operation> {
        let mut steps = Vec::new();
        if self.settings != next.settings {
            steps.push(Operation::Settings(next.settings));
        }
        for (cpu, &worker) in (0..).zip(&next.cpu_worker) {
            if self.cpu_worker.get(cpu as usize) != Some(&worker) {
                steps.push(Operation::CpuWorker { cpu, worker });
            }
        }
        let others = next.names.keys().filter(|&&id| self.counts_another(id, next));
        steps.extend(others.map(|&id| Operation::ResetCounters { id }));
        for (&rule, &verdict) in &next.rules {
            if self.rules.get(&rule) != Some(&verdict) {
                steps.push(Operation::InsertRule { rule, verdict });
            }
        }
        for (&address, &value) in &next.vips {
            if self.vips.get(&address) != Some(&value) {
                steps.push(Operation::PutVip { address, value });
            }
        }
        let (ours, wanted) = (&self.routes, &next.routes);
        steps.extend(wanted.difference(ours).map(|&address| Operation::AddRoute { address }));
        steps.extend(ours.difference(wanted).map(|&address| Operation::RemoveRoute { address }));
        for &address in self.vips.keys().filter(|address| !next.vips.contains_key(address)) {
            steps.push(Operation::RemoveVip { address });
        }
        for &rule in self.rules.keys().filter(|rule| !next.rules.contains_key(rule)) {
            steps.push(Operation::RemoveRule { rule });
        }
        steps
    }

    /// The rules of one set, in the order of their networks.
    pub fn rule_set(&self, acl: u32) -> Vec<(IpNet, RuleVerdict)> {
        let of_set = self.rules.iter().filter(|(rule, _)| rule.acl == acl);
        of_set.map(|(rule, &verdict)| (rule.net, verdict)).collect()
    }

    /// Puts all addresses of a VIP into `next`.
    fn place(&self, vip: &VipConfig, id: u32, next: &mut Self) -> Result<(), PlanError> {
        let addresses = addresses(vip);
        for address in &addresses {
            if let Some(placed) = next.vips.get(address) {
                return Err(PlanError::AddressTwice {
                    address: *address,
                    vip: next.names.get(&placed.id).cloned().unwrap_or_default(),
                    other: vip.name.clone(),
                });
            }
        }
        let ports: BTreeSet<u16> = vip.ports.iter().map(|port| port.port).collect();
        let ports: Vec<u16> = ports.into_iter().collect();
        let mut value = VipValue::serving(id, &ports, &[])
            .ok_or_else(|| PlanError::TooManyPorts { vip: vip.name.clone(), count: ports.len() })?;

        let rules = flatten(&vip.allow, &vip.deny);
        if !rules.is_empty() {
            value.flags |= VIP_RULES;
            value.acl = self.acl(id, &rules, next);
            let acl = value.acl;
            next.rules.extend(rules.into_iter().map(|(net, verdict)| (Rule { acl, net }, verdict)));
        }
        if !vip.allow.is_empty() {
            value.flags |= VIP_DEFAULT_DENY;
        }
        if let Some(budget) = vip.new_flow_budget {
            value.flags |= VIP_BUDGET;
            value.budget = NewFlowBudget::new(budget.per_second, budget.burst);
        }
        next.names.insert(id, vip.name.clone());
        next.vips.extend(addresses.into_iter().map(|address| (address, value)));
        Ok(())
    }

    /// Counter indices: those that the VIPs have, by name or else by address; new ones for the
    /// rest, preferably not of a VIP that is going.
    fn ids_for(&self, vips: &[VipConfig]) -> Vec<u32> {
        let mut taken = BTreeSet::new();
        let kept: Vec<Option<u32>> = vips
            .iter()
            .map(|vip| {
                let named = self.names.iter().find(|(_, name)| **name == vip.name);
                let addressed = addresses(vip).into_iter().filter_map(|a| self.vips.get(&a));
                let known = named.map(|(&id, _)| id).into_iter();
                known.chain(addressed.map(|value| value.id)).find(|&id| taken.insert(id))
            })
            .collect();
        let going: Vec<u32> = self.ids().difference(&taken).copied().collect();
        let mut fresh = (0..MAX_VIPS)
            .filter(|id| !taken.contains(id) && !going.contains(id))
            .chain(going.iter().copied());
        let mut fresh = || fresh.next().expect("there are at most as many VIPs as indices");
        kept.into_iter().map(|kept| kept.unwrap_or_else(&mut fresh)).collect()
    }

    /// Whether a counter index is that of another VIP in `next`, or of none here.
    fn counts_another(&self, id: u32, next: &Self) -> bool {
        let same_name = self.names.contains_key(&id) && self.names.get(&id) == next.names.get(&id);
        let of_id = |plan: &Self, address: &IpAddr| {
            plan.vips.get(address).is_some_and(|value| value.id == id)
        };
        let same_address = self.vips.keys().any(|a| of_id(self, a) && of_id(next, a));
        !same_name && !same_address
    }

    /// The rule set that the VIP has when it is this one, else a new number.
    fn acl(&self, id: u32, rules: &[(IpNet, RuleVerdict)], next: &Self) -> u32 {
        let in_use = |plan: &Self, acl| plan.vips.values().any(|value| value.acl == acl);
        let current = self.vips.values().find(|value| value.id == id && value.has(VIP_RULES));
        if let Some(current) = current
            && !in_use(next, current.acl)
            && self.rule_set(current.acl) == rules
        {
            return current.acl;
        }
        let taken: BTreeSet<u32> =
            self.rules.keys().chain(next.rules.keys()).map(|rule| rule.acl).collect();
        (1..)
            .find(|&acl| !taken.contains(&acl) && !in_use(self, acl))
            .expect("rule sets are far fewer than numbers")
    }

    fn ids(&self) -> BTreeSet<u32> {
        self.vips.values().map(|value| value.id).collect()
    }
}

/// As they stand in packets: an IPv4-mapped address is IPv4.
fn addresses(vip: &VipConfig) -> BTreeSet<IpAddr> {
    vip.addresses.iter().map(IpAddr::to_canonical).collect()
}

/// Which worker each CPU prefers. A CPU with one worker of its own: that one. A CPU with more:
/// none, so that the least loaded is asked for. A CPU without (outside the cpuset): the workers in
/// turn, so that its packets are spread too.
fn cpu_workers(workers: &[u32], cpus: u32) -> Vec<u32> {
    let mut own: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (worker, &cpu) in (0..).zip(workers) {
        own.entry(cpu).or_default().push(worker);
    }
    let alone = own.values().all(|of_cpu| of_cpu.len() == 1);
    let mut turn = (0..workers.len() as u32).cycle();
    (0..cpus)
        .map(|cpu| match own.get(&cpu).map(Vec::as_slice) {
            Some(&[worker]) => worker,
            Some(_) => NO_WORKER,
            None if alone => turn.next().unwrap_or(NO_WORKER),
            None => NO_WORKER,
        })
        .collect()
}

#[cfg(test)]
mod tests;
