//! What a client meets at a VIP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use genkan::dataplane::{Dataplane, DataplaneError, Options};
use genkan::net::listen::{Family, ListenerGroup};
use genkan::testing::lab::EdgeLab;
use ingress_common::Verdict;
use ingress_common::vip::{VIP_PROBES, slot};

use crate::edge::{
    Worker, assert_served, assert_times_out, config, connect, count, eventually, on_edge, possible,
    start,
};

#[test]
fn an_unserved_port_of_a_vip_never_reaches_another_socket_of_the_host() {
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    let foreign =
        lab.edge.run(|| ["0.0.0.0:22", "[::]:23"].map(|at| TcpListener::bind(at).unwrap()));
    on_edge(&lab, async || {
        let mut dataplane = start(&config()).await;
        let _worker = Worker::listening(&mut dataplane);
        assert_times_out(&lab.client, EdgeLab::VIP4, 22);
        assert_times_out(&lab.client, EdgeLab::VIP6, 23);
        assert_eq!(count(&dataplane, Verdict::PortUnserved), 2);
        connect(&lab.client, lab.edge_addresses()[0], 22).unwrap();

        let mut without_steer = config();
        without_steer.vips[0].interfaces.clear();
        dataplane.apply(&without_steer).await.unwrap();
        for (vip, port) in [(EdgeLab::VIP4, 22), (EdgeLab::VIP6, 23)] {
            let refused = connect(&lab.client, vip, port).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        }
        assert!(count(&dataplane, Verdict::DispatchUnserved) >= 2);
    });
    drop(foreign);
}

#[test]
fn syns_wait_for_a_listener_for_the_grace_time_and_then_are_refused() {
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    on_edge(&lab, async || {
        let mut config = config();
        config.steering.listener_grace = Duration::from_secs(2);
        let mut dataplane = start(&config).await;
        let mut worker = Worker::listening(&mut dataplane);
        assert_served(&lab.client);
        worker.close();
        // A child that another test is just starting has a copy of the socket until it executes.
        eventually("silence", || {
            connect(&lab.client, EdgeLab::VIP4, 80)
                .is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
        });
        assert!(count(&dataplane, Verdict::ListenerAway) >= 1);
        eventually("a refusal after the grace time", || {
            connect(&lab.client, EdgeLab::VIP4, 80)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        });
        worker.listen(&mut dataplane);
        assert_served(&lab.client);
    });
}

#[test]
fn a_removed_listener_gets_no_connection_and_removing_it_twice_is_no_error() {
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    on_edge(&lab, async || {
        let mut dataplane = start(&config()).await;
        let worker = Worker::listening(&mut dataplane);
        for _ in 0..2 {
            for family in Family::ALL {
                dataplane.remove_listener(0, family).unwrap();
            }
        }
        assert_times_out(&lab.client, EdgeLab::VIP4, 80);
        assert_eq!(worker.accept_all(), 0);
    });
}

#[test]
fn access_rules_change_live_and_hold_with_and_without_steer() {
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    let [client4, client6] = lab.client_addresses();
    on_edge(&lab, async || {
        let mut config = config();
        let mut dataplane = start(&config).await;
        let _worker = Worker::listening(&mut dataplane);
        assert_served(&lab.client);

        config.vips[0].deny = vec![client4.into()];
        dataplane.apply(&config).await.unwrap();
        assert_times_out(&lab.client, EdgeLab::VIP4, 80);
        connect(&lab.client, EdgeLab::VIP6, 80).unwrap();
        assert!(count(&dataplane, Verdict::Denied) >= 1);

        config.vips[0].interfaces.clear();
        config.vips[0].deny.clear();
        config.vips[0].allow = vec![client4.into()];
        dataplane.apply(&config).await.unwrap();
        connect(&lab.client, EdgeLab::VIP4, 80).unwrap();
        let refused = connect(&lab.client, EdgeLab::VIP6, 80).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused, "{client6} is not allowed");
        assert!(count(&dataplane, Verdict::DispatchDenied) >= 1);
    });
}

#[test]
fn a_vip_comes_and_goes_live() {
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    let late = "203.0.113.81".parse().unwrap();
    lab.vip(late);
    on_edge(&lab, async || {
        let mut dataplane = start(&config()).await;
        let _worker = Worker::listening(&mut dataplane);
        let mut with_late = config();
        with_late.vips.push(genkan::config::VipConfig {
            name: "late".to_owned(),
            addresses: vec![late],
            ..with_late.vips[0].clone()
        });
        dataplane.apply(&with_late).await.unwrap();
        connect(&lab.client, late, 80).unwrap();
        assert_eq!(count(&dataplane, Verdict::TcpSyn), 1);
        dataplane.apply(&config()).await.unwrap();
        connect(&lab.client, late, 80).unwrap_err();
        assert_served(&lab.client);
    });
}

#[test]
fn a_configuration_that_does_not_fit_changes_nothing() {
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    // More addresses on one place of the kernel's table than it has room for.
    let crowd: Vec<IpAddr> = (0u32..)
        .map(|bits| IpAddr::from(Ipv4Addr::from_bits(0x0a80_0000 + bits)))
        .filter(|&address| slot(&address.into()) == slot(&Ipv4Addr::new(10, 128, 0, 0).into()))
        .take(VIP_PROBES as usize + 1)
        .collect();
    on_edge(&lab, async || {
        let mut dataplane = start(&config()).await;
        let _worker = Worker::listening(&mut dataplane);
        let before = dataplane.report();
        let mut crowded = config();
        crowded.vips[0].addresses = crowd;
        crowded.vips[0].deny = vec![lab.client_addresses()[0].into()];
        let error = dataplane.apply(&crowded).await.unwrap_err();
        assert!(matches!(error, DataplaneError::TableFull { .. }), "{error}");
        assert_eq!(dataplane.report(), before);
        assert_eq!(genkan::net::address::local().await.unwrap(), EdgeLab::VIPS.into());
        assert_served(&lab.client);
    });
}

#[test]
fn every_sampled_packet_becomes_an_event() {
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    let [client, _] = lab.client_addresses();
    on_edge(&lab, async || {
        let mut config = config();
        config.steering.event_sample = 1;
        let mut dataplane = start(&config).await;
        let mut events = dataplane.events().unwrap().unwrap();
        assert!(dataplane.events().unwrap().is_none());
        let _worker = Worker::listening(&mut dataplane);
        connect(&lab.client, EdgeLab::VIP4, 443).unwrap();
        let syn = async {
            loop {
                let event = events.next().await.unwrap();
                if event.verdict == Verdict::TcpSyn {
                    break event;
                }
            }
        };
        let event = tokio::time::timeout(Duration::from_secs(5), syn).await.unwrap();
        assert_eq!(event.source.ip(), client);
        assert_eq!(event.destination, (EdgeLab::VIP4, 443).into());
        assert_eq!(event.sample, 1);
        assert_eq!(dataplane.vip_names()[&event.vip], "web");
    });
}

#[test]
fn the_debug_log_of_the_programs_comes_out_of_our_log() {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Lines {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    on_edge(&lab, async || {
        let options = Options { debug: true, ..Options::default() };
        let mut dataplane = Dataplane::start(&config(), &[0], options).await.unwrap();
        let mut log = dataplane.kernel_log().unwrap();
        let _worker = Worker::listening(&mut dataplane);
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || writer.clone())
            .finish();
        let _logging = tracing::subscriber::set_default(subscriber);
        connect(&lab.client, EdgeLab::VIP4, 80).unwrap();
        let syn = format!("steer vip 0 verdict {}", Verdict::TcpSyn as u32);
        let seen = async {
            while !String::from_utf8_lossy(&lines.0.lock().unwrap()).contains(&syn) {
                tokio::select! {
                    biased;
                    forwarded = log.forward() => forwarded.unwrap(),
                    () = tokio::time::sleep(Duration::from_millis(5)) => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(5), seen).await.unwrap();
    });
}

#[test]
fn workers_share_connections_by_their_published_load() {
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    on_edge(&lab, async || {
        let mut dataplane = Dataplane::start(&config(), &[0, 0], Options::default()).await.unwrap();
        let group = ListenerGroup::reserve(Family::V4).unwrap();
        let listeners = [group.listen().unwrap(), group.listen().unwrap()];
        for (worker, listener) in listeners.iter().enumerate() {
            dataplane.set_listener(worker, group.family(), listener).unwrap();
        }
        let board = dataplane.loads();
        let slots = [board.slot(0), board.slot(1)];
        slots[0].connections_changed(500);
        for _ in 0..8 {
            connect(&lab.client, EdgeLab::VIP4, 80).unwrap();
        }
        assert_eq!(board.connections(), [500, 0]);
        let accepted = listeners
            .each_ref()
            .map(|listener| std::iter::from_fn(|| listener.accept().ok()).count());
        assert_eq!(accepted, [0, 8]);
        assert_eq!(count(&dataplane, Verdict::DispatchLeastLoaded), 8);
    });
}

#[test]
fn packets_spread_over_cpus_by_cpumap_arrive() {
    if !possible() {
        return;
    }
    let lab = EdgeLab::new(0);
    on_edge(&lab, async || {
        let mut config = config();
        config.steering.cpumap = 2;
        let mut dataplane = start(&config).await;
        let worker = Worker::listening(&mut dataplane);
        assert_served(&lab.client);
        assert_eq!(worker.accept_all(), 2);
        config.steering.cpumap = 0;
        dataplane.apply(&config).await.unwrap();
        assert_served(&lab.client);
    });
}
