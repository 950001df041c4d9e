//! What became of the packets of each VIP: the per-CPU counters, summed.

use std::collections::BTreeMap;

use aya::maps::{MapData, PerCpuArray};
use ingress_common::Verdict;
use ingress_common::verdict::Counters;

use super::DataplaneError;

/// Packets of one VIP by verdict, since its counters were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VipCounters {
    pub vip: String,
    /// In the order of [`Verdict::ALL`].
    counts: Vec<u64>,
}

// === impl VipCounters ===

impl VipCounters {
    pub fn count(&self, verdict: Verdict) -> u64 {
        self.counts.get(verdict as usize).copied().unwrap_or(0)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Verdict, u64)> + '_ {
        Verdict::ALL.iter().map(|&verdict| (verdict, self.count(verdict)))
    }

    fn sum(vip: &str, of_cpus: &[Counters]) -> Self {
        let counts = Verdict::ALL
            .iter()
            .map(|&verdict| of_cpus.iter().map(|cpu| cpu.packets[verdict as usize]).sum());
        Self { vip: vip.to_owned(), counts: counts.collect() }
    }
}

pub(super) fn read(
    map: &PerCpuArray<MapData, Counters>,
    names: &BTreeMap<u32, String>,
) -> Result<Vec<VipCounters>, DataplaneError> {
    let read = |(id, name): (&u32, &String)| {
        let values = map.get(id, 0).map_err(|error| {
            DataplaneError::kernel(format!("read the counters of VIP {name}"), &error)
        })?;
        Ok(VipCounters::sum(name, &values))
    };
    names.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_cpus_are_summed_by_verdict() {
        let mut cpus = [Counters::default(); 2];
        cpus[0].packets[Verdict::TcpSyn as usize] = 3;
        cpus[1].packets[Verdict::TcpSyn as usize] = 4;
        cpus[1].packets[Verdict::Denied as usize] = 5;
        let sum = VipCounters::sum("web", &cpus);
        assert_eq!(sum.count(Verdict::TcpSyn), 7);
        assert_eq!(sum.count(Verdict::Denied), 5);
        assert_eq!(sum.iter().map(|(_, count)| count).sum::<u64>(), 12);
    }
}
