//! Who may open a connection, and whether anybody is there to take it.
//!
//! The source rules are the same code for `steer` and `dispatch`, so that no rule depends on XDP
//! being attached. The budget is `steer`'s alone: it is flood defence, and charging twice would halve
//! it.

use ingress_common::policy::{RULE_ALLOW, RULE_DENY, budget_cells, charge};
use ingress_common::vip::{VIP_DEFAULT_DENY, VIP_RULES, VipValue};
use ingress_common::worker::{Absence, NO_WORKER};
use ingress_common::{Address, Family};

use crate::node::{Node, Visit};

/// Whether the source may reach the VIP.
#[inline(always)]
pub fn allowed<N: Node>(node: &N, vip: &VipValue, family: Family, source: &Address) -> bool {
    if !vip.has(VIP_RULES) {
        return !vip.has(VIP_DEFAULT_DENY);
    }
    match node.rule(vip.acl, family, source) {
        RULE_ALLOW => true,
        RULE_DENY => false,
        // No rule covers it.
        0 => !vip.has(VIP_DEFAULT_DENY),
        // A value that this version does not know: refuse.
        _ => false,
    }
}

/// Charges the source's budget for one new flow; false when it is spent.
#[inline(always)]
pub fn within_budget<N: Node>(node: &N, vip: &VipValue, family: Family, source: &Address) -> bool {
    let [a, b, c, d] = budget_cells(node.settings().seed, vip.id, family, source);
    let cells =
        [node.budget_cell(a), node.budget_cell(b), node.budget_cell(c), node.budget_cell(d)];
    let Some(after) = charge(&vip.budget, node.now(), cells) else { return false };
    // Another CPU may raise a cell in between; the loss of one charge is harmless.
    if cells[0] < after {
        node.set_budget_cell(a, after);
    }
    if cells[1] < after {
        node.set_budget_cell(b, after);
    }
    if cells[2] < after {
        node.set_budget_cell(c, after);
    }
    if cells[3] < after {
        node.set_budget_cell(d, after);
    }
    true
}

/// Whether somebody can take a new connection of this family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    Listening,
    /// Nobody, for less than the grace time: the process is being replaced, let clients retry.
    Away,
    /// Nobody, and the grace time is over: tell clients.
    Gone,
}

/// Looks for a live listener. The grace time begins with the first SYN that finds none.
#[inline(always)]
pub fn presence<N: Node>(node: &N, family: Family) -> Presence {
    let near = node.cpu_worker();
    let absence = node.absence(family);
    if near != NO_WORKER && node.listens(family, near) {
        if absence.since != 0 {
            node.set_absence(family, Absence::default());
        }
        return Presence::Listening;
    }
    far_presence(node, family, absence)
}

/// Asks all workers, at most once per tick of the clock while nobody is found, so that a flood
/// against absent workers stays cheap.
#[inline(always)]
fn far_presence<N: Node>(node: &N, family: Family, absence: Absence) -> Presence {
    let settings = node.settings();
    let now = node.now();
    if absence.since == 0 || absence.searched != now {
        let mut search = Search { family, found: false };
        node.each_worker(settings.workers, &mut search);
        if search.found {
            if absence.since != 0 {
                node.set_absence(family, Absence::default());
            }
            return Presence::Listening;
        }
        let since = if absence.since == 0 { now } else { absence.since };
        node.set_absence(family, Absence { since, searched: now });
        return grace(now - since, settings.grace);
    }
    grace(now.saturating_sub(absence.since), settings.grace)
}

#[inline(always)]
const fn grace(absent: u64, grace: u64) -> Presence {
    if absent < grace { Presence::Away } else { Presence::Gone }
}

/// Looks for any listener of a family.
struct Search {
    family: Family,
    found: bool,
}

impl Visit for Search {
    #[inline(always)]
    fn visit<N: Node>(&mut self, node: &N, worker: u32) -> bool {
        self.found = node.listens(self.family, worker);
        !self.found
    }
}
