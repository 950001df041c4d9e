//! A set of networks holds what one of its networks holds, whatever the list.
#![no_main]

use std::net::IpAddr;

use genkan::net::sources::{AddressSet, Listed, SourceRules};
use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;

fn holds(nets: &[IpNet], address: IpAddr) -> bool {
    nets.iter().any(|net| match (net, net.network().to_canonical()) {
        // An IPv4 network in IPv6 notation is an IPv4 network.
        (IpNet::V6(v6), IpAddr::V4(first)) if v6.prefix_len() >= 96 => {
            let v4 = IpNet::new(first.into(), v6.prefix_len() - 96).expect("at most 32");
            v4.contains(&address)
        }
        _ => net.contains(&address),
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Some((address, text)) = bytes.split_first_chunk::<16>() else { return };
    let address = IpAddr::from(*address).to_canonical();
    let text = String::from_utf8_lossy(text);
    let nets: Vec<IpNet> = text.split(',').filter_map(|net| net.trim().parse().ok()).collect();
    let set: AddressSet = nets.iter().copied().collect();
    assert_eq!(set.contains(address), holds(&nets, address), "{address} in {nets:?}");
    for net in &nets {
        assert!(set.contains(net.network()) && set.contains(net.broadcast()), "{net}");
    }
    let rules = SourceRules::new(set.clone(), Some(set.clone()));
    assert_eq!(rules.judge(address), Listed::Denied, "deny wins, and others are not allowed");
});
