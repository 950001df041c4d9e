//! Who may reach a VIP, and how fast.
//!
//! Source rules lie in one longest-prefix trie per family, keyed by the rule set's number and the
//! address. The new-flow budget is a fixed sketch of [`BUDGET_ROWS`] x [`BUDGET_CELLS`] words shared
//! by all VIPs: nothing is inserted and nothing evicted, so a flood of sources can't grow it.

use bytemuck::{Pod, Zeroable};

use crate::address::{Address, Be32, Family};

/// Rules of all VIPs together, per family.
pub const MAX_RULES: u32 = 65_536;

/// Key of the IPv4 rules, behind the trie's prefix length.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, Pod, Zeroable)]
pub struct RuleKey4 {
    pub acl: u32,
    pub address: Be32,
}

/// Key of the IPv6 rules, behind the trie's prefix length.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, Pod, Zeroable)]
pub struct RuleKey6 {
    pub acl: u32,
    pub address: [Be32; 4],
}

/// Bits of a key in front of the address: a rule for `/24` has prefix length `RULE_PREFIX + 24`.
pub const RULE_PREFIX: u32 = 32;
/// Value of a rule: the source may connect.
pub const RULE_ALLOW: u32 = 1;
/// Value of a rule: the source is refused.
pub const RULE_DENY: u32 = 2;

/// New flows that one source (an IPv4 address, or an IPv6 /64) may open at a VIP.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Pod, Zeroable)]
pub struct NewFlowBudget {
    /// Nanoseconds that one new flow uses up: 1e9 / (flows per second).
    pub cost: u64,
    /// Nanoseconds that a source may be ahead of the clock: `cost` x burst.
    pub burst: u64,
}

/// Independent hashes of a source. It is refused only when its cells of all rows are exhausted.
pub const BUDGET_ROWS: u32 = 4;
/// Cells of a row; 16 bits of the hash pick one.
pub const BUDGET_CELLS: u32 = 1 << 16;

// === impl NewFlowBudget ===

impl NewFlowBudget {
    /// `rate` new flows per second and `burst` at once; both at least 1.
    pub const fn new(rate: u32, burst: u32) -> Self {
        let rate = if rate == 0 { 1 } else { rate };
        let burst = if burst == 0 { 1 } else { burst };
        let cost = 1_000_000_000 / rate as u64;
        Self { cost, burst: cost * burst as u64 }
    }
}

/// The cells of a source in the flat budget array, one of each row.
///
/// `seed` is secret and random per node: without it nobody can aim at an innocent's cells.
#[inline(always)]
pub const fn budget_cells(
    seed: u64,
    vip: u32,
    family: Family,
    source: &Address,
) -> [u32; BUDGET_ROWS as usize] {
    let [a, b, _, d] = source.words;
    let key = match family {
        Family::V4 => d.raw() as u64,
        Family::V6 => (a.raw() as u64) << 32 | b.raw() as u64,
    };
    let hash = mix(mix(key ^ seed) ^ ((vip as u64) << 1 | family as u64));
    let mask = BUDGET_CELLS - 1;
    [
        (hash as u32) & mask,
        BUDGET_CELLS + ((hash >> 16) as u32 & mask),
        2 * BUDGET_CELLS + ((hash >> 32) as u32 & mask),
        3 * BUDGET_CELLS + ((hash >> 48) as u32 & mask),
    ]
}

/// Charges one new flow at time `now` (ns) to a source with these cells.
///
/// Each cell holds the time up to which its sources have spent. The lowest of the four is the best
/// estimate for one source, since collisions only raise a cell. Returns the value that every lower
/// cell must be raised to, or `None` when the source has spent its burst in all of them. Raising
/// only the lower cells keeps a neighbour's flood out of an innocent source's account.
#[inline(always)]
pub const fn charge(
    budget: &NewFlowBudget,
    now: u64,
    cells: [u64; BUDGET_ROWS as usize],
) -> Option<u64> {
    let [a, b, c, d] = cells;
    let ab = if a < b { a } else { b };
    let cd = if c < d { c } else { d };
    let lowest = if ab < cd { ab } else { cd };
    let spent = if lowest > now { lowest } else { now };
    let after = spent + budget.cost;
    if after > now + budget.burst { None } else { Some(after) }
}

/// The finaliser of MurmurHash3: every input bit reaches every output bit.
#[inline(always)]
const fn mix(mut value: u64) -> u64 {
    value ^= value >> 33;
    value = value.wrapping_mul(0xff51_afd7_ed55_8ccd);
    value ^= value >> 33;
    value = value.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    value ^ (value >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};
    use std::vec::Vec;

    extern crate std;

    const SECOND: u64 = 1_000_000_000;

    struct Sketch {
        cells: Vec<u64>,
        budget: NewFlowBudget,
    }

    impl Sketch {
        fn new(rate: u32, burst: u32) -> Self {
            let cells = std::vec![0; (BUDGET_ROWS * BUDGET_CELLS) as usize];
            Self { cells, budget: NewFlowBudget::new(rate, burst) }
        }

        fn admits(&mut self, now: u64, source: IpAddr) -> bool {
            let address = Address::from(source);
            let at = budget_cells(42, 0, address.family(), &address);
            let Some(after) = charge(&self.budget, now, at.map(|i| self.cells[i as usize])) else {
                return false;
            };
            for index in at {
                let cell = &mut self.cells[index as usize];
                *cell = (*cell).max(after);
            }
            true
        }
    }

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate() {
        let mut sketch = Sketch::new(10, 5);
        let source = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
        let burst = (0..100).filter(|_| sketch.admits(SECOND, source)).count();
        assert_eq!(burst, 5);
        let served =
            (0..1000).filter(|ms| sketch.admits(SECOND + SECOND / 1000 * ms, source)).count();
        assert!((9..=11).contains(&served), "{served} in a second at 10 per second");
    }

    #[test]
    fn cuts_an_attacker_by_99_percent_and_serves_innocents_among_10000_attackers() {
        let mut sketch = Sketch::new(10, 20);
        let attackers = 10_000u32;
        let (mut sent, mut passed) = (0u64, 0u64);
        let (mut asked, mut served) = (0u64, 0u64);
        // Two seconds; each attacker sends 5,000 flows per second, each innocent one.
        for tick in 0..200u64 {
            let now = SECOND + tick * SECOND / 100;
            for attacker in 0..attackers {
                let source = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + attacker));
                // After the first refusal within a tick the rest is refused too.
                sent += 50;
                for _ in 0..50 {
                    if !sketch.admits(now, source) {
                        break;
                    }
                    passed += 1;
                }
            }
            for innocent in 0..100u32 {
                if u64::from(innocent) % 100 == tick % 100 {
                    for n in 0..20 {
                        let bits = 0xc000_0200 + innocent * 20 + n;
                        asked += 1;
                        served += u64::from(sketch.admits(now, Ipv4Addr::from_bits(bits).into()));
                    }
                }
            }
        }
        assert!(passed * 100 <= sent, "{passed} of {sent} passed");
        assert!(served * 100 >= asked * 99, "{served} of {asked} served");
    }

    #[test]
    fn an_ipv6_source_is_its_64() {
        let cells = |text: &str| {
            let address = Address::from(text.parse::<IpAddr>().unwrap());
            budget_cells(7, 3, Family::V6, &address)
        };
        assert_eq!(cells("2001:db8:1:2::1"), cells("2001:db8:1:2:ffff::9"));
        assert_ne!(cells("2001:db8:1:2::1"), cells("2001:db8:1:3::1"));
    }
}
