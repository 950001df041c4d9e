//! `aya::Pod` for the shared types: each is already proven by `bytemuck::Pod` to be plain data.

use crate::address::{Address, Be16, Be32};
use crate::event::Event;
use crate::flow::Flow;
use crate::policy::{RuleKey4, RuleKey6};
use crate::verdict::Counters;
use crate::vip::VipEntry;
use crate::worker::{Absence, Load, Settings};

/// Refuses a type that bytemuck has not proven.
const fn proven<T: bytemuck::Pod>() {}

macro_rules! pod {
    ($($type:ty),+ $(,)?) => {$(
        const _: () = proven::<$type>();
        // SAFETY: `bytemuck::Pod` (checked in the line above) is the stronger promise: no padding,
        // no invalid bit pattern, `Copy` and `'static`.
        unsafe impl aya::Pod for $type {}
    )+};
}

pod!(
    Be16, Be32, Address, VipEntry, RuleKey4, RuleKey6, Load, Settings, Absence, Flow, Counters,
    Event
);
