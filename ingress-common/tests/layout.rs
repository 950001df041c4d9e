//! Size, alignment and offsets of every type that crosses the boundary. A failure here means that
//! pinned maps of a running node can't be reused: raise `ABI` together with the numbers.

use std::mem::{align_of, offset_of, size_of};

use ingress_common::event::Event;
use ingress_common::flow::Flow;
use ingress_common::policy::{BUDGET_CELLS, BUDGET_ROWS, NewFlowBudget, RuleKey4, RuleKey6};
use ingress_common::verdict::Counters;
use ingress_common::vip::{MAX_VIP_ENTRIES, VIP_SLOTS, VipEntry, VipValue};
use ingress_common::worker::{Absence, Load, MAX_WORKERS, Settings};
use ingress_common::{ABI, Address, Be16, Be32};

macro_rules! layout {
    ($type:ident: $size:literal, align $align:literal $(, $field:ident @ $offset:literal)* $(,)?) => {
        assert_eq!(size_of::<$type>(), $size, concat!("size of ", stringify!($type)));
        assert_eq!(align_of::<$type>(), $align, concat!("alignment of ", stringify!($type)));
        $(assert_eq!(
            offset_of!($type, $field), $offset,
            concat!("offset of ", stringify!($type), ".", stringify!($field))
        );)*
    };
}

#[test]
fn layout_of_version_1() {
    assert_eq!(ABI, 1);
    layout!(Be16: 2, align 2);
    layout!(Be32: 4, align 4);
    layout!(Address: 16, align 4, words @ 0);
    layout!(NewFlowBudget: 16, align 8, cost @ 0, burst @ 8);
    layout!(VipValue: 64, align 8, id @ 0, flags @ 4, acl @ 8, tcp_count @ 12, udp_count @ 14,
        tcp @ 16, udp @ 32, budget @ 48);
    layout!(VipEntry: 80, align 8, address @ 0, value @ 16);
    layout!(RuleKey4: 8, align 4, acl @ 0, address @ 4);
    layout!(RuleKey6: 20, align 4, acl @ 0, address @ 4);
    layout!(Load: 64, align 64, connections @ 0);
    layout!(Settings: 40, align 8, seed @ 0, grace @ 8, generation @ 16, workers @ 24, sample @ 28,
        spread @ 32, reserved @ 36);
    layout!(Absence: 16, align 8, since @ 0, searched @ 8);
    layout!(Flow: 40, align 4, source @ 0, destination @ 16, source_port @ 32,
        destination_port @ 34, protocol @ 36);
    layout!(Counters: 256, align 8, packets @ 0);
    layout!(Event: 72, align 8, time @ 0, flow @ 8, vip @ 48, verdict @ 52, cpu @ 56, ifindex @ 60,
        sample @ 64, reserved @ 68);
}

#[test]
fn capacities_of_version_1() {
    assert_eq!(VIP_SLOTS, 16_384);
    assert_eq!(MAX_VIP_ENTRIES, 2_048);
    assert_eq!(BUDGET_ROWS * BUDGET_CELLS, 262_144);
    assert_eq!(MAX_WORKERS, 128);
}
