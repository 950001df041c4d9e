//! The entries of one Ingress: ours, those of others, and what is to be written.
//!
//! `status.loadBalancer.ingress` is one atomic list without owners. Ours are the entries with one of
//! our addresses; whatever else stands there is somebody else's and stays, in its order.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::model::Address;

/// The addresses that are ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Own {
    /// Of the VIPs as they are now.
    pub(crate) wanted: BTreeSet<IpAddr>,
    /// That were published at some time, also by an earlier process.
    pub(crate) published: BTreeSet<IpAddr>,
}

/// A list that is to take the place of another.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Edit {
    pub(crate) entries: Vec<Address>,
    /// An address comes that was not there: clients will use it.
    pub(crate) adds: bool,
}

/// What is to be written in the place of `current`; `None` when nothing is.
pub(crate) fn edit(current: &[Address], is_ours: bool, own: &Own) -> Option<Edit> {
    let wanted: &BTreeSet<IpAddr> = if is_ours { &own.wanted } else { &BTreeSet::new() };
    let (mut present, mut has_stale) = (BTreeSet::new(), false);
    let mut entries = Vec::new();
    for address in current {
        match address.ip().filter(|ip| own.has(ip)) {
            // What we write has no ports; what stands twice is written anew.
            Some(ip) => {
                let is_right = wanted.contains(&ip) && *address == Address::Ip(ip);
                has_stale |= !is_right || !present.insert(ip);
            }
            None => entries.push(address.clone()),
        }
    }
    let adds = wanted.iter().any(|ip| !present.contains(ip));
    entries.extend(wanted.iter().copied().map(Address::Ip));
    (has_stale || adds).then_some(Edit { entries, adds })
}

/// Whether an address stands there that is ours and should not.
pub(crate) fn has_outdated(current: &[Address], own: &Own) -> bool {
    let ips = current.iter().filter_map(Address::ip);
    ips.into_iter().any(|ip| own.has(&ip) && !own.wanted.contains(&ip))
}

// === impl Own ===

impl Own {
    fn has(&self, ip: &IpAddr) -> bool {
        self.wanted.contains(ip) || self.published.contains(ip)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    const V4: &str = "192.0.2.1";
    const V6: &str = "2001:db8::1";
    const OLD: &str = "192.0.2.9";
    const FOREIGN: &str = "198.51.100.7";

    fn own() -> Own {
        let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Own { wanted: ips(&[V6, V4]), published: ips(&[V4, OLD]) }
    }

    fn list(value: &Value) -> Vec<Address> {
        value.as_array().unwrap().iter().map(Address::from).collect()
    }

    fn ip(text: &str) -> Value {
        json!({ "ip": text })
    }

    /// Our Ingress: current, and what is written with whether it adds.
    #[rstest]
    #[case::first(json!([]), Some((json!([ip(V4), ip(V6)]), true)))]
    #[case::equal(json!([ip(V4), ip(V6)]), None)]
    #[case::other_order_is_equal(json!([ip(V6), ip(V4)]), None)]
    #[case::foreign_entry_between_is_equal(json!([ip(V6), ip(FOREIGN), ip(V4)]), None)]
    #[case::one_is_missing(json!([ip(V4)]), Some((json!([ip(V4), ip(V6)]), true)))]
    #[case::foreign_entries_stay_in_their_order(
        json!([ip(FOREIGN), {"hostname": "lb.example"}]),
        Some((json!([ip(FOREIGN), {"hostname": "lb.example"}, ip(V4), ip(V6)]), true)))]
    #[case::former_vip_goes(
        json!([ip(V4), ip(OLD), ip(V6)]), Some((json!([ip(V4), ip(V6)]), false)))]
    #[case::twice(json!([ip(V4), ip(V4), ip(V6)]), Some((json!([ip(V4), ip(V6)]), false)))]
    #[case::with_ports(
        json!([{"ip": V4, "ports": []}, ip(V6)]), Some((json!([ip(V4), ip(V6)]), true)))]
    fn u2_only_our_entries_are_written_and_only_when_they_differ(
        #[case] current: Value,
        #[case] wanted: Option<(Value, bool)>,
    ) {
        let edit = edit(&list(&current), true, &own());
        let wanted = wanted.map(|(entries, adds)| Edit { entries: list(&entries), adds });
        assert_eq!(edit, wanted);
    }

    #[rstest]
    #[case::untouched(json!([]), None)]
    #[case::of_others(json!([ip(FOREIGN)]), None)]
    #[case::ours_go(json!([ip(V4), ip(FOREIGN), ip(V6)]), Some(json!([ip(FOREIGN)])))]
    #[case::former_vip_goes(json!([ip(OLD)]), Some(json!([])))]
    fn k6_ingress_that_is_not_ours_loses_our_entries_and_nothing_else(
        #[case] current: Value,
        #[case] wanted: Option<Value>,
    ) {
        let edit = edit(&list(&current), false, &own());
        let wanted = wanted.map(|entries| Edit { entries: list(&entries), adds: false });
        assert_eq!(edit, wanted);
    }

    #[test]
    fn an_edit_is_done_by_what_it_writes() {
        let first = edit(&[], true, &own()).unwrap();
        assert_eq!(edit(&first.entries, true, &own()), None);
        let none = edit(&first.entries, false, &own()).unwrap();
        assert_eq!(edit(&none.entries, false, &own()), None);
        assert!(!has_outdated(&first.entries, &own()));
        assert!(has_outdated(&list(&json!([ip(OLD)])), &own()));
    }
}
