//! What needs a network namespace of its own.

use std::net::IpAddr;

use super::{address, host, interface};
use crate::testing::deadline::DEADLINE;
use crate::testing::lab::Lab;
use crate::testing::{require_root, require_tool};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn our_local_routes_come_and_go_and_others_stay() {
    if !require_root() {
        return;
    }
    let mut lab = Lab::new();
    let host = lab.host("one");
    let foreign: IpAddr = "203.0.113.99".parse().unwrap();
    host.ip(&["route", "add", "local", "203.0.113.99/32", "dev", "lo"]);
    let ours: [IpAddr; 2] = ["203.0.113.80".parse().unwrap(), "2001:db8:80::80".parse().unwrap()];
    host.run(|| {
        block_on(async {
            for address in ours.into_iter().chain([foreign]) {
                address::add_local(address).await.unwrap();
                address::add_local(address).await.unwrap();
            }
            assert_eq!(address::local().await.unwrap(), ours.into());
        });
    });
    for address in ours {
        host.output("ping", &["-c1", "-W2", &address.to_string()]);
    }
    host.run(|| {
        block_on(async {
            for address in ours.into_iter().chain([foreign]) {
                address::remove_local(address).await.unwrap();
                address::remove_local(address).await.unwrap();
            }
            assert!(address::local().await.unwrap().is_empty());
        });
    });
    host.output("ping", &["-c1", "-W2", &foreign.to_string()]);
}

#[test]
fn facts_of_a_device_are_read() {
    if !require_root() || !require_tool("ethtool") {
        return;
    }
    let mut lab = Lab::new();
    let (one, other) = (lab.host("one"), lab.host("other"));
    lab.link((&one, "uplink"), (&other, "eth0"));
    one.ip(&["link", "set", "uplink", "mtu", "1400"]);
    one.run(|| {
        block_on(async {
            assert_eq!(interface::find("absent").await.unwrap(), None);
            let facts = interface::find("uplink").await.unwrap().unwrap();
            assert_eq!((facts.name.as_str(), facts.mtu), ("uplink", 1400));
            assert_eq!(facts.driver.as_deref(), Some("veth"));
            assert_eq!(facts.xdp, None);
            assert_eq!(facts.gro, 65_536);
        });
    });
    one.ip(&["link", "set", "uplink", "gro_max_size", "131072"]);
    one.run(|| {
        block_on(async {
            let facts = interface::find("uplink").await.unwrap().unwrap();
            assert_eq!(facts.gro, 131_072);
        });
    });
}

#[test]
fn addresses_of_the_host_are_listed_and_their_changes_are_told() {
    if !require_root() {
        return;
    }
    let mut lab = Lab::new();
    let (one, other) = (lab.host("one"), lab.host("other"));
    lab.link((&one, "uplink"), (&other, "eth0"));
    one.ip(&["addr", "add", "192.0.2.1/24", "dev", "uplink"]);
    other.ip(&["addr", "add", "192.0.2.2/24", "dev", "eth0"]);
    let peer = ["addr", "add", "192.0.2.10", "peer", "192.0.2.11/32", "dev", "uplink"];
    one.ip(&peer);
    let all =
        |texts: &[&str]| -> Vec<IpAddr> { texts.iter().map(|t| t.parse().unwrap()).collect() };
    one.run(|| {
        block_on(async {
            let mut watch = host::AddressWatch::start().unwrap();
            let found = host::addresses().await.unwrap();
            for address in all(&["127.0.0.1", "192.0.2.1", "192.0.2.10"]) {
                assert!(found.contains(&address), "{address}: {found:?}");
            }
            for address in all(&["192.0.2.2", "192.0.2.11"]) {
                assert!(!found.contains(&address), "{address} is another host's");
            }
            let added: IpAddr = "2001:db8::7".parse().unwrap();
            one.ip(&["addr", "add", "2001:db8::7/64", "dev", "uplink", "nodad"]);
            let seen = async {
                loop {
                    watch.changed().await.unwrap();
                    if host::addresses().await.unwrap().contains(&added) {
                        return;
                    }
                }
            };
            tokio::time::timeout(DEADLINE, seen).await.unwrap();
        });
    });
}
