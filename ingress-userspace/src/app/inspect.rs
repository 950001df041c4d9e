//! What the administration is shown of this process.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::entrance::Told;
use super::handover::Departures;
use super::workers::Place;
use super::{App, Entrance, standing};
use crate::admin::status::{Counts, Interface, Port, Steer, Traffic, Vip, VipTraffic, Worker};
use crate::admin::{Ask, Node, View};
use crate::config::{Config, PortProtocol, VipConfig};
use crate::dataplane::{self, InterfaceReport};
use crate::metrics::{Exposition, Sum, process};
use crate::proxy::counters::{self, Counters, VipCounters};
use crate::proxy::{Failure, Settings};
use crate::routing::Snapshot;
use crate::snapshot::Publisher;
use crate::status::Writer;

/// What can be shown without the control side.
pub(super) struct Inside {
    pub(super) publisher: Publisher,
    pub(super) counters: Arc<[Arc<Counters>]>,
    pub(super) places: Vec<Place>,
    pub(super) departures: Arc<Departures>,
    pub(super) settings: Arc<ArcSwap<Settings>>,
}

// === impl App ===

impl App {
    /// Answers a question of the administration. True: the process is to drain.
    pub(super) fn answer(&self, ask: Ask, draining: bool) -> bool {
        // Whoever does not wait for the answer any more has given up.
        match ask {
            Ask::View(answer) => drop(answer.send(self.view(draining))),
            Ask::Explain(request, answer) => {
                let explained = self.agent.explain(self.configuration.in_force(), &request);
                drop(answer.send(Box::new(explained)));
            }
            Ask::Drain(answer) => {
                let _ = answer.send(());
                return true;
            }
        }
        false
    }

    fn view(&self, draining: bool) -> View {
        let config = self.configuration.in_force().clone();
        let (interfaces, vips, kernel_error) = kernel(&config, &self.entrance);
        View {
            configured: self.configuration.history(self.agent.published()),
            problems: self.agent.current_problems(),
            draining,
            running: self.workers.running(),
            workers_apart: false,
            interfaces,
            vips,
            events: self.events,
            kernel_error,
            source: self.agent.standing().map(|standing| {
                standing::told(&standing.facts(), self.writer.as_ref().map(Writer::tally))
            }),
            config,
        }
    }
}

// === impl Inside ===

impl Node for Inside {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.publisher.current()
    }

    fn workers(&self) -> Vec<Worker> {
        let now = process::uptime();
        let worker = |(index, counters): (usize, &Arc<Counters>)| Worker {
            index,
            cpu: self.places[index].cpu,
            pinned: self.places[index].pinned,
            connections: counters.connections_open.value(),
            accepted: counters.connections.value(),
            requests: counters.answers.iter().map(|count| count.value()).sum(),
            served: self.publisher.served_by(index),
            silent: now.saturating_sub(counters.last_beat()).as_secs_f64(),
            panics: counters.panics.value(),
            replaced: counters.starts.value().saturating_sub(1),
        };
        self.counters.iter().enumerate().map(worker).collect()
    }

    fn traffic(&self) -> Traffic {
        let sum = |of: fn(&Counters) -> u64| self.counters.iter().map(|c| of(c)).sum::<u64>();
        let answers = CLASSES.into_iter().enumerate().map(|(class, label)| {
            let count = self.counters.iter().map(|c| c.answers[class].value()).sum::<u64>();
            (label.into(), count)
        });
        let answers: Counts = answers.collect();
        let failures = Failure::LABELS.into_iter().enumerate().filter_map(|(index, label)| {
            let count = self.counters.iter().map(|c| c.failures[index].value()).sum::<u64>();
            (count > 0).then_some((label.into(), count))
        });
        Traffic {
            connections: sum(|c| c.connections_open.value()),
            accepted: sum(|c| c.connections.value()),
            requests: answers.values().sum(),
            failures: failures.collect(),
            answers,
            received_bytes: sum(|c| c.received.value()),
            sent_bytes: sum(|c| c.sent.value()),
            handshakes_failed: sum(|c| c.handshake_failures.value()),
            log_lines_dropped: sum(|c| c.log_dropped.value() + c.log_lost.value()),
        }
    }

    fn vips(&self) -> BTreeMap<Arc<str>, VipTraffic> {
        let mut vips: BTreeMap<Arc<str>, VipTraffic> = BTreeMap::new();
        for (address, name) in &self.settings.load().vips {
            let traffic = vips.entry(name.clone()).or_insert_with(|| VipTraffic {
                answers: CLASSES.into_iter().map(|class| (class.into(), 0)).collect(),
                by_worker: vec![0; self.counters.len()],
                ..VipTraffic::default()
            });
            for (worker, counters) in self.counters.iter().enumerate() {
                if let Some(line) = counters.vips.find(*address) {
                    add(traffic, worker, &line);
                }
            }
        }
        vips
    }

    fn unrouted(&self) -> Sum {
        let mut sum = Sum::default();
        self.counters.iter().for_each(|counters| counters.unrouted.add_to(&mut sum));
        sum
    }

    fn metrics(&self, out: &mut Exposition) {
        counters::export(&self.counters, out);
        self.departures.export(out);
    }
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What one worker has counted for one address.
fn add(traffic: &mut VipTraffic, worker: usize, line: &VipCounters) {
    for (class, counter) in CLASSES.into_iter().zip(&line.answers) {
        *traffic.answers.entry(class.into()).or_default() += counter.value();
    }
    traffic.accepted += line.connections.value();
    traffic.requests += line.requests();
    traffic.received_bytes += line.received.value();
    traffic.sent_bytes += line.sent.value();
    traffic.by_worker[worker] += line.requests();
}

pub(super) fn kernel(
    config: &Config,
    entrance: &Entrance,
) -> (Vec<Interface>, Vec<Vip>, Option<String>) {
    match entrance.told() {
        Told::Handed => (Vec::new(), Vec::new(), None),
        Told::Bound => {
            let reason = "kernel programs are off (--no-bpf)".to_owned();
            let vip = |vip| describe(vip, Steer::Bound, Some(reason.clone()));
            (Vec::new(), config.vips.iter().map(vip).collect(), None)
        }
        Told::Steered { report, counters, error } => {
            let interfaces: Vec<Interface> = report.interfaces.iter().map(interface).collect();
            let vips = config.vips.iter().map(|configured| {
                let (steer, reason) = worst(configured, &interfaces);
                let mut vip = describe(configured, steer, reason);
                if let Some(known) = report.vips.iter().find(|known| known.name == vip.name) {
                    vip.rules = known.rules;
                }
                let counted = counters.iter().find(|counted| counted.vip == vip.name);
                vip.verdicts = counted.map_or_else(Counts::new, |counted| {
                    counted.iter().map(|(verdict, n)| (verdict.name().into(), n)).collect()
                });
                vip
            });
            let vips = vips.collect();
            (interfaces, vips, error)
        }
    }
}

fn describe(vip: &VipConfig, steer: Steer, reason: Option<String>) -> Vip {
    let port = |port: &crate::config::PortConfig| Port {
        port: port.port,
        protocol: match port.protocol {
            PortProtocol::Http => "http".into(),
            PortProtocol::Https => "https".into(),
        },
    };
    Vip {
        name: vip.name.clone(),
        addresses: vip.addresses.clone(),
        ports: vip.ports.iter().map(port).collect(),
        interfaces: vip.interfaces.clone(),
        steer,
        reason,
        rules: 0,
        verdicts: Counts::new(),
        traffic: VipTraffic::default(),
    }
}

/// How packets for a VIP come to `steer` where it is worst.
fn worst(vip: &VipConfig, interfaces: &[Interface]) -> (Steer, Option<String>) {
    let rank = |steer: Steer| match steer {
        Steer::Native => 0,
        Steer::Generic => 1,
        Steer::NotAttached => 2,
        Steer::Bound => 3,
    };
    let own = interfaces.iter().filter(|interface| vip.interfaces.contains(&interface.name));
    match own.max_by_key(|interface| rank(interface.steer)) {
        Some(interface) => (interface.steer, interface.reason.clone()),
        None => (Steer::NotAttached, Some("the VIP names no interface".to_owned())),
    }
}

fn interface(report: &InterfaceReport) -> Interface {
    let (steer, reason) = match &report.steer {
        dataplane::Steer::Native => (Steer::Native, None),
        dataplane::Steer::Generic { reason } => (Steer::Generic, Some(reason.clone())),
        dataplane::Steer::Not { reason } => (Steer::NotAttached, Some(reason.clone())),
    };
    Interface {
        name: report.name.clone(),
        index: report.index,
        mtu: report.mtu,
        driver: report.driver.clone(),
        steer,
        reason,
    }
}
