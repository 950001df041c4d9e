use std::net::IpAddr;

use super::*;
use crate::model::Marks;
use crate::status::plan::nodes::Said;

const VIP: &str = "192.0.2.1";

fn shop() -> ObjectRef {
    ObjectRef::new(Kind::Ingress, "default", "shop")
}

fn sight(version: &str, addresses: &[&str]) -> Sight {
    Sight {
        object: shop(),
        uid: "uid".into(),
        version: version.into(),
        generation: 1,
        addresses: addresses.iter().map(|ip| Address::Ip(ip.parse().unwrap())).collect(),
    }
}

/// An Ingress of this version, in a snapshot, with watches that are as far as `marks`.
fn batch(snapshot: u64, sight: Sight, is_ours: bool, marks: &str) -> Batch {
    let versions = Versions::read(marks);
    Batch {
        version: snapshot,
        sights: [(shop(), Some(sight))].into(),
        claims: [(shop(), is_ours)].into(),
        marks: Some(Marks { heard: versions.clone(), objects: versions }),
        ..Batch::default()
    }
}

fn book() -> Book {
    let mut book = Book::default();
    let wanted = [VIP.parse::<IpAddr>().unwrap()].into();
    book.set_own(Own { wanted, ..Own::default() });
    book
}

fn nodes(serves: &[&str], now: Instant) -> Nodes {
    let mut nodes = Nodes::default();
    let said = serves.iter().enumerate().map(|(index, serves)| Said {
        name: format!("node-{index}"),
        version: (*serves).to_owned(),
        duration: Duration::from_secs(40),
        serves: Versions::read(serves),
    });
    nodes.observe(said.collect(), now);
    nodes
}

fn texts(writes: &[Write]) -> Vec<Vec<String>> {
    let text = |address: &Address| address.ip().unwrap().to_string();
    writes.iter().map(|write| write.entries.iter().map(text).collect()).collect()
}

#[test]
fn u3_an_address_waits_for_every_worker_of_this_node() {
    let (mut book, now) = (book(), Instant::now());
    book.take(&batch(3, sight("10", &[]), true, "ingresses=10"));
    assert_eq!(book.awaited(), 1);
    assert_eq!(book.due(2, &Nodes::default(), now, 9), []);
    book.pass(2);
    assert_eq!(book.serves(), &Versions::default(), "not served yet");
    book.pass(3);
    assert_eq!(book.serves(), &Versions::read("ingresses=10"));
    assert_eq!(book.version(), 3);
    let due = book.due(3, &Nodes::default(), now, 9);
    assert_eq!(texts(&due), [[VIP]]);
    assert_eq!(&*due[0].version, "10");
}

#[test]
fn u3_an_address_waits_for_every_other_node_and_what_it_needs() {
    let (mut book, now) = (book(), Instant::now());
    book.take(&batch(3, sight("10", &[]), true, "ingresses=10,endpointslices=12"));
    let due = |serves: &[&str]| book.due(3, &nodes(serves, now), now, 9).len();
    assert_eq!(due(&["ingresses=10,endpointslices=12"]), 1);
    assert_eq!(due(&["ingresses=10,endpointslices=12", "ingresses=99,endpointslices=11"]), 0);
    assert_eq!(due(&["ingresses=99,endpointslices=99"]), 1);
    assert_eq!(due(&["ingresses=99"]), 0);
    let behind = nodes(&["ingresses=9,endpointslices=12"], now);
    assert_eq!(book.awaited_nodes(&behind, now), ["node-0"]);
}

#[test]
fn k6_an_address_is_removed_without_waiting_for_other_nodes() {
    let (mut book, now) = (book(), Instant::now());
    book.take(&batch(3, sight("10", &[VIP, "198.51.100.7"]), false, "ingresses=10"));
    let due = book.due(3, &nodes(&[""], now), now, 9);
    assert_eq!(texts(&due), [["198.51.100.7"]]);
    assert!(!due[0].is_ours && book.awaited() == 0);
}

#[test]
fn u2_what_is_written_is_not_written_again() {
    let (mut book, now) = (book(), Instant::now());
    book.take(&batch(3, sight("10", &[]), true, "ingresses=10"));
    let write = book.due(3, &Nodes::default(), now, 9).remove(0);
    book.settle(write, Outcome::Written("11".into()), now);
    assert_eq!(book.due(3, &Nodes::default(), now, 9), []);
    // The watch shows the same.
    book.take(&batch(4, sight("11", &[VIP]), true, "ingresses=11"));
    assert_eq!(book.due(4, &Nodes::default(), now, 9), []);
}

#[test]
fn u2_conflicts_and_failures_are_tried_again_later() {
    let (mut book, now) = (book(), Instant::now());
    book.take(&batch(3, sight("10", &[]), true, "ingresses=10"));
    for (outcome, pause) in [(Outcome::Conflict, SOON), (Outcome::Failed, AGAIN)] {
        let write = book.due(3, &Nodes::default(), now + AGAIN, 9).remove(0);
        book.settle(write, outcome, now);
        assert_eq!(book.due(3, &Nodes::default(), now, 9), []);
        assert_eq!(book.next_moment(now), Some(now + pause));
        assert_eq!(book.due(3, &Nodes::default(), now + pause, 9).len(), 1);
    }
    let write = book.due(3, &Nodes::default(), now + AGAIN, 9).remove(0);
    book.settle(write, Outcome::Left, now);
    assert_eq!(book.due(3, &Nodes::default(), now + AGAIN, 9), []);
}

#[test]
fn u2_two_that_write_one_list_do_not_alternate_at_full_speed() {
    let (mut book, mut now) = (book(), Instant::now());
    let start = now;
    for round in 0..20_u64 {
        // Somebody else takes our entry away.
        book.take(&batch(round, sight(&format!("{round}"), &[]), true, "ingresses=1"));
        now = book.next_moment(now).unwrap_or(now);
        let mut due = book.due(round, &Nodes::default(), now, 9);
        book.settle(due.remove(0), Outcome::Written(format!("{round}-ours").into()), now);
    }
    assert!(now - start > Duration::from_secs(1200), "{:?}", now - start);
    // After a time of quiet it is as before.
    now += QUARREL + LONGEST_PAUSE;
    book.take(&batch(30, sight("30", &[]), true, "ingresses=1"));
    let mut due = book.due(30, &Nodes::default(), now, 9);
    book.settle(due.remove(0), Outcome::Written("31".into()), now);
    book.take(&batch(31, sight("32", &[]), true, "ingresses=1"));
    assert_eq!(book.due(31, &Nodes::default(), now, 9).len(), 1);
}

#[test]
fn u5_the_address_of_a_former_vip_is_removed_and_then_forgotten() {
    let (mut book, now) = (book(), Instant::now());
    book.take(&batch(3, sight("10", &[VIP]), true, "ingresses=10"));
    assert!(!book.has_outdated());
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    book.set_own(Own { wanted: [ip("192.0.2.2")].into(), published: [ip(VIP)].into() });
    assert!(book.has_outdated());
    let due = book.due(3, &Nodes::default(), now, 9);
    assert_eq!(texts(&due), [["192.0.2.2"]]);
    book.settle(due.into_iter().next().unwrap(), Outcome::Written("11".into()), now);
    assert!(!book.has_outdated());
}

#[test]
fn an_ingress_that_is_gone_is_forgotten() {
    let (mut book, now) = (book(), Instant::now());
    book.take(&batch(3, sight("10", &[]), true, "ingresses=10"));
    let gone = Batch {
        version: 4,
        sights: [(shop(), None)].into(),
        claims: [(shop(), false)].into(),
        ..Batch::default()
    };
    book.take(&gone);
    assert_eq!(book.due(4, &Nodes::default(), now, 9), []);
    assert_eq!(book.awaited(), 0);
}
