//! How `steer` comes to a device, and what is said about it.

use aya::Ebpf;
use aya::programs::{Xdp, XdpMode};
use genkan::dataplane::{self, Dataplane, DataplaneError, Options, Steer, detach};
use genkan::net::interface;
use genkan::testing::lab::EdgeLab;
use genkan::testing::require_tool;
use ingress_common::map::PROGRAM_STEER;

use crate::edge::{Worker, assert_served, config, on_edge, options, possible, start};

fn steer_of(dataplane: &Dataplane, name: &str) -> Steer {
    let report = dataplane.report();
    let interface = report.interfaces.into_iter().find(|interface| interface.name == name);
    interface.unwrap().steer
}

#[test]
fn steer_attaches_native_to_a_device_that_can() {
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    on_edge(&lab, async || {
        let mut dataplane = start(&config()).await;
        let report = dataplane.report();
        assert_eq!(steer_of(&dataplane, EdgeLab::UPLINK), Steer::Native);
        assert_eq!(report.interfaces[0].driver.as_deref(), Some("veth"));
        assert_eq!(report.vips[0].addresses, EdgeLab::VIPS);
        assert_eq!(report.vips[0].ports, [80, 443]);
        let worker = Worker::listening(&mut dataplane);
        assert_served(&lab.client);
        assert_eq!(worker.accept_all(), 2);
    });
}

#[test]
fn steer_falls_back_to_generic_and_says_why() {
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    lab.edge.ip(&["link", "add", "br0", "type", "bridge"]);
    on_edge(&lab, async || {
        let mut config = config();
        config.vips[0].interfaces = vec!["br0".to_owned()];
        let dataplane = start(&config).await;
        let steer = steer_of(&dataplane, "br0");
        assert_eq!(steer.to_string(), "generic (driver bridge: it has no native XDP)");
        let facts = interface::find("br0").await.unwrap().unwrap();
        assert_eq!(facts.xdp.unwrap().mode, interface::XdpMode::Generic);
    });
}

#[test]
fn a_missing_interface_is_reported_and_attached_once_it_is_there() {
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    on_edge(&lab, async || {
        let mut config = config();
        config.vips[0].interfaces = vec!["late0".to_owned()];
        let mut dataplane = start(&config).await;
        let steer = steer_of(&dataplane, "late0");
        assert_eq!(steer.to_string(), "not attached (there is no such interface)");
        lab.edge.ip(&["link", "add", "late0", "type", "veth", "peer", "name", "late1"]);
        dataplane.apply(&config).await.unwrap();
        assert_eq!(steer_of(&dataplane, "late0"), Steer::Native);
        config.vips[0].interfaces.clear();
        dataplane.apply(&config).await.unwrap();
        assert_eq!(interface::find("late0").await.unwrap().unwrap().xdp, None);
    });
}

#[test]
fn a_foreign_xdp_program_stays_and_is_named_and_the_vip_is_served() {
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    on_edge(&lab, async || {
        // Any program that is not pinned as ours will do; this one passes everything on.
        let mut foreign = Ebpf::load(dataplane::object().unwrap()).unwrap();
        let program: &mut Xdp = foreign.program_mut(PROGRAM_STEER).unwrap().try_into().unwrap();
        program.load().unwrap();
        program.attach(EdgeLab::UPLINK, XdpMode::Driver).unwrap();
        let before = interface::find(EdgeLab::UPLINK).await.unwrap().unwrap().xdp.unwrap();

        let mut dataplane = start(&config()).await;
        assert_eq!(
            steer_of(&dataplane, EdgeLab::UPLINK).to_string(),
            format!(
                "not attached (the XDP program steer (id {}) of somebody else is attached)",
                before.program
            )
        );
        let after = interface::find(EdgeLab::UPLINK).await.unwrap().unwrap().xdp;
        assert_eq!(after, Some(before));
        let _worker = Worker::listening(&mut dataplane);
        assert_served(&lab.client);

        drop(foreign);
        // The kernel lets a link go a moment after its last descriptor.
        while interface::find(EdgeLab::UPLINK).await.unwrap().unwrap().xdp.is_some() {
            tokio::task::yield_now().await;
        }
        dataplane.apply(&config()).await.unwrap();
        assert_eq!(steer_of(&dataplane, EdgeLab::UPLINK), Steer::Native);
    });
}

#[test]
fn detach_leaves_nothing_behind() {
    if !possible() || !require_tool("bpftool") {
        return;
    }
    let lab = EdgeLab::new(0);
    let directory = "/sys/fs/bpf/genkan";
    on_edge(&lab, async || {
        let mut dataplane = start(&config()).await;
        let worker = Worker::listening(&mut dataplane);
        assert_served(&lab.client);
        drop(dataplane);
        drop(worker);
        let attached = interface::find(EdgeLab::UPLINK).await.unwrap().unwrap().xdp;
        assert!(attached.is_some(), "the links outlive the process");

        let detached = detach(&Options::default().pins, false).await.unwrap();
        assert_eq!(detached.routes, EdgeLab::VIPS);
        assert_eq!(detached.pins, ingress_common::map::PINNED.len() + 2);
        assert!(!std::path::Path::new(directory).exists());
        assert_eq!(interface::find(EdgeLab::UPLINK).await.unwrap().unwrap().xdp, None);
        assert_eq!(
            detach(&Options::default().pins, false).await.unwrap(),
            dataplane::Detached::default()
        );
    });
    let attached = lab.edge.output("bpftool", &["net", "show"]);
    assert!(!attached.contains("steer"), "{attached}");
}

#[test]
fn pins_off_a_bpf_file_system_are_refused_with_the_way_out() {
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    let error = on_edge(&lab, async || {
        Dataplane::start(&config(), &[0], options("/tmp/genkan-pins")).await.err().unwrap()
    });
    assert!(matches!(error, DataplaneError::PinFileSystem { .. }));
    assert!(error.to_string().contains("mount -t bpf bpf /sys/fs/bpf"), "{error}");
}

#[test]
fn a_missing_bpf_file_system_is_mounted() {
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    lab.edge.output("umount", &["-l", "/sys/fs/bpf"]);
    on_edge(&lab, async || {
        let dataplane = start(&config()).await;
        assert_eq!(steer_of(&dataplane, EdgeLab::UPLINK), Steer::Native);
    });
}
