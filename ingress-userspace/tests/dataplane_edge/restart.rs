//! A process that ends, and the next one.

use aya::programs::links::{FdLink, PinnedLink};
use genkan::dataplane::{Dataplane, Steer};
use genkan::net::interface;
use genkan::testing::lab::EdgeLab;
use genkan::testing::require_tool;
use ingress_common::Verdict;

use crate::edge::{
    Worker, assert_served, assert_times_out, config, connect, count, eventually, on_edge, options,
    possible, start,
};

async fn steer_link() -> u32 {
    let facts = interface::find(EdgeLab::UPLINK).await.unwrap().unwrap();
    let path = format!("/sys/fs/bpf/genkan/links/steer-{}", facts.index);
    FdLink::from(PinnedLink::from_pin(path).unwrap()).info().unwrap().id()
}

async fn steer_program() -> u32 {
    interface::find(EdgeLab::UPLINK).await.unwrap().unwrap().xdp.unwrap().program
}

#[test]
fn a_restart_keeps_maps_counters_and_the_link_and_swaps_the_program() {
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    on_edge(&lab, async || {
        let mut first = start(&config()).await;
        assert!(!first.report().maps_reused);
        let worker = Worker::listening(&mut first);
        assert_served(&lab.client);
        let counted = count(&first, Verdict::TcpSyn);
        assert_eq!(counted, 2);
        let (link, program) = (steer_link().await, steer_program().await);
        drop(first);
        // The workers live: new connections are served while there is no dataplane process.
        assert_served(&lab.client);

        let second = start(&config()).await;
        assert!(second.report().maps_reused);
        assert_eq!(second.report().interfaces[0].steer, Steer::Native);
        assert_eq!(steer_link().await, link);
        assert_ne!(steer_program().await, program);
        assert_eq!(count(&second, Verdict::TcpSyn), 2 * counted);
        assert_served(&lab.client);
        assert_eq!(worker.accept_all(), 6);
    });
}

#[test]
fn a_restart_with_another_configuration_removes_what_is_gone() {
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    on_edge(&lab, async || {
        let mut with_rules = config();
        with_rules.vips[0].deny = vec!["192.0.2.0/24".parse().unwrap()];
        drop(start(&with_rules).await);
        let mut v6_alone = config();
        v6_alone.vips[0].addresses = vec![EdgeLab::VIP6];
        let mut dataplane = start(&v6_alone).await;
        let _worker = Worker::listening(&mut dataplane);
        let report = dataplane.report();
        assert_eq!(
            (report.vips[0].addresses.as_slice(), report.vips[0].rules),
            (&[EdgeLab::VIP6][..], 0)
        );
        assert_eq!(genkan::net::address::local().await.unwrap(), [EdgeLab::VIP6].into());
        connect(&lab.client, EdgeLab::VIP6, 80).unwrap();
        connect(&lab.client, EdgeLab::VIP4, 80).unwrap_err();
    });
}

#[test]
fn pinned_maps_of_another_shape_are_replaced() {
    if !possible() || !require_tool("bpftool") {
        return;
    }
    let lab = EdgeLab::new(0);
    on_edge(&lab, async || {
        drop(start(&config()).await);
        let pin = format!("/sys/fs/bpf/genkan/maps-{}/VIPS", ingress_common::ABI);
        std::fs::remove_file(&pin).unwrap();
        let shape = ["type", "array", "key", "4", "value", "8", "entries", "1", "name", "VIPS"];
        lab.edge.output("bpftool", &[&["map", "create", &pin][..], &shape].concat());
        std::fs::create_dir("/sys/fs/bpf/genkan/maps-0").unwrap();

        let mut dataplane = start(&config()).await;
        assert!(!dataplane.report().maps_reused);
        assert!(!std::path::Path::new("/sys/fs/bpf/genkan/maps-0").exists());
        let _worker = Worker::listening(&mut dataplane);
        assert_served(&lab.client);
    });
}

#[test]
fn the_dispatch_of_a_successor_wins_over_the_one_beside_it() {
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    on_edge(&lab, async || {
        let mut old = start(&config()).await;
        let old_worker = Worker::listening(&mut old);
        assert_served(&lab.client);
        assert_eq!(old_worker.accept_all(), 2);
        // Other pins, so that both stay attached.
        let mut without_devices = config();
        without_devices.vips[0].interfaces.clear();
        let pins = options("/sys/fs/bpf/successor");
        let mut new = Dataplane::start(&without_devices, &[0], pins).await.unwrap();
        let new_worker = Worker::listening(&mut new);
        assert_served(&lab.client);
        assert_eq!((old_worker.accept_all(), new_worker.accept_all()), (0, 2));
        drop(new);
        std::fs::remove_file("/sys/fs/bpf/successor/links/dispatch").unwrap();
        // The kernel lets a link go a moment after its pin.
        eventually("the older dispatch alone", || {
            assert_served(&lab.client);
            (old_worker.accept_all(), new_worker.accept_all()) == (2, 0)
        });
    });
}

#[test]
fn nothing_answers_for_a_vip_while_no_worker_has_come_yet() {
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    let foreign = lab.edge.run(|| std::net::TcpListener::bind("0.0.0.0:80").unwrap());
    on_edge(&lab, async || {
        let dataplane = start(&config()).await;
        assert_times_out(&lab.client, EdgeLab::VIP4, 80);
        assert!(count(&dataplane, Verdict::ListenerAway) >= 1);
    });
    drop(foreign);
}

#[test]
fn each_absence_of_the_workers_has_a_grace_time_of_its_own() {
    if !possible() {
        return;
    }
    let grace = std::time::Duration::from_secs(1);
    let lab = EdgeLab::new(0);
    on_edge(&lab, async || {
        let mut brief = config();
        brief.steering.listener_grace = grace;
        let mut dataplane = start(&brief).await;
        let first = std::time::Instant::now();
        assert_times_out(&lab.client, EdgeLab::VIP4, 80);
        // No SYN comes while the worker is there.
        let mut worker = Worker::listening(&mut dataplane);
        eventually("the first grace time is over", || first.elapsed() > grace);
        worker.close();
        assert_times_out(&lab.client, EdgeLab::VIP4, 80);
        assert_eq!(count(&dataplane, Verdict::TcpNoListener), 0);
    });
}
